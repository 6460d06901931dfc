"""Moves live calls from an old worker to a new one when the bot is saved."""
