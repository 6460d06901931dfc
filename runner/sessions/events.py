"""Typed events of one session: what happened in a call, when, and caused by whom.

`CallEvents` passes each event to its subscribers, such as the call's record. A pipeline emits into the events
of its session (`current_events`); outside a session there are no subscribers. Times are seconds of the call's
clock, which is the event loop's.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """Something that happened in a call.

    Attributes:
        at: when it happened (s).
        seen: when it was noticed (s), if that was later.
    """

    kind: ClassVar[str] = ""
    content: ClassVar[frozenset[str]] = frozenset()
    """Fields with what people said or private data of the bot; records can leave them out."""

    at: float
    seen: float | None = None

    def as_fields(self) -> dict[str, Any]:
        """The event's own fields by name, without those that are None."""
        kind = type(self)
        names = _NAMES.get(kind)
        if names is None:
            names = _NAMES[kind] = tuple(each.name for each in fields(self) if each.name not in _TIMES)
        values = ((name, getattr(self, name)) for name in names)
        return {name: value for name, value in values if value is not None}


_TIMES = frozenset({"at", "seen"})
_NAMES: dict[type, tuple[str, ...]] = {}
"""The field names of each kind of event; cached, because `fields` is slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(CallEvent):
    kind: ClassVar[str] = "started"
    transport: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(CallEvent):
    """Media can flow."""

    kind: ClassVar[str] = "connected"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineChanged(CallEvent):
    """A pipeline started or ended. `state`: "started" or "ended"."""

    kind: ClassVar[str] = "pipeline"
    state: str
    processors: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStarted(CallEvent):
    kind: ClassVar[str] = "user_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStopped(CallEvent):
    """The user's speech ended at `at`; the VAD waited until `seen` for a continuation."""

    kind: ClassVar[str] = "user_stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words(CallEvent):
    """Final words; `InterimWords` are preliminary ones. `confidence`: 0 to 1."""

    kind: ClassVar[str] = "final"
    content: ClassVar[frozenset[str]] = frozenset({"text"})
    text: str
    service: str = ""
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InterimWords(Words):
    kind: ClassVar[str] = "interim"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnded(CallEvent):
    """The user's turn is over. `by`: what detected it."""

    kind: ClassVar[str] = "turn_ended"
    content: ClassVar[frozenset[str]] = frozenset({"text"})
    by: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyEvent(CallEvent):
    """An event of one reply."""

    reply: int | None = None
    service: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMStarted(ReplyEvent):
    kind: ClassVar[str] = "llm_started"
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMFirstToken(ReplyEvent):
    kind: ClassVar[str] = "llm_first_token"
    ttfb_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMEnded(ReplyEvent):
    kind: ClassVar[str] = "llm_ended"
    content: ClassVar[frozenset[str]] = frozenset({"text"})
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(CallEvent):
    kind: ClassVar[str] = "tool_call"
    content: ClassVar[frozenset[str]] = frozenset({"arguments"})
    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswered(CallEvent):
    kind: ClassVar[str] = "tool_result"
    content: ClassVar[frozenset[str]] = frozenset({"result"})
    id: str
    name: str
    result: Any = None
    seconds: float | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCancelled(CallEvent):
    kind: ClassVar[str] = "tool_cancelled"
    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceToVoice(ReplyEvent):
    kind: ClassVar[str] = "sentence"
    content: ClassVar[frozenset[str]] = frozenset({"text"})
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceFirstSound(ReplyEvent):
    kind: ClassVar[str] = "voice_first_sound"
    ttfb_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundSent(CallEvent):
    """The first chunk of an utterance was sent."""

    kind: ClassVar[str] = "sound_sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class BotStarted(CallEvent):
    kind: ClassVar[str] = "bot_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class BotStopped(CallEvent):
    kind: ClassVar[str] = "bot_stopped"
    interrupted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BotPaused(CallEvent):
    kind: ClassVar[str] = "bot_paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class BotResumed(CallEvent):
    kind: ClassVar[str] = "bot_resumed"
    gap_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard(CallEvent):
    """The caller heard these words of the bot."""

    kind: ClassVar[str] = "heard"
    content: ClassVar[frozenset[str]] = frozenset({"text"})
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(CallEvent):
    kind: ClassVar[str] = "interruption"


@dataclass(frozen=True, slots=True, kw_only=True)
class Muted(CallEvent):
    kind: ClassVar[str] = "muted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmuted(CallEvent):
    kind: ClassVar[str] = "unmuted"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPressed(CallEvent):
    """`by`: "caller" or "bot"."""

    kind: ClassVar[str] = "key"
    content: ClassVar[frozenset[str]] = frozenset({"digit"})
    digit: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(CallEvent):
    kind: ClassVar[str] = "metric"
    metric: str
    processor: str
    value_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(CallEvent):
    """An error. `file`, `line`: its place in the user's code, if any."""

    kind: ClassVar[str] = "error"
    content: ClassVar[frozenset[str]] = frozenset({"message"})
    message: str
    processor: str = ""
    fatal: bool = False
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried(CallEvent):
    """A service retries a request or connection."""

    kind: ClassVar[str] = "retry"
    content: ClassVar[frozenset[str]] = frozenset({"message"})
    service: str
    attempt: int | None = None
    wait_s: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FellBack(CallEvent):
    """Another service took over."""

    kind: ClassVar[str] = "fallback"
    content: ClassVar[frozenset[str]] = frozenset({"message"})
    service: str
    to: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStalled(CallEvent):
    """The event loop was blocked until `at`. `cause`: "bot_code", "garbage_collection", "busy_machine",
    "import", "library" or "botrun"."""

    kind: ClassVar[str] = "stall"
    seconds: float
    cause: str
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputStalled(CallEvent):
    """No media came from the caller for `seconds`, until `at`."""

    kind: ClassVar[str] = "input_stalled"
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged(CallEvent):
    kind: ClassVar[str] = "log"
    content: ClassVar[frozenset[str]] = frozenset({"message"})
    level: str
    logger: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(CallEvent):
    kind: ClassVar[str] = "ended"
    reason: str
    text: str
    detail: str = ""


Take = Callable[[CallEvent], None]


class CallEvents:
    """The events of one call, for its subscribers."""

    def __init__(self) -> None:
        self._takers: tuple[Take, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether there are subscribers."""
        return bool(self._takers)

    @contextlib.contextmanager
    def subscribed(self, take: Take) -> Iterator[None]:
        """Pass each event to `take` while the block runs; `take` must not block."""
        self.subscribe(take)
        try:
            yield
        finally:
            self._takers = tuple(other for other in self._takers if other is not take)

    def subscribe(self, take: Take) -> None:
        """Pass each event to `take` until the end of the call; `take` must not block."""
        self._takers = (*self._takers, take)

    def emit(self, event: CallEvent) -> None:
        """Pass an event to all subscribers. If one raises, the error is logged and the call continues."""
        for take in self._takers:
            try:
                take(event)
            except Exception:  # a subscriber's error must not end the call
                logger.exception("a subscriber failed on the event %s", event.kind)


_current: ContextVar[CallEvents | None] = ContextVar("botrun call events", default=None)


def enter_events(events: CallEvents) -> None:
    """From now on, code in this context emits into this session's events."""
    _current.set(events)


def current_events() -> CallEvents:
    """The events of this context's session; outside a session, events without subscribers."""
    return _current.get() or CallEvents()
