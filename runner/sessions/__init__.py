"""A call and everything it owns."""
