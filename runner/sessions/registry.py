"""`Sessions`: the calls of this process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from runner.arguments import RunnerArguments
from runner.botcode.loader import LoadedBot
from runner.errors import BotrunError
from runner.processors.handover_state import Conversation
from runner.sessions.admission import STOPPING, Admission
from runner.sessions.recording import Recorder
from runner.sessions.session import EndReason, OnEnd, Session
from runner.sessions.stats import CallTotals, Figures, Histogram
from runner.sessions.tracing import Tracing
from runner.transports.session_port import SessionPort


class TooManySessionsError(BotrunError):
    """The limit of concurrent calls is reached, or botrun is stopping."""


@dataclass(frozen=True, kw_only=True)
class SessionLimits:
    """Limits of calls. 0 = unlimited.

    Attributes:
        sessions: concurrent calls.
        call_s: length of a call (s).
    """

    sessions: int = 0
    call_s: float = 0.0


class Sessions:
    """The calls of this process.

    Attributes:
        figures: their statistics.
        admission: decides whether a worker of `botrun serve` accepts a call; None elsewhere.

    Args:
        bot: the bot that runs in each call.
        limits: limits of calls.
        recorder: records the calls; None = no recording.
        tracing: traces them; None = no tracing.
    """

    def __init__(
        self,
        bot: LoadedBot,
        limits: SessionLimits | None = None,
        recorder: Recorder | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._bot = bot
        self._recorder = recorder
        self._tracing = tracing
        self._limits = limits or SessionLimits()
        self.figures = Figures()
        self.admission: Admission | None = None
        self._active: dict[str, Session] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    @property
    def refusal(self) -> str:
        """Why a further call would be refused; "" if it would be accepted."""
        if refusal := self._limit_reached():
            return refusal
        return self.admission.refusal(len(self._active)) if self.admission is not None else ""

    @property
    def stopping(self) -> str:
        """Why no more calls are accepted; "" while they are."""
        return STOPPING if self._closed or (self.admission is not None and self.admission.draining) else ""

    @property
    def busy(self) -> str:
        """Why a call announced by a provider would be refused; any worker of the run may get its media."""
        if refusal := self._limit_reached():
            return refusal
        return self.admission.run_refusal if self.admission is not None else ""

    def check(self, slot: str = "", *, reserved: bool = False) -> None:
        """Raise if another call would be refused, and count the refusal.

        A call whose slot is reserved, under the key `slot` or elsewhere (`reserved`), is refused only by a
        limit.

        Raises:
            TooManySessionsError: the limit is reached, or botrun is stopping.
        """
        held = reserved or (self.admission is not None and self.admission.holds(slot))
        if refusal := self._limit_reached() if held else self.refusal:
            self.figures.refused += 1
            raise TooManySessionsError(refusal)

    def _limit_reached(self) -> str:
        if self._closed:
            return STOPPING
        if self._limits.sessions and len(self._active) >= self._limits.sessions:
            return f"the limit of concurrent calls is reached (BOTRUN_MAX_SESSIONS={self._limits.sessions})"
        return ""

    def reserve(self, slot: str, life_s: float) -> None:
        """A call was announced: reserve a slot for it, if slots are counted."""
        if self.admission is not None:
            self.admission.reserve(slot, life_s)

    @property
    def active(self) -> Mapping[str, Session]:
        """The active calls, by id."""
        return MappingProxyType(self._active)

    def knows(self, name: str) -> bool:
        """Whether an active call has this session id or provider's call id."""
        if name in self._active:
            return True
        return bool(name) and any(
            getattr(session.args, "call_id", "") == name for session in self._active.values()
        )

    def start(
        self,
        kind: str,
        args: RunnerArguments,
        *,
        on_end: OnEnd | None = None,
        call_s: float = 0.0,
        conversation: Conversation | None = None,
        port: SessionPort | None = None,
        public: bool = False,
        slot: str = "",
    ) -> Session:
        """Start a call: the bot runs in its own task.

        `on_end` is awaited once when the bot has ended, before the session counts as ended. `call_s` limits
        the length of this call (s), in addition to the limit for all calls. `conversation`: one to continue.
        `port`: for the bot's transport. `public`: the caller is not on this machine or its network, and the
        run's ledger has reserved a slot. `slot`: the key of a slot that `admission` reserved.

        Raises:
            TooManySessionsError: the limit is reached, or botrun is stopping.
        """
        self.check(slot, reserved=public)
        if self.admission is not None:
            self.admission.claim(slot)
        goes_on = conversation is not None and conversation.goes_on
        figures = self.figures.begin(kind, args.session_id, goes_on=goes_on)
        session = Session(self._bot, kind, args, on_end, figures, conversation, port)
        if self._recorder is not None:
            self._recorder.begin(session, asyncio.get_running_loop(), public=public)
        if self._tracing is not None:
            self._tracing.begin(session)
        self._active[session.id] = session
        self._tasks[session.id] = asyncio.create_task(
            self._run_session(session, call_s), name=f"session {session.id}"
        )
        return session

    def totals(self, lag: Histogram) -> CallTotals:
        """The statistics of this process so far; `lag` is its event loop's (s)."""
        figures, active = self.figures, list(self._active.values())
        return CallTotals(
            started=Counter(figures.started),
            ended=Counter(figures.ended),
            active=Counter(session.kind for session in active),
            refused=figures.refused,
            parts=figures.totals(session.figures for session in active),
            recent_turn_s=list(figures.recent_turn_s),
            histograms={"turn": figures.turn, "stop": figures.stop, "lag": lag},
        )

    async def _run_session(self, session: Session, call_s: float) -> None:
        bounds = [bound for bound in (call_s, self._limits.call_s) if bound]
        try:
            await session.run(min(bounds, default=0.0))
        finally:
            if self._recorder is not None:
                self._recorder.end(session)
            if self._tracing is not None:
                self._tracing.end(session)
            del self._active[session.id], self._tasks[session.id]
            reason = session.end_reason.name.lower() if session.end_reason else "unknown"
            self.figures.end(session.kind, reason, session.figures, goes_on=session.goes_on)
            session.ended.set()

    async def end(
        self, session_id: str, reason: EndReason, grace_s: float = 0.0, *, detail: str = ""
    ) -> None:
        """End a call, if it is still active."""
        session = self._active.get(session_id)
        if session is not None:
            await session.end(reason, grace_s, detail=detail)

    def lose(self, kind: str) -> None:
        """Count a call that was handed over by older code, but whose caller did not reconnect."""
        self.figures.ended[kind, EndReason.CONNECTION_LOST.name.lower()] += 1

    async def shut_down(self, timeout_s: float, grace_s: float = 0.0) -> None:
        """End all calls because botrun stops, and accept no more.

        Each bot gets `grace_s` for what it is saying and for its `on_client_disconnected`. Returns within
        `grace_s + timeout_s`.
        """
        self._closed = True
        tasks = list(self._tasks.values())
        ends = [asyncio.create_task(session.shut_down(grace_s)) for session in self._active.values()]
        if ends:
            await asyncio.wait([*ends, *tasks], timeout=grace_s + timeout_s)
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
