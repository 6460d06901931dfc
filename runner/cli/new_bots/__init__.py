"""The bots that `botrun new` writes. Each file runs unchanged."""
