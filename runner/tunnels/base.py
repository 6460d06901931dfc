"""The interface of a tunnel, and its error."""

from __future__ import annotations

from typing import Protocol

from runner.errors import TransportError


class TunnelError(TransportError):
    """The tunnel could not be opened."""


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
