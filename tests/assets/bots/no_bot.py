"""Coroutine functions, but none that takes runner arguments."""


async def greet(name: str) -> None:
    pass
