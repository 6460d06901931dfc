"""What a call was like, as far as calls are compared by it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.records.answers import Answer
from runner.records.call import RecordedCall
from runner.turns.segments import words_of

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something that was said, by "caller" (as it was understood) or "bot".

    Attributes:
        text: of the bot, what it meant to say; if it was interrupted, what was heard.
        unheard: words that it meant to say and nobody heard, though nobody interrupted.
    """

    at_s: float
    who: str
    text: str
    interrupted: bool = False
    unheard: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """One call of a tool; its result as it was recorded."""

    name: str
    arguments: Mapping[str, Any]
    result: Any = None
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One call. Times in seconds; None where there was nothing to measure."""

    id: str
    transport: str
    lines: tuple[Line, ...]
    tools: tuple[ToolUse, ...]
    answers: tuple[Answer, ...]
    stops_s: tuple[float, ...]
    greeting_s: float | None
    interruptions: int
    underruns: int
    errors: tuple[str, ...]
    keys: str
    end: str
    problem: str
    speech_s: tuple[float, ...] = field(default=())
    """How long each utterance of the caller lasted."""

    def said(self, who: str) -> tuple[Line, ...]:
        """The lines of one side."""
        return tuple(line for line in self.lines if line.who == who)


def facts_of(record: RecordedCall, speech_s: Sequence[float] = ()) -> Facts:
    """What a recorded call was like."""
    events, head = record.events, record.head
    figures, summary = head.get("figures") or {}, record.summary
    bot = list(_bot_lines(events)) or list(_heard_lines(record))
    caller = [
        Line(at_s=word.from_s, who="caller", text=word.text)
        for word in record.words
        if word.speaker == "caller"
    ]
    return Facts(
        id=record.id,
        transport=str(head.get("transport")),
        lines=tuple(sorted([*caller, *bot], key=lambda line: line.at_s)),
        tools=tuple(_tools(events)),
        answers=tuple(record.answers),
        stops_s=tuple(_stops(events)),
        greeting_s=_greeting(events),
        interruptions=sum(
            event["kind"] == "bot_stopped" and bool(event.get("interrupted")) for event in events
        ),
        underruns=int(figures.get("underruns") or 0),
        errors=tuple(str(event.get("message", "")) for event in events if event["kind"] == "error"),
        keys="".join(str(e.get("digit", "")) for e in events if e["kind"] == "key" and e.get("by") == "bot"),
        end=summary.end_reason,
        problem=_problem(head),
        speech_s=tuple(speech_s),
    )


def _problem(head: Mapping[str, Any]) -> str:
    """The bot's own failure; a failed expectation of an earlier report says nothing about the call."""
    failure = head.get("failure") or {}
    return str(failure.get("message", "")) if failure else ""


# ------------------------------------------------------------------ what the bot said


@dataclass(slots=True)
class _Reply:
    at_s: float
    meant: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    interrupted: bool = False


def _bot_lines(events: Sequence[Event]) -> Iterator[Line]:
    """The bot's replies; one that was thrown away before anybody heard it is none."""
    replies: dict[Any, _Reply] = {}
    waiting: list[tuple[Any, str]] = []  # words that were sent to the voice and not heard yet
    hung_up = any(event["kind"] == "ended" and event.get("reason") == "BOT_FINISHED" for event in events)
    for event in events:
        match event["kind"]:
            case "sentence" if event.get("text"):
                reply = replies.setdefault(event.get("reply"), _Reply(float(event["t"])))
                reply.meant.append(str(event["text"]))
                waiting += [(event.get("reply"), word) for word in words_of(str(event["text"]))]
            case "heard":
                _hear(replies, waiting, event)
            case "bot_stopped" if event.get("interrupted"):
                for number in {number for number, _ in waiting}:
                    replies[number].interrupted = True
                waiting.clear()
            case "interruption":
                unheard = {number for number, _ in waiting if not replies[number].heard}
                waiting = [each for each in waiting if each[0] not in unheard]
                for number in unheard:
                    replies[number].interrupted = True
    left = {number: [word for other, word in waiting if other == number] for number, _ in waiting}
    for number, reply in replies.items():
        if reply.heard or (not reply.interrupted and hung_up):
            yield _line(reply, left.get(number, []) if hung_up else [])


def _hear(replies: dict[Any, _Reply], waiting: list[tuple[Any, str]], event: Event) -> None:
    for word in words_of(str(event.get("text", ""))):
        place = next((i for i, (_, expected) in enumerate(waiting) if expected == word), None)
        if place is None:
            continue
        reply = replies[waiting[place][0]]
        if not reply.heard:
            reply.at_s = float(event["t"])
        reply.heard.append(word)
        del waiting[place]


def _line(reply: _Reply, unheard: Sequence[str]) -> Line:
    text = " ".join(reply.heard) if reply.interrupted else " ".join(reply.meant)
    return Line(
        at_s=reply.at_s, who="bot", text=text, interrupted=reply.interrupted, unheard=" ".join(unheard)
    )


def _heard_lines(record: RecordedCall) -> Iterator[Line]:
    """What was heard, where it is not known what was meant (bots on Pipecat)."""
    for word in record.words:
        if word.speaker == "bot":
            yield Line(at_s=word.from_s, who="bot", text=word.text, interrupted=word.interrupted)


# ------------------------------------------------------------------ the rest


def _tools(events: Sequence[Event]) -> Iterator[ToolUse]:
    results = {event.get("id"): event for event in events if event["kind"] == "tool_result"}
    for event in events:
        if event["kind"] == "tool_call":
            answer = results.get(event.get("id"), {})
            yield ToolUse(
                name=str(event.get("name", "")),
                arguments=dict(event.get("arguments") or {}),
                result=answer.get("result"),
                failed=bool(answer.get("failed")),
            )


def _stops(events: Sequence[Event]) -> Iterator[float]:
    """From the caller's first sound over the bot to the bot's silence."""
    began: float | None = None
    for event in events:
        if event["kind"] == "user_started":
            began = float(event["t"])
        elif event["kind"] == "bot_stopped" and event.get("interrupted") and began is not None:
            yield max(float(event["t"]) - began, 0.0)
            began = None


def _greeting(events: Sequence[Event]) -> float | None:
    """From the call's start to the bot's first sound, if it spoke first."""
    first = next((e for e in events if e["kind"] in ("bot_started", "user_started")), None)
    return float(first["t"]) if first is not None and first["kind"] == "bot_started" else None
