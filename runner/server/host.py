"""What endpoints share within their process. `app.py` assembles it."""

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
"""Handles `POST /start` for one transport: gets the request and its JSON object, returns the response's
fields."""

Knows = Callable[[str], bool]
"""Whether an endpoint has an active or announced call with this id."""


@dataclass(frozen=True, kw_only=True)
class DialOrder:
    """A call requested by `botrun dial`. Durations in seconds."""

    provider: str
    to: str
    from_number: str
    limit_s: int
    ring_s: int
    detect_voicemail: bool


def socket_origin(request: Request) -> str:
    """The base URL of this application's sockets as the client of `request` sees it:
    "ws://host:port/prefix"."""
    scheme = "wss" if request.url.scheme == "https" else "ws"
    return f"{scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"


class ApiError(BotrunError):
    """The local HTTP API refuses a request, with `status` and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class LedgerUnavailableError(BotrunError):
    """The process that keeps the public address does not answer."""


class PublicSideInfo(Protocol):
    """The public side as seen by endpoints of the main port (`public/public_calls.py`)."""

    @property
    def origin(self) -> str:
        """The public address, "https://host"."""

    @property
    def dial_key(self) -> str:
        """The key that the main port requires while the run is public."""

    @property
    def providers(self) -> Mapping[str, Any]:
        """The phone providers served, by name."""

    @property
    def default(self) -> str:
        """The provider of `POST /`; "" if there is none."""

    def answer_url(self, provider: str) -> str:
        """The webhook address for a number of this provider."""

    async def dial(self, order: DialOrder) -> str:
        """Call a number; returns the call's id.

        Raises:
            ProviderError: the provider refuses the call.
            LedgerUnavailableError: the keeper does not answer.
        """

    async def dialled(self, call_id: str) -> tuple[str, bool]:
        """The state of a dialled call ("" if there is no such call), and whether it is over."""


class RoomKeeper(Protocol):
    """The Daily rooms as seen by the run (`daily/rooms.py`)."""

    @property
    def can_make(self) -> bool:
        """Whether rooms are created, and must be deleted when their call ends."""

    def sweep_soon(self) -> None:
        """Delete rooms that crashed runs left behind, in the background."""

    async def aclose(self) -> None:
        """Close connections to Daily."""


@dataclass
class Host:
    """What every endpoint needs: settings, bot, sessions and shared state.

    Attributes:
        transports: the served transports; the first is the default.
        public_calls: the public side, while it is open.
        moves: calls that move between old and new code.
        starters: handlers of `/start` by transport.
        rooms: Daily's rooms, if they are served.
        other_workers: the other workers of this run; None without a supervisor.
        knows: functions of the endpoints that say whether an id is one of their calls.
        calls: calls over WebSockets, by `forwarding.key_of` or by token.
        forwarded: tasks that forward sockets to other workers.
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
        """The key that the main port requires; "" while only this machine can reach it."""
        return self.public_calls.dial_key if self.public_calls is not None else self.settings.login_key

    async def describe(self) -> dict[str, Any]:
        """The content of `/status`, also shown in the terminal."""
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
        """Whether this process has an active or announced call with one of these ids."""
        return any(
            knows(name) for name in names for knows in (self.sessions.knows, self.moves.has, *self.knows)
        )
