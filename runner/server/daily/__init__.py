"""Serve Daily: one room and one bot per visitor."""
