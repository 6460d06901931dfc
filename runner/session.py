"""One call and everything it owns; and the calls of this process.

A session runs the bot in a task of its own. It ends once, with an `EndReason`, whatever ends it: the bot
returned or failed, the caller left, a limit was reached, the program is told to stop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from runner.arguments import RunnerArguments
from runner.conversation import Conversation, current
from runner.discovery import LoadedBot
from runner.errors import BotrunError
from runner.figures import CallFigures, Figures, enter_call
from runner.identity import worker_prefix
from runner.mishaps import in_words, place_of

logger = logging.getLogger(__name__)

NO_CALL_S = 1.0
"""A bot that is done by itself sooner has said nothing."""
CANCEL_TIMEOUT_S = 1.5
"""What a bot may take to end when it is cancelled; then it is left behind, and said so."""


class EndReason(StrEnum):
    """Why a call ended; the value is what people read."""

    BOT_FINISHED = "the bot finished"
    BOT_FAILED = "the bot failed"
    CLIENT_LEFT = "the caller left"
    NEVER_CONNECTED = "the caller never connected"
    CONNECTION_LOST = "the connection was lost"
    TOO_LONG = "the longest call was reached"
    PROTOCOL_ERROR = "the caller broke the protocol"
    MOVED = "it goes on with the new code"
    SHUTDOWN = "botrun stopped"


@dataclass(frozen=True)
class BotFailure:
    """What the bot's code failed with, and where in the user's code."""

    message: str
    path: Path
    line: int | None

    def __str__(self) -> str:
        place = f"{self.path.name}:{self.line}" if self.line else self.path.name
        return f"{place}: {self.message}"


class TooManySessionsError(BotrunError):
    """No further call is taken while so many are under way."""


@dataclass(frozen=True, kw_only=True)
class SessionLimits:
    """Bounds on calls. 0 is no bound.

    Attributes:
        sessions: calls at once.
        call_s: the longest call (s).
    """

    sessions: int = 0
    call_s: float = 0.0


OnEnd = Callable[["Session"], Awaitable[None]]


class SoundReport(Protocol):
    """How a call's sound fares, where its transport can tell."""

    def latest(self) -> dict[str, float | int | None]:
        """Figures of the last seconds, for a JSON answer."""

    def sentence(self) -> str:
        """The whole call in words; "" if there is nothing to tell."""


class Session:
    """One call. The bot is called as soon as the loop comes to it.

    Attributes:
        id: names it in logs, records and addresses.
        kind: how the caller came: "webrtc", "twilio", …
        end_reason: None while it lasts.
        error: what the bot failed with, if it did.
        figures: what is measured of it.
        sound: how its sound fares, if the door knows.
        conversation: what of it goes along when the code changes.
        goes_on: whether it was handed over to newer code: it ends only here.
    """

    def __init__(
        self,
        bot: LoadedBot,
        kind: str,
        args: RunnerArguments,
        on_end: OnEnd | None,
        figures: CallFigures | None = None,
        conversation: Conversation | None = None,
    ) -> None:
        self.id = args.session_id
        self.kind = kind
        self.args = args
        self.end_reason: EndReason | None = None
        self.error: BotFailure | None = None
        self.sound: SoundReport | None = None
        self.goes_on = False
        self.ended_at: float | None = None
        self.ended = asyncio.Event()
        self.figures = figures or CallFigures()
        self.conversation = conversation or Conversation()
        self.conversation.state = args.session_state
        self.started_at = time.monotonic() - self.conversation.secs
        self.figures.turn_s = list(self.conversation.turn_s)
        self.waits_over = asyncio.Event()
        self._bot = bot
        self._on_end = on_end
        self._left_behind = asyncio.Event()
        self._task = asyncio.create_task(self._call_bot(), name=f"bot {self.id}")

    @property
    def duration_s(self) -> float:
        """How long the call lasts or lasted."""
        return (self.ended_at or time.monotonic()) - self.started_at

    @property
    def is_over(self) -> bool:
        """Whether the bot has ended, or is being ended."""
        return self.end_reason is not None or self._task.done()

    async def run(self, limit_s: float) -> None:
        """See the call to its end."""
        logger.info("session %s started (%s)", self.id, self.kind, extra={"session": self.id})
        released = asyncio.create_task(self._left_behind.wait())
        waits = [self._task, released]
        try:
            left_s = max(limit_s - self.conversation.secs, 0.0) if limit_s else None
            done, _ = await asyncio.wait(waits, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                await self.end(EndReason.TOO_LONG)
        finally:
            released.cancel()
        await self._finish()

    async def end(self, reason: EndReason, grace_s: float = 0.0) -> None:
        """End the call. The bot may finish by itself within `grace_s`; then it is cancelled.

        The first reason stands. Returns when the bot has ended or is left behind.
        """
        if self.end_reason is None:
            self.end_reason = reason
        if grace_s:
            await asyncio.wait([self._task], timeout=grace_s)
        self._task.cancel()
        _, stubborn = await asyncio.wait([self._task], timeout=CANCEL_TIMEOUT_S)
        if stubborn:
            logger.warning(
                "session %s: the bot does not end when it is cancelled (does it catch CancelledError?); "
                "it was left behind",
                self.id,
                extra={"session": self.id},
            )
            self._left_behind.set()

    async def _call_bot(self) -> None:
        enter_call(self.figures)
        current.set(self.conversation)
        try:
            await self._bot.function(self.args)
        except (Exception, SystemExit) as error:  # the boundary to the bot's own code
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        path, line = place_of(error, self._bot.path)
        text = str(error) if isinstance(error, BotrunError) else in_words(error)
        self.error = BotFailure(text, path, line)
        if self.end_reason is None:
            self.end_reason = EndReason.BOT_FAILED
        extra = {"session": self.id}
        logger.error("session %s: the bot failed at %s", self.id, self.error, exc_info=error, extra=extra)

    def _wonder(self) -> None:
        """A bot that is done before anything could be said has most likely forgotten its last line."""
        if not self.figures.has_pipeline and self.duration_s < NO_CALL_S:
            logger.warning(
                "session %s: %s returned at once and ran no pipeline: the caller hears nothing. "
                "It ends in `await PipelineRunner().run(PipelineTask(pipeline))`",
                self.id,
                self._bot.path.name,
                extra={"session": self.id},
            )

    async def _finish(self) -> None:
        self.ended_at = time.monotonic()
        if self.end_reason is None:
            self.end_reason = EndReason.BOT_FINISHED
            self._wonder()
        if self._on_end is not None:
            try:
                await self._on_end(self)
            except Exception:  # a door's clean-up must not keep the call in the list
                logger.exception("session %s: cleaning up failed", self.id)
        sound = self.sound.sentence() if self.sound is not None else ""
        logger.info(
            "session %s ended after %.1f s: %s%s%s",
            self.id,
            self.duration_s,
            self.end_reason,
            f"; {told}" if (told := self.figures.summary()) else "",
            f". {sound}" if sound else "",
            extra={"session": self.id},
        )


class Sessions:
    """The calls of this process. `figures`: what is counted of them."""

    def __init__(self, bot: LoadedBot, limits: SessionLimits | None = None) -> None:
        self._bot = bot
        self._limits = limits or SessionLimits()
        self.figures = Figures()
        self._active: dict[str, Session] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    @property
    def active(self) -> Mapping[str, Session]:
        """The calls under way, by id."""
        return MappingProxyType(self._active)

    def knows(self, name: str) -> bool:
        """Whether a call under way has this id, or this id of its provider's."""
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
    ) -> Session:
        """Begin a call: the bot runs at once, in a task of its own.

        `on_end` is awaited once when the bot has ended, before the session counts as ended. `call_s` bounds
        this call (s), where that is less than the limit for all. `conversation` is one that goes on.

        Raises:
            TooManySessionsError: the limit is reached, or botrun is stopping.
        """
        if self._closed:
            raise self._refusal("botrun is stopping and takes no more calls")
        if self._limits.sessions and len(self._active) >= self._limits.sessions:
            raise self._refusal(
                f"{len(self._active)} calls are under way, which is the limit (BOTRUN_MAX_SESSIONS)"
            )
        goes_on = conversation is not None and conversation.goes_on
        figures = self.figures.begin(kind, args.session_id, goes_on=goes_on)
        session = Session(self._bot, kind, args, on_end, figures, conversation)
        self._active[session.id] = session
        self._tasks[session.id] = asyncio.create_task(
            self._see_through(session, call_s), name=f"session {session.id}"
        )
        return session

    def _refusal(self, sentence: str) -> TooManySessionsError:
        self.figures.refused += 1
        return TooManySessionsError(sentence)

    async def _see_through(self, session: Session, call_s: float) -> None:
        bounds = [bound for bound in (call_s, self._limits.call_s) if bound]
        try:
            await session.run(min(bounds, default=0.0))
        finally:
            del self._active[session.id], self._tasks[session.id]
            reason = session.end_reason.name.lower() if session.end_reason else "unknown"
            self.figures.end(session.kind, reason, session.figures, goes_on=session.goes_on)
            session.ended.set()

    async def end(self, session_id: str, reason: EndReason, grace_s: float = 0.0) -> None:
        """End a call, if it is still under way."""
        session = self._active.get(session_id)
        if session is not None:
            await session.end(reason, grace_s)

    def lose(self, kind: str) -> None:
        """A call came from older code, but its caller did not."""
        self.figures.ended[kind, EndReason.CONNECTION_LOST.name.lower()] += 1

    async def end_all(self, reason: EndReason, timeout_s: float) -> None:
        """End all calls and take no more; returns within `timeout_s`."""
        self._closed = True
        tasks = list(self._tasks.values())
        ends = [asyncio.create_task(session.end(reason)) for session in self._active.values()]
        if ends:
            await asyncio.wait([*ends, *tasks], timeout=timeout_s)


def new_session_id() -> str:
    """A short id that nobody can guess."""
    return worker_prefix() + secrets.token_hex(8)
