"""What is fixed of a run's public side once its address is known: the same for all its workers."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


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
