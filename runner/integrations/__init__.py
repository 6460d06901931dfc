"""Bots written for another framework: run on it inside our worker, or with its names on our engine."""
