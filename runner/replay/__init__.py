"""Recorded calls made again with today's code, compared, and kept as tests."""
