"""The connections of `botrun load`'s callers."""
