"""Bots that are written for another framework: they run on their own framework, inside botrun's worker."""
