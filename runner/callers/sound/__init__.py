"""A simulated caller's sound: its voice, the line, and what it hears."""
