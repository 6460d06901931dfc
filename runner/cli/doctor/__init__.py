"""`botrun doctor`: check this machine and the accounts."""
