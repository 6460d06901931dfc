"""A tunnel that opens nothing."""

from __future__ import annotations


class FakeTunnel:
    """Its public address is this machine's own, or `origin`. `closed` counts the closes."""

    name = "fake"

    def __init__(self, origin: str = "") -> None:
        self._origin = origin
        self.closed = 0

    async def open(self, port: int) -> str:
        return self._origin or f"http://127.0.0.1:{port}"

    async def aclose(self) -> None:
        self.closed += 1
