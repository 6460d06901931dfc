"""What is fixed of a run's public side once its address is known: the same for all its workers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from runner.errors import TransportError


@dataclass(frozen=True, kw_only=True)
class PublicAddress:
    """Where the run can be reached, and the keys that belong to it. JSON in between processes (`as_dict`).

    Attributes:
        origin: "https://host".
        dial_key: what the main port asks for, and `botrun dial` brings.
        probe_token: in the address of the socket that the run opens to itself, and `probe_answer` what it
            hears there.
        keys: the providers', by the names of their variables; a `.env` that is edited later changes nothing.
    """

    origin: str
    dial_key: str = field(repr=False)
    probe_token: str = field(repr=False)
    probe_answer: str = field(repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def at(cls, origin: str, dial_key: str = "", keys: Mapping[str, str] | None = None) -> PublicAddress:
        """With fresh tokens; a fresh key, too, where none is given."""
        return cls(
            origin=origin,
            dial_key=dial_key or secrets.token_urlsafe(24),
            probe_token=secrets.token_urlsafe(24),
            probe_answer=secrets.token_urlsafe(16),
            keys=keys or {},
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def socket_origin(self) -> str:
        return "ws" + self.origin.removeprefix("http")

    @property
    def probe_url(self) -> str:
        return f"{self.socket_origin}/ws/{self.probe_token}"

    def answer_url(self, provider: str) -> str:
        """Where a number of this provider must ask."""
        return f"{self.origin}/{provider}/answer"

    def is_probe(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self.probe_token.encode())


WITHIN_S = 20.0
TRY_S = 5.0
PAUSE_S = 0.5


class UnreachableError(TransportError):
    """The public address does not lead to this run."""


async def probe(address: PublicAddress, within_s: float = WITHIN_S) -> None:
    """Open the media socket through the public address; a new tunnel may take a moment.

    Raises:
        UnreachableError: it does not lead here.
    """
    reason = "no answer"
    try:
        async with asyncio.timeout(within_s):
            while True:
                reason = await _try(address)
                if not reason:
                    return
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        raise UnreachableError(
            f"{address.socket_origin}/ws does not lead here: {reason}. The tunnel or proxy must bring"
            " WebSockets, too, to the public port of this run (--public-port), not to its main port"
        ) from None


async def _try(address: PublicAddress) -> str:
    """Why it does not lead here; "" if it does."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    try:
        async with (
            asyncio.timeout(TRY_S),
            connect(address.probe_url, proxy=None, compression=None, open_timeout=TRY_S) as socket,
        ):
            if await socket.recv() == address.probe_answer:
                return ""
            return "something else answers there"
    except TimeoutError:
        return f"no answer within {TRY_S:g} s"
    except (OSError, WebSocketException) as error:
        # Its text may hold the address with its token.
        text = str(error).replace(address.probe_url, "it")
        return f"{type(error).__name__}: {text}"[:200]
