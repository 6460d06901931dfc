"""Counts kept once per run: one-time tokens, call limits and outgoing calls."""
