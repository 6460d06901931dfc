"""Start a helper process and exchange messages with it."""
