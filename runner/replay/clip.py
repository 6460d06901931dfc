"""The caller of a recorded call: what they said and pressed, and when it was their turn to. Pure.

Times are seconds of the recorded call; positions in its sound count from the call's start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.callers.sound.bot_sound import Span, SpeechDetector
from runner.records.call import RecordedCall
from runner.records.sound import SETTLE_S, Piece, Samples, decode, place_arriving
from runner.records.wire import message_type

WINDOW_S = 0.02
LEAST_LEVEL = 120.0
"""RMS (of 32768) from which on a window of the caller's sound can be speech."""

ABOVE_NOISE = 3.0
PAUSE_S = 0.3
"""A pause (s) of the caller up to this belongs to what they say."""

BEFORE_S = 0.1
"""So much (s) of the sound before speech belongs to it: a soft beginning."""

ROOM_S = 0.4


class When(StrEnum):
    """What the caller waits for before an action."""

    CLOCK = "clock"
    """The same time since their last action, or since the call's start."""
    SILENCE = "silence"
    """The bot has been silent for as long as it was then."""
    OVER = "over"
    """The bot has spoken for as long as it had then: the caller speaks over it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that the caller does.

    Attributes:
        at_s: when it was done.
        when, seconds: what for the caller waits, and how long that was.
        spans: how often the bot had begun to speak since the action before.
        what: "speech", "key", "app" (a message of the data channel) or "hang_up".
        until_s: of speech: the end of what is said; the sound goes on to the next action.
        text: the key, or the message.
    """

    at_s: float
    what: str
    when: When = When.CLOCK
    seconds: float = 0.0
    spans: int = 0
    until_s: float = 0.0
    text: str = ""

    @property
    def ends_s(self) -> float:
        """When it was done with."""
        return max(self.until_s, self.at_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """All that the caller did.

    Attributes:
        pcm: their whole channel at `sample_rate` (Hz).
        room: a piece without speech, which fills silences that are longer now.
        stream_s: where their media begins in it (s).
    """

    sample_rate: int
    pcm: Samples
    room: Samples
    actions: tuple[Action, ...]
    stream_s: float = 0.0

    def sound(self, from_s: float, to_s: float) -> Samples:
        """A part of the caller's channel."""
        begin, end = (max(0, round(at * self.sample_rate)) for at in (from_s, to_s))
        return self.pcm[begin:end]


def clip_of(record: RecordedCall) -> Clip:
    """The caller of this call.

    Raises:
        RecordError: it has no sound.
    """
    sound = record.sound
    speech = spoken_parts(sound.caller, sound.sample_rate, record.events)
    bot = SpeechDetector(sound.sample_rate)
    bot.hear(0.0, sound.bot.astype("<i2").tobytes())
    actions = sorted([*_speech(speech), *_keys(record), *_messages(record)], key=lambda each: each.at_s)
    actions.append(_hang_up(record))
    return Clip(
        sample_rate=sound.sample_rate,
        pcm=sound.caller,
        room=_room(sound.caller, sound.sample_rate, speech),
        actions=tuple(_anchored(actions, bot.spans)),
        stream_s=_stream_begins(record),
    )


def media_of(record: RecordedCall) -> tuple[list[Piece], int]:
    """The caller's messages with media, each with its time, and their sample rate (Hz).

    Raises:
        RecordError: there is no media.
    """
    data, encoding, rate = record.media("inbound")
    pieces, rate = decode(record.wire, data, encoding, rate, inbound=True)
    return [piece for piece in pieces if isinstance(piece, Piece)], rate


def _stream_begins(record: RecordedCall) -> float:
    """Where the caller's media begins in the rendered sound (s)."""
    pieces, rate = media_of(record)
    early = [piece for piece in pieces if piece.t <= pieces[0].t + SETTLE_S]
    return (len(place_arriving(early, rate)) - sum(len(piece.pcm) for piece in early)) / rate


# ------------------------------------------------------------------ what the caller did


def spoken_parts(pcm: Samples, sample_rate: int, events: Sequence[Mapping[str, Any]]) -> list[Span]:
    """Where the caller speaks: what is louder than their room, and what the VAD took for speech."""
    level = _levels(pcm, sample_rate)
    noise = float(np.quantile(level, 0.2)) if len(level) else 0.0
    loud = np.flatnonzero(level > max(LEAST_LEVEL, ABOVE_NOISE * noise))
    spans = [Span(float(at) * WINDOW_S, float(at + 1) * WINDOW_S) for at in loud]
    return _joined([*spans, *_noticed(events)])


def _noticed(events: Sequence[Mapping[str, Any]]) -> Iterator[Span]:
    began: float | None = None
    for event in events:
        if event["kind"] == "user_started":
            began = float(event["t"])
        elif event["kind"] == "user_stopped" and began is not None:
            yield Span(began, max(float(event["t"]), began))
            began = None


def _joined(spans: Sequence[Span]) -> list[Span]:
    found: list[Span] = []
    for span in sorted(spans, key=lambda each: each.begin):
        if found and span.begin - found[-1].end <= PAUSE_S:
            found[-1].end = max(found[-1].end, span.end)
        else:
            found.append(Span(span.begin, span.end))
    return found


def _levels(pcm: Samples, sample_rate: int) -> npt.NDArray[np.float64]:
    size = max(1, round(WINDOW_S * sample_rate))
    count = len(pcm) // size
    windows = pcm[: count * size].reshape(count, size).astype(np.float64)
    return np.sqrt(np.mean(windows**2, axis=1)) if count else np.zeros(0)


def _speech(parts: Sequence[Span]) -> Iterator[Action]:
    for part in parts:
        begin = max(part.begin - BEFORE_S, 0.0)
        yield Action(at_s=begin, what="speech", until_s=part.end)


def _keys(record: RecordedCall) -> Iterator[Action]:
    for event in record.events:
        if event["kind"] == "key" and event.get("by") == "caller" and event.get("digit"):
            yield Action(at_s=float(event["t"]), what="key", text=str(event["digit"]))


def _messages(record: RecordedCall) -> Iterator[Action]:
    """What the caller's page sent to the bot: typed text, and that it is ready."""
    for line in record.wire:
        text = line.text if line.inbound and line.kind == "app" else None
        if text and text.startswith("{") and message_type(text) != "signalling":
            yield Action(at_s=line.t, what="app", text=text)


def _hang_up(record: RecordedCall) -> Action:
    """If the bot hung up, the caller does so when the bot does not."""
    ended = next((float(e["t"]) for e in reversed(record.events) if e["kind"] == "ended"), record.duration_s)
    reason = (record.head.get("end") or {}).get("reason")
    return Action(at_s=ended, what="hang_up" if reason != "BOT_FINISHED" else "wait_for_hang_up")


def _room(pcm: Samples, sample_rate: int, speech: Sequence[Span]) -> Samples:
    """The quietest piece without speech; digital silence if there is none."""
    size = round(ROOM_S * sample_rate)
    edges = [
        0.0,
        *(at for span in speech for at in (span.begin - 0.1, span.end + 0.2)),
        len(pcm) / sample_rate,
    ]
    gaps = [
        pcm[max(0, round(a * sample_rate)) : round(b * sample_rate)] for a, b in list(pairwise(edges))[::2]
    ]
    pieces = [gap[at : at + size] for gap in gaps for at in range(0, len(gap) - size + 1, size)]
    if not pieces:
        return np.zeros(size, np.int16)
    return min(pieces, key=lambda piece: float(np.mean(piece.astype(np.float64) ** 2)))


# ------------------------------------------------------------------ whose turn it was


def _anchored(actions: Sequence[Action], bot: Sequence[Span]) -> Iterator[Action]:
    """Each action with what the caller had waited for."""
    begun, done = 0.0, 0.0  # begin and end of the action before
    for action in actions:
        yield _anchor(action, begun, done, [span for span in bot if span.begin < action.at_s])
        begun, done = action.at_s, max(done, action.ends_s)


def _anchor(action: Action, begun: float, done: float, bot: Sequence[Span]) -> Action:
    new = [span for span in bot if span.begin >= begun]
    fields = {name: getattr(action, name) for name in ("at_s", "what", "until_s", "text")}
    if new and new[-1].end > action.at_s:
        return Action(**fields, when=When.OVER, seconds=spoken_s(new, action.at_s), spans=len(new))
    if bot and done < bot[-1].end <= action.at_s:
        return Action(**fields, when=When.SILENCE, seconds=action.at_s - bot[-1].end, spans=len(new))
    return Action(**fields, when=When.CLOCK, seconds=action.at_s - done, spans=len(new))


def spoken_s(spans: Sequence[Span], until: float) -> float:
    """How long (s) was spoken in these, until a time."""
    return sum(max(0.0, min(span.end, until) - span.begin) for span in spans)
