"""Accepts: one HTTP or WebSocket request becomes one session."""
