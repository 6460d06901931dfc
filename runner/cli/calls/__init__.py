"""`botrun calls` and `botrun show`: records of calls in the terminal."""
