"""`Session`: one call and everything it owns.

A session runs the bot in its own task. It ends once, with an `EndReason`: the bot returned or failed, the
caller left, a limit was reached, or botrun stops.
"""

from __future__ import annotations

import asyncio
import linecache
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from runner.arguments import RunnerArguments
from runner.botcode.failure import advice_of, in_words, place_of
from runner.botcode.loader import LoadedBot
from runner.errors import BotrunError
from runner.eventloop import worker_prefix
from runner.eventloop.trace_context import enter_trace
from runner.eventloop.waiting import first_of
from runner.processors.handover_state import Conversation
from runner.sessions.events import CallEvents, enter_events
from runner.sessions.stats import CallFigures, enter_call
from runner.settings.credentials import hide
from runner.transports.session_port import SessionPort, enter_session

logger = logging.getLogger(__name__)

NO_CALL_S = 1.0
"""A bot that returns within this time (s) without a pipeline gets a warning."""
HANDLERS_S = 2.0
"""When botrun stops: time (s) for a bot to end by itself after `on_client_disconnected`."""
LOOK_S = 0.02
"""Interval (s) at which a stopping session checks whether its bot is silent."""
CANCEL_TIMEOUT_S = 1.5
"""Time (s) after which a cancelled bot that has not ended is abandoned with a warning."""


class EndReason(StrEnum):
    """Why a call ended; the value is shown to users."""

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
    """The error that ended the bot, and its place in the user's code.

    Attributes:
        exception: type and message, without advice.
        source: the text of the line.
        advice: how to fix it, or "".
    """

    message: str
    path: Path
    line: int | None
    exception: str = ""
    source: str = ""
    advice: str = ""

    def __str__(self) -> str:
        place = f"{self.path.name}:{self.line}" if self.line else self.path.name
        return f"{place}: {self.message}"


OnEnd = Callable[["Session"], Awaitable[None]]


class Recording(Protocol):
    """A call's record while the call runs (`recording.py`)."""

    @property
    def path(self) -> Path | None:
        """The record's folder; None before it exists."""

    def received_before(self, messages: list[str | bytes]) -> None:
        """Messages that came before the session began."""

    def finish(self) -> None:
        """The call is over."""


class SoundReport(Protocol):
    """The quality of a call's sound, for transports that measure it."""

    def latest(self) -> dict[str, float | int | None]:
        """Measurements of the last seconds, for a JSON answer."""

    def sentence(self) -> str:
        """A sentence about the whole call, or ""."""


class Session:
    """One call. The bot starts in the event loop's next iteration.

    Attributes:
        id: the call's id in logs, records and URLs.
        kind: the transport: "webrtc", "twilio", …
        end_reason: None while the call lasts.
        end_detail: a phrase with details of the reason, or "".
        port: connects the session with the bot's transport; `port.hang_up` says how the provider's call ends.
        error: the error that the bot failed with, if any.
        remark: why the caller heard nothing although the bot did not fail.
        figures: the call's statistics.
        sound: the quality of its sound, if it is measured.
        conversation: the state that is kept across reloads of the bot.
        goes_on: whether the call was handed over to newer code and ends only in this process.
        events: what happens in the call.
        recording: its record; None if it is not recorded.
        traceparent: the trace context for its requests to services; None if it is not traced.
        clock: the call's clock (s), which is the event loop's.
    """

    def __init__(
        self,
        bot: LoadedBot,
        kind: str,
        args: RunnerArguments,
        on_end: OnEnd | None,
        figures: CallFigures | None = None,
        conversation: Conversation | None = None,
        port: SessionPort | None = None,
    ) -> None:
        self.id = args.session_id
        self.kind = kind
        self.args = args
        self.end_reason: EndReason | None = None
        self.end_detail = ""
        self.port = port or SessionPort()
        self.error: BotFailure | None = None
        self.remark = ""
        self.sound: SoundReport | None = None
        self.goes_on = False
        self.events = CallEvents()
        self.recording: Recording | None = None
        self.traceparent: Callable[[], str] | None = None
        self.clock = asyncio.get_running_loop().time
        self.ended_at: float | None = None
        self.ended = asyncio.Event()
        self.figures = figures or CallFigures()
        self.conversation = conversation or self.port.conversation
        self.conversation.state = args.session_state
        self.port.conversation = self.conversation
        self.started_at = time.monotonic() - self.conversation.secs
        self.figures.turn_s = list(self.conversation.turn_s)
        self.waits_over = asyncio.Event()
        self._bot = bot
        self._on_end = on_end
        self._abandoned = asyncio.Event()
        self._task = asyncio.create_task(self._call_bot(), name=f"bot {self.id}")

    @property
    def duration_s(self) -> float:
        """Length of the call so far (s)."""
        return (self.ended_at or time.monotonic()) - self.started_at

    @property
    def here_s(self) -> float:
        """Length of the call in this process (s); `duration_s` includes the time before a reload."""
        return self.duration_s - self.conversation.secs

    @property
    def is_over(self) -> bool:
        """Whether the bot has ended, or is being ended."""
        return self.end_reason is not None or self._task.done()

    async def run(self, limit_s: float) -> None:
        """Wait for the end of the call and clean up."""
        logger.info("session %s started (%s)", self.id, self.kind, extra={"session": self.id})
        left_s = max(limit_s - self.conversation.secs, 0.0) if limit_s else None
        if not await first_of(asyncio.wait({self._task}), self._abandoned.wait(), timeout_s=left_s):
            await self.end(EndReason.TOO_LONG)
        await self._finish()

    async def end(self, reason: EndReason, grace_s: float = 0.0, *, detail: str = "") -> None:
        """End the call: cancel the bot unless it finishes within `grace_s`.

        The first reason counts. Returns when the bot has ended or was abandoned.
        """
        if self.end_reason is None:
            self.end_reason, self.end_detail = reason, detail
        if grace_s:
            await asyncio.wait([self._task], timeout=grace_s)
        self._task.cancel()
        _, stubborn = await asyncio.wait([self._task], timeout=CANCEL_TIMEOUT_S)
        if stubborn:
            logger.warning(
                "session %s: the bot did not end within %g s of being cancelled and was abandoned. If it "
                "catches CancelledError, raise it again",
                self.id,
                CANCEL_TIMEOUT_S,
                extra={"session": self.id},
            )
            self._abandoned.set()

    async def shut_down(self, grace_s: float) -> None:
        """End the call because botrun stops.

        The bot finishes what it is saying, its `on_client_disconnected` runs, and it may end by itself, all
        within `grace_s`. Up to half of that is kept for the handlers.
        """
        if self.end_reason is None:
            self.end_reason = EndReason.SHUTDOWN
        clock = asyncio.get_running_loop().time
        until = clock() + grace_s
        if grace_s and not self._task.done():
            self.conversation.leaves = True
            await self._played_out(until - min(HANDLERS_S, grace_s / 2))
            # A bot that gets no `on_client_disconnected` does not end by itself.
            until = min(until, clock() + (HANDLERS_S if self.port.disconnect() else 0.0))
        await self.end(EndReason.SHUTDOWN, max(until - clock(), 0.0))

    async def _played_out(self, until: float) -> None:
        """Wait until the bot is silent, at most until this time (s) on the loop's clock."""
        clock = asyncio.get_running_loop().time
        while self.conversation.bot_speaks() and not self._task.done() and clock() < until:
            await asyncio.sleep(min(LOOK_S, max(until - clock(), 0.0)))

    async def _call_bot(self) -> None:
        enter_call(self.figures)
        enter_session(self.port)
        enter_events(self.events)
        if self.traceparent is not None:
            enter_trace(self.traceparent)
        try:
            await self._bot.function(self.args)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # the bot's failure must not end other calls
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        path, line = place_of(error, self._bot.path)
        text = str(error) if isinstance(error, BotrunError) else in_words(error)
        source = linecache.getline(str(path), line).strip() if line else ""
        exception, advice = in_words(error, hints=False), advice_of(error, text)
        # Shown on the caller's page, so mask secrets.
        words = [hide(one) for one in (text, exception, source, advice or "")]
        self.error = BotFailure(words[0], path, line, *words[1:])
        if self.end_reason is None:
            self.end_reason = EndReason.BOT_FAILED
        extra = {"session": self.id}
        logger.error("session %s: the bot failed at %s", self.id, self.error, exc_info=error, extra=extra)

    def _check_pipeline(self) -> None:
        """Warn about a bot that returned at once: it probably lacks its last line."""
        if not self.figures.has_pipeline and self.here_s < NO_CALL_S:
            self.remark = (
                f"{self._bot.path.name} returned at once and ran no pipeline: the caller hears nothing. "
                "End the bot with `await PipelineRunner().run(PipelineTask(pipeline))`"
            )
            logger.warning("session %s: %s", self.id, self.remark, extra={"session": self.id})

    async def _finish(self) -> None:
        self.ended_at = time.monotonic()
        if self.end_reason is None:
            self.end_reason = EndReason.BOT_FINISHED
            self._check_pipeline()
        if self._on_end is not None:
            try:
                await self._on_end(self)
            except Exception:  # the call must leave the list even if cleaning up fails
                logger.exception("session %s: cleaning up failed", self.id)
        sound = self.sound.sentence() if self.sound is not None else ""
        logger.info(
            "session %s ended after %.1f s: %s%s%s%s",
            self.id,
            self.duration_s,
            self.end_reason,
            f" ({self.end_detail})" if self.end_detail else "",
            f"; {summary}" if (summary := self.figures.summary()) else "",
            f". {sound}" if sound else "",
            extra={"session": self.id},
        )


def new_session_id() -> str:
    """A short random id."""
    return worker_prefix() + secrets.token_hex(8)
