async def bot() -> None:
    pass
