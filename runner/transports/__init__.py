"""Transports connect a wire with a bot's pipeline."""
