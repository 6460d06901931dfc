"""A simulated caller's audio: its voice, the line, and what it hears."""
