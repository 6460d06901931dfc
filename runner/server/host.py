"""What an endpoint may use of the process it runs in. `app.py` assembles it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import Request

from runner.botcode.loader import LoadedBot
from runner.errors import BotrunError
from runner.server.handover.moves import Moves
from runner.server.handover.other_workers import OtherWorkers, RunTotals, latencies
from runner.sessions.registry import Sessions
from runner.settings import Settings

if TYPE_CHECKING:
    from runner.transports.websocket.socket import CallWebSocket

Starter = Callable[[Request, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Answers `POST /start` for one transport: the request and its JSON object in, the answer's fields out."""

Knows = Callable[[str], bool]
"""Whether an endpoint has a call, under way or announced, with this id."""


@dataclass(frozen=True, kw_only=True)
class DialOrder:
    """A call that `botrun dial` asks for. Durations in seconds."""

    provider: str
    to: str
    from_number: str
    limit_s: int
    ring_s: int
    detect_voicemail: bool


def socket_origin(request: Request) -> str:
    """Where sockets of this application are, as the client of `request` sees it: "ws://host:port/prefix"."""
    scheme = "wss" if request.url.scheme == "https" else "ws"
    return f"{scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"


class ApiError(BotrunError):
    """The local HTTP API refuses a request: `status` and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class LedgerUnavailableError(BotrunError):
    """The process that keeps the public address does not answer."""


class PublicSideInfo(Protocol):
    """What endpoints of the main port may know of the public side (`public/public_calls.py`)."""

    @property
    def origin(self) -> str:
        """The public address, "https://host"."""

    @property
    def dial_key(self) -> str:
        """The key that the main port asks for while the run is public."""

    @property
    def providers(self) -> Mapping[str, Any]:
        """The phone providers served, by name."""

    @property
    def default(self) -> str:
        """The provider that `POST /` is for; "" if there is none."""

    def answer_url(self, provider: str) -> str:
        """The webhook address for a number of this provider."""

    async def dial(self, order: DialOrder) -> str:
        """Call somebody; returns the call's id.

        Raises:
            ProviderError: the provider refuses it.
            LedgerUnavailableError: the keeper does not answer.
        """

    async def dialled(self, call_id: str) -> tuple[str, bool]:
        """The state of a call that was dialled, "" if there is none; and whether it is over."""


class RoomKeeper(Protocol):
    """What the run must know of Daily's rooms (`daily/rooms.py`)."""

    @property
    def can_make(self) -> bool:
        """Whether rooms are created, and must be deleted when their call ends."""

    def sweep_soon(self) -> None:
        """Delete rooms that crashed runs left behind, in the background."""

    async def aclose(self) -> None:
        """Close connections to Daily."""


@dataclass
class Host:
    """What every endpoint needs: whom to serve, and how.

    Attributes:
        transports: those served; the first is the default.
        public_calls: the public side, while it is open.
        moves: calls that move between old and new code.
        starters: answer `/start`, by transport.
        rooms: Daily's rooms, where they are served.
        other_workers: the other workers of this run; None without a supervisor.
        knows: each endpoint's answer to "is this id one of your calls?".
        calls: calls that a WebSocket carries, by `forwarding.middleware.key_of` or by token.
        forwarded: tasks that carry sockets of calls which another worker has.
    """

    settings: Settings
    bot: LoadedBot
    sessions: Sessions
    transports: tuple[str, ...]
    public_calls: PublicSideInfo | None = None
    moves: Moves = field(default_factory=Moves)
    starters: dict[str, Starter] = field(default_factory=dict)
    rooms: RoomKeeper | None = None
    other_workers: OtherWorkers | None = None
    knows: list[Knows] = field(default_factory=list)
    calls: dict[str, CallWebSocket] = field(default_factory=dict)
    forwarded: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.run_totals = RunTotals(self.sessions, lambda: self.other_workers)
        self.moves.on_lost = self.sessions.lose

    @property
    def login_key(self) -> str:
        """The key that the main port asks for; "" while only this machine can reach it."""
        return self.public_calls.dial_key if self.public_calls is not None else self.settings.login_key

    async def describe(self) -> dict[str, Any]:
        """What `/status` answers and the terminal shows."""
        totals, sessions = await self.run_totals.ask()
        return {
            "status": "ready",
            # `botrun load` measures this process.
            "pid": os.getpid(),
            "transports": list(self.transports),
            "bot": {"file": self.bot.path.name, "function": self.bot.function_name},
            "sessions": sessions,
            "turns": latencies(totals.recent_turn_s),
        }

    def knows_call(self, names: Sequence[str]) -> bool:
        """Whether this process has a call, under way or announced, with one of these ids."""
        return any(
            knows(name) for name in names for knows in (self.sessions.knows, self.moves.has, *self.knows)
        )
