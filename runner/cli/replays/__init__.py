"""The commands that make calls again and compare them."""
