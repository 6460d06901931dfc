"""The process that loads the bot and serves its calls."""
