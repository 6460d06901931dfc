"""The bots that `botrun new` writes: whole files, which run as they stand."""
