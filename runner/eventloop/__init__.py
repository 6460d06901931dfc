"""Helpers around the asyncio event loop: clock, timers, batched socket reads."""
