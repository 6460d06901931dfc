"""Pass a request to the worker that owns its call."""
