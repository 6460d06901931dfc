"""The interface of a tunnel."""

from __future__ import annotations

from typing import Protocol


class Tunnel(Protocol):
    """Forwards a public address to a port of this machine.

    Attributes:
        name: for the log.
    """

    name: str

    async def open(self, port: int) -> str:
        """Forward to 127.0.0.1:`port`; returns the public origin, "https://host".

        Raises:
            TunnelError: it cannot be opened.
        """

    async def aclose(self) -> None:
        """Close it; also after an `open` that failed, and more than once."""


class FakeTunnel:
    """For tests: the public address is this machine's own."""

    name = "fake"

    def __init__(self, origin: str = "") -> None:
        self._origin = origin
        self.closed = 0

    async def open(self, port: int) -> str:
        return self._origin or f"http://127.0.0.1:{port}"

    async def aclose(self) -> None:
        self.closed += 1
