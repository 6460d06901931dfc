"""Scenarios: read a YAML plan, play it on the phone, check what it expects."""
