raise RuntimeError("the bot's folder must not stand before the standard library")
