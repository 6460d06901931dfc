"""Decide who may use the main port: local clients, or holders of the login key."""
