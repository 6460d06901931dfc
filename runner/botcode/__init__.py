"""Load the user's bot file and explain its failures."""
