"""The commands that replay and compare calls."""
