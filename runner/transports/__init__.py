"""Transports: wire to pipeline, and back."""
