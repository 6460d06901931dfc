"""Simulated callers: the local phone, the WebRTC caller, scenarios, load."""
