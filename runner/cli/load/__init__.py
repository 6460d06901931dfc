"""`botrun load`: run a load and show its figures."""
