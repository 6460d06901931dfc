"""Opus and VP8."""
