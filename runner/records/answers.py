"""The silence before each answer, cut into what it was spent on. Pure.

Each segment ends where the next one begins, so that their sum is the silence. What was not seen belongs to
the segment behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from runner.records.render import first_audible, last_audible
from runner.records.sound import CallSound

Event = Mapping[str, Any]
SEGMENTS = (
    "waiting",
    "recogniser",
    "end_of_turn",
    "llm_first_token",
    "first_sentence",
    "voice_first_sound",
    "output",
    "line",
    "leading_silence",
)

USER_WITHIN_S, USER_AFTER_S = 1.0, 0.15
"""The VAD's end of speech is so much (s) after the audible end at most, or before it."""

BOT_BEFORE_S, BOT_WITHIN_S = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a silence; times in seconds of the call."""

    name: str
    from_s: float
    to_s: float

    @property
    def seconds(self) -> float:
        return self.to_s - self.from_s

    def as_dict(self) -> dict[str, Any]:
        """Its JSON."""
        return {
            "name": self.name,
            "from_s": round(self.from_s, 4),
            "to_s": round(self.to_s, 4),
            "seconds": round(self.seconds, 4),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer; the fields of `Answer` in `docs/records.md`."""

    n: int
    from_s: float
    to_s: float
    measured: str
    segments: tuple[Segment, ...]
    reply: int | None = None
    user_text: str = ""
    bot_text: str = ""
    interrupted: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def silence_s(self) -> float:
        return self.to_s - self.from_s

    def as_dict(self) -> dict[str, Any]:
        """Its JSON."""
        return {
            **asdict(self),
            "from_s": round(self.from_s, 4),
            "to_s": round(self.to_s, 4),
            "silence_s": round(self.silence_s, 4),
            "segments": [segment.as_dict() for segment in self.segments],
        }


def cut(since: float, until: float, ends: Mapping[str, float]) -> tuple[Segment, ...]:
    """The silence between two times (s), cut where its parts ended; the last one lasts until its end."""
    segments: list[Segment] = []
    at = since
    for name in SEGMENTS:
        if name in ends:
            end = min(max(ends[name], at), until)
            segments.append(Segment(name, at, end))
            at = end
    if at < until or not segments:
        name = segments.pop().name if segments and segments[-1].name in SEGMENTS[-2:] else "line"
        begin = segments[-1].to_s if segments else since
        segments.append(Segment(name, begin, until))
    return tuple(segments)


def answers_of(events: Sequence[Event], sound: CallSound | None = None) -> list[Answer]:
    """All answers of a call: each first sound of the bot after the user's speech."""
    answers: list[Answer] = []
    begin, stopped = 0, None
    for index, event in enumerate(events):
        kind = event["kind"]
        if kind == "user_started":
            stopped = None
        elif kind == "user_stopped":
            stopped = event
        elif kind == "bot_started":
            if stopped is not None:
                window = events[begin : index + 1]
                answers.append(_answer(len(answers) + 1, window, events[index + 1 :], stopped, sound))
            begin, stopped = index + 1, None
    return answers


def _answer(
    n: int, window: Sequence[Event], following: Sequence[Event], stopped: Event, sound: CallSound | None
) -> Answer:
    started = window[-1]
    ends, reply = _ends(window, stopped)
    since, until, measured = float(stopped["t"]), max(float(started["t"]), float(stopped["t"])), "events"
    ends["line"] = until
    if sound is not None and (edges := _edges(sound, stopped, started)) is not None:
        (since, until), measured = edges, "sound"
        if until > ends["line"]:
            ends["leading_silence"] = until
    bot_text, interrupted = _heard(following)
    return Answer(
        n=n,
        from_s=since,
        to_s=until,
        measured=measured,
        segments=cut(since, until, ends),
        reply=reply,
        user_text=" ".join(str(each.get("text", "")) for each in window if each["kind"] == "final").strip(),
        bot_text=bot_text,
        interrupted=interrupted,
        notes=tuple(_notes(window, since)),
    )


def _edges(sound: CallSound, stopped: Event, started: Event) -> tuple[float, float] | None:
    """Where the silence begins and ends in the sound; None if that cannot be seen."""
    rate, ended, began = sound.sample_rate, float(stopped["t"]), float(started["t"])
    latest = min(ended + USER_AFTER_S, max(float(stopped.get("seen", ended)), ended))
    since = last_audible(sound.caller, rate, latest, USER_WITHIN_S)
    earliest = max(began - BOT_BEFORE_S, ended)
    until = first_audible(sound.bot, rate, earliest, BOT_WITHIN_S)
    if since is None or until is None or until <= since:
        return None
    if since >= latest - 0.01 and latest > ended + 0.02:  # noise that does not end
        return None
    return since, until


def _ends(window: Sequence[Event], stopped: Event) -> tuple[dict[str, float], int | None]:
    """When each part was over, and the reply that is heard."""
    cuts = [index for index, event in enumerate(window) if event["kind"] == "interruption"]
    voices = [
        event for event in window[(cuts[-1] + 1 if cuts else 0) :] if event["kind"] == "voice_first_sound"
    ]
    reply = voices[0].get("reply") if voices else None

    def of_reply(kind: str, which: Callable[[list[Event]], Event]) -> float | None:
        found = [event for event in window if event["kind"] == kind and event.get("reply") == reply]
        return float(which(found)["t"]) if found and reply is not None else None

    def first(found: list[Event]) -> Event:
        return found[0]

    asked = of_reply("llm_started", first)
    finals = [float(event["t"]) for event in window if event["kind"] == "final"]
    before = [at for at in finals if asked is None or at <= asked + 0.001]
    sent = [float(event["t"]) for event in window if event["kind"] == "sound_sent"]
    ends = {
        "waiting": float(stopped.get("seen", stopped["t"])),
        "recogniser": before[-1] if before else None,
        "end_of_turn": asked,
        "llm_first_token": of_reply("llm_first_token", first),
        "first_sentence": of_reply("sentence", first),
        "voice_first_sound": float(voices[0]["t"]) if voices else None,
        "output": sent[-1] if sent else None,
    }
    return {name: at for name, at in ends.items() if at is not None}, reply


def _heard(following: Sequence[Event]) -> tuple[str, bool]:
    """What the listener heard of an answer, and whether it was interrupted."""
    words: list[str] = []
    for event in following:
        if event["kind"] == "heard":
            words.append(str(event.get("text", "")))
        elif event["kind"] == "bot_stopped":
            return " ".join(words).strip(), bool(event.get("interrupted"))
        elif event["kind"] == "bot_started":
            break
    return " ".join(words).strip(), False


def _notes(window: Sequence[Event], since: float) -> Iterator[str]:
    """What went wrong or took long in a silence."""
    for event in window:
        if float(event["t"]) < since:
            continue
        match event["kind"]:
            case "retry":
                yield f"retry: {event.get('service', '')}, attempt {event.get('attempt', 2)}"
            case "fallback":
                yield f"fallback: {event.get('service', '')} → {event.get('to', '')}"
            case "error":
                yield f"error: {event.get('processor', '')}: {event.get('message', '')}"
            case "stall":
                cause = event.get("place") or event.get("cause")
                yield f"event loop blocked for {event.get('seconds', 0):.2f} s: {cause}"
            case "tool_result":
                took = event.get("seconds")
                yield f"tool {event.get('name', '')}" + (
                    f": {took:.2f} s" if isinstance(took, int | float) else ""
                )
