"""Calls: each has one session, which owns everything in it."""
