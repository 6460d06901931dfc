"""What the services of a recorded call did, and when: made of its record. Pure.

Words of the recogniser are placed from the VAD's last event before them, answers of the model from its
request, a sentence's sound from the sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runner.playback.voice import Spoken, sentences_of
from runner.records.call import RecordedCall

Event = Mapping[str, Any]
HANGS_UP_WITHIN_S = 2.0
"""A bot that ends the call so long (s) after its last words has hung up."""

_CALLER = {"user_started": "started", "user_stopped": "stopped", "key": "key"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """Words that the recogniser gave out `delay_s` after the `index`-th "started" or "stopped" of the VAD, or
    "key" of the caller; index 0 is the call's start."""

    after: str
    index: int
    delay_s: float
    text: str
    final: bool
    service: str = ""
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One answer of the model: its text, and the tools that it called then.

    Attributes:
        first_s: from the request to the first token; None if there was none.
        sentence_s: from the request to the first sentence's end, and `sentence`, that sentence.
        total_s: from the request to the end.
        failure: what the service failed with, or "".
        ends_call: whether the bot hung up after it.
    """

    service: str = ""
    text: str = ""
    first_s: float | None = None
    sentence: str = ""
    sentence_s: float | None = None
    total_s: float = 0.0
    calls: tuple[tuple[str, str, Mapping[str, Any]], ...] = ()
    failure: str = ""
    ends_call: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """What a tool answered after `seconds`; None: it was cancelled before. `said`: what it had the bot say
    meanwhile, and when (s). `ends_call`: the bot hung up after it."""

    name: str
    arguments: Mapping[str, Any]
    result: Any = None
    seconds: float | None = None
    said: tuple[tuple[float, str], ...] = ()
    ends_call: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """All of one call."""

    recognised: tuple[Recognised, ...] = ()
    rounds: tuple[Round, ...] = ()
    tools: tuple[ToolAnswer, ...] = ()
    sentences: tuple[Spoken, ...] = field(default=())


def script_of(record: RecordedCall) -> Script:
    """The script of a recorded call.

    Raises:
        RecordError: its sound cannot be read.
    """
    events = record.events
    ends = (record.head.get("end") or {}).get("reason") == "BOT_FINISHED" and _at_once(events)
    tools, rounds = tuple(_tools(events, ends)), list(_rounds(events))
    if ends and rounds and not any(tool.ends_call for tool in tools):
        rounds[-1] = replace(rounds[-1], ends_call=True)
    return Script(
        recognised=tuple(_recognised(events)),
        rounds=tuple(rounds),
        tools=tools,
        sentences=tuple(sentences_of(events, record.sound)),
    )


def _at_once(events: Sequence[Event]) -> bool:
    """Whether the call ended when the bot had said its last words, and not after a long silence."""
    times = {str(event["kind"]): float(event["t"]) for event in events}
    return times.get("ended", 0.0) - times.get("bot_stopped", float("-inf")) < HANGS_UP_WITHIN_S


def _recognised(events: Sequence[Event]) -> Iterator[Recognised]:
    counts = {"started": 0, "stopped": 0, "key": 0}
    after, index, since = "started", 0, 0.0
    for event in events:
        kind = event["kind"]
        if kind in _CALLER and event.get("by") != "bot":
            after = _CALLER[kind]
            counts[after] += 1
            index, since = counts[after], float(event.get("seen", event["t"]))
        elif kind in ("final", "interim"):
            yield Recognised(
                after=after,
                index=index,
                delay_s=max(float(event["t"]) - since, 0.0),
                text=str(event.get("text", "")),
                final=kind == "final",
                service=str(event.get("service", "")),
                confidence=event.get("confidence"),
            )


def _rounds(events: Sequence[Event]) -> Iterator[Round]:
    for index, event in enumerate(events):
        if event["kind"] == "llm_started":
            yield _round(event, _until_next_request(events[index + 1 :]))


def _until_next_request(following: Sequence[Event]) -> list[Event]:
    """The events up to the next request to a model."""
    found: list[Event] = []
    for event in following:
        if event["kind"] == "llm_started":
            break
        found.append(event)
    return found


def _round(started: Event, window: Sequence[Event]) -> Round:
    since, service = float(started["t"]), str(started.get("service", ""))

    def first(kind: str, **fields: Any) -> Event | None:
        wanted = fields.items()
        return next(
            (e for e in window if e["kind"] == kind and all(e.get(name) == value for name, value in wanted)),
            None,
        )

    reply = {} if started.get("reply") is None else {"reply": started["reply"]}
    token, ended = first("llm_first_token", **reply), first("llm_ended", **reply)
    text = str((ended or {}).get("text", ""))
    sentence = first("sentence", **reply)
    opening = str((sentence or {}).get("text", "")).strip()
    starts = bool(opening) and text.strip().startswith(opening)
    failed = first("error", processor=service)
    return Round(
        service=service,
        text=text,
        first_s=None if token is None else float(token["t"]) - since,
        sentence=opening if starts else "",
        sentence_s=float(sentence["t"]) - since if sentence is not None and starts else None,
        total_s=float(ended["t"]) - since if ended is not None else 0.0,
        calls=tuple(
            (str(e.get("id", "")), str(e.get("name", "")), dict(e.get("arguments") or {}))
            for e in window
            if e["kind"] == "tool_call"
        ),
        failure=str(failed.get("message", "")) if failed is not None and token is None else "",
    )


def _tools(events: Sequence[Event], bot_hung_up: bool) -> Iterator[ToolAnswer]:
    answers = [str(event.get("text", "")) for event in events if event["kind"] == "llm_ended"]
    last = _last_tool_before_the_end(events) if bot_hung_up else None
    for index, event in enumerate(events):
        if event["kind"] != "tool_call":
            continue
        ending = _ending(events[index + 1 :], event)
        until = float(ending["t"]) if ending is not None else float("inf")
        said = tuple(
            (float(each["t"]) - float(event["t"]), str(each["text"]))
            for each in events[index + 1 :]
            if each["kind"] == "sentence"
            and float(each["t"]) <= until
            and each.get("text")
            and not any(str(each["text"]) in answer for answer in answers)
        )
        answered = ending is not None and ending["kind"] == "tool_result"
        took = ending.get("seconds") if ending is not None and answered else None
        if ending is not None and answered and took is None:
            took = until - float(event["t"])
        yield ToolAnswer(
            name=str(event.get("name", "")),
            arguments=dict(event.get("arguments") or {}),
            result=ending.get("result") if ending is not None else None,
            seconds=None if took is None else float(took),
            said=said,
            ends_call=event is last,
        )


def _ending(following: Sequence[Event], call: Event) -> Event | None:
    kinds = ("tool_result", "tool_cancelled")
    return next((e for e in following if e["kind"] in kinds and e.get("id") == call.get("id")), None)


def _last_tool_before_the_end(events: Sequence[Event]) -> Event | None:
    """The last tool, if the user had no further turn behind it: then it may have been what hung up."""
    for event in reversed(events):
        if event["kind"] == "turn_ended":
            return None
        if event["kind"] == "tool_call":
            return event
    return None
