"""A call as lanes of bars, and as what was said when. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Event = Mapping[str, Any]
LANES = ("user", "recogniser", "turn", "llm", "tool", "voice", "bot", "loop", "line")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A bar in a lane; the fields of `Span` in `docs/records.md`."""

    lane: str
    from_s: float
    to_s: float
    label: str
    event: int
    detail: Mapping[str, Any] = field(default_factory=dict)
    bad: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Its JSON."""
        return {**asdict(self), "from_s": round(self.from_s, 4), "to_s": round(self.to_s, 4)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Words that were said in one go, by "caller" or "bot"."""

    speaker: str
    from_s: float
    to_s: float
    text: str
    interrupted: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Its JSON."""
        return {**asdict(self), "from_s": round(self.from_s, 4), "to_s": round(self.to_s, 4)}


def words_of(events: Sequence[Event]) -> list[Word]:
    """What was said, in order: of the caller what was understood, of the bot what was heard."""
    found: list[Word] = []
    began = stopped = None
    bot_from: float | None = None
    said: list[tuple[float, str]] = []

    def bot(until: float, *, interrupted: bool = False) -> None:
        text = " ".join(word for _, word in said).strip()
        if text:
            begin = bot_from if bot_from is not None else said[0][0]
            found.append(
                Word(speaker="bot", from_s=begin, to_s=max(until, begin), text=text, interrupted=interrupted)
            )
        said.clear()

    for event in events:
        at = float(event["t"])
        match event["kind"]:
            case "user_started":
                began, stopped = at, None
            case "user_stopped":
                stopped = at
            case "final" if str(event.get("text", "")).strip():
                begin = began if began is not None else at
                end = stopped if stopped is not None else at
                found.append(
                    Word(
                        speaker="caller", from_s=begin, to_s=max(end, begin), text=str(event["text"]).strip()
                    )
                )
            case "bot_started":
                bot(at)
                bot_from = at
            case "heard":
                said.append((at, str(event.get("text", ""))))
            case "bot_stopped":
                bot(at, interrupted=bool(event.get("interrupted")))
                bot_from = None
    bot(said[-1][0] if said else 0.0)
    return sorted(found, key=lambda word: word.from_s)


_OPENS = {
    "user_started": ("user", "user"),
    "llm_started": ("llm", "llm"),
    "tool_call": ("tool", "tool"),
    "sentence": ("voice", "voice"),
    "bot_started": ("bot", "bot"),
}
_CLOSES = {
    "user_stopped": "user",
    "llm_ended": "llm",
    "tool_result": "tool",
    "tool_cancelled": "tool",
    "voice_first_sound": "voice",
    "bot_stopped": "bot",
}
_ENDS_AT = {"stall": "loop", "input_stalled": "line"}


def spans_of(events: Sequence[Event], until_s: float) -> list[Span]:
    """The bars of all lanes. A bar that nothing ended lasts until `until_s` (s)."""
    spans = [*_pairs(events, until_s), *_recognition(events), *_moments(events)]
    return sorted(spans, key=lambda span: (span.from_s, span.event))


def _pairs(events: Sequence[Event], until_s: float) -> Iterator[Span]:
    open_now: dict[tuple[str, Any], Event] = {}
    for event in events:
        kind = event["kind"]
        if kind in _OPENS:
            key = (_OPENS[kind][0], _key(event))
            if (before := open_now.pop(key, None)) is not None:
                yield _span(key[0], before, float(event["t"]), {})
            open_now[key] = event
        elif kind in _CLOSES:
            begun = open_now.pop((_CLOSES[kind], _key(event)), None)
            if begun is not None:
                yield _span(_CLOSES[kind], begun, float(event["t"]), event)
    for (lane, _), event in open_now.items():
        yield _span(lane, event, max(until_s, float(event["t"])), {})


def _key(event: Event) -> Any:
    """Distinguishes bars of one lane that are open at the same time."""
    return event.get("id") if event["kind"].startswith("tool") else event.get("reply")


def _span(lane: str, begun: Event, until: float, ended: Event) -> Span:
    detail = {**_own(ended), **_own(begun)}
    if lane == "bot" and ended.get("interrupted"):
        detail["interrupted"] = True
    if "result" in ended:
        detail |= {"result": ended["result"], "failed": ended.get("failed", False)}
    label = begun.get("name") or begun.get("text") or ended.get("text") or begun.get("service") or ""
    begin = float(begun["t"])
    return Span(
        lane=lane,
        from_s=begin,
        to_s=max(until, begin),
        label=str(label),
        event=int(begun.get("line", 0)),
        detail=detail,
        bad=bool(ended.get("failed")),
    )


def _own(event: Event) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in ("t", "kind", "line", "seen")}


def _recognition(events: Sequence[Event]) -> Iterator[Span]:
    """From the end of speech to the final words, and from there to the question to the model."""
    stopped: Event | None = None
    final: Event | None = None
    for event in events:
        at = float(event["t"])
        match event["kind"]:
            case "user_stopped":
                stopped, final = event, None
            case "final":
                begin = at if stopped is None else min(float(stopped["t"]), at)
                yield Span(
                    lane="recogniser",
                    from_s=begin,
                    to_s=at,
                    label=str(event.get("text", "")),
                    event=int(event.get("line", 0)),
                    detail=_own(event),
                )
                final = event
            case "turn_ended" if stopped is not None:
                begin = float((final or stopped)["t"])
                yield Span(
                    lane="turn",
                    from_s=min(begin, at),
                    to_s=at,
                    label=str(event.get("by", "")),
                    event=int(event.get("line", 0)),
                    detail=_own(event),
                )
                stopped = final = None


def _moments(events: Sequence[Event]) -> Iterator[Span]:
    """Stalls, which are noticed when they are over, and failures, which take no time."""
    for event in events:
        kind, at = event["kind"], float(event["t"])
        if kind in _ENDS_AT:
            seconds = float(event.get("seconds") or 0.0)
            label = str(event.get("place") or event.get("cause") or "no media")
        elif kind in ("error", "retry", "fallback"):
            seconds, label = 0.0, str(event.get("message") or kind)
        elif kind == "key":
            seconds, label = 0.0, str(event.get("digit", ""))
        else:
            continue
        yield Span(
            lane=_ENDS_AT.get(kind) or ("line" if kind == "key" else _lane_of(event)),
            from_s=max(at - seconds, 0.0),
            to_s=at,
            label=label,
            event=int(event.get("line", 0)),
            detail=_own(event),
            bad=kind != "key",
        )


def _lane_of(event: Event) -> str:
    """The lane of a failing processor, by its name."""
    name = str(event.get("service") or event.get("processor") or "")
    for part, lane in (("STT", "recogniser"), ("LLM", "llm"), ("TTS", "voice")):
        if part in name:
            return lane
    return "loop"


def srt_of(words: Sequence[Word]) -> str:
    """Subtitles in SubRip's format."""
    blocks = []
    for number, word in enumerate(words, 1):
        until = max(word.to_s, word.from_s + 0.3)
        blocks.append(
            f"{number}\n{_srt_time(word.from_s)} --> {_srt_time(until)}\n"
            f"{'Bot' if word.speaker == 'bot' else 'Caller'}: {word.text}\n"
        )
    return "\n".join(blocks)


def _srt_time(seconds: float) -> str:
    ms = round(max(seconds, 0.0) * 1000)
    return f"{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


def labels_of(spans: Sequence[Span]) -> str:
    """A label track for Audacity: one line a bar, with begin, end and text."""
    lines = (
        f"{span.from_s:.6f}\t{span.to_s:.6f}\t{span.lane}: {' '.join(span.label.split())}\n" for span in spans
    )
    return "".join(lines)
