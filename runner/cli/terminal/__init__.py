"""The terminal of a run: log lines, live calls, keys."""
