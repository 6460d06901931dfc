"""Measure a call and report it."""
