"""What differs between a call and the same call made again. Pure.

A finding names one difference and nothing that only follows from it: the words after a cut are not missing
twice, and a later answer is put down to the part of its silence that grew.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from runner.records.answers import SEGMENTS
from runner.replay.comparison.facts import Facts, Line, ToolUse
from runner.turns.segments import words_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """Differences of times up to these are noise: seconds, and a share of the earlier time."""

    seconds: float = 0.1
    share: float = 0.2

    def exceeded(self, before_s: float, after_s: float) -> bool:
        """Whether the difference is more than noise."""
        return abs(after_s - before_s) > max(self.seconds, self.share * before_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One difference.

    Attributes:
        kind: "understood", "words", "tools", "latency", "stop", "greeting", "interruptions", "sound", "keys",
            "errors" or "end".
        what: where, in a phrase.
        before, after: both sides.
        better: whether it is an improvement; differences of words and tools are none.
    """

    kind: str
    what: str
    before: str
    after: str
    better: bool = False

    @property
    def sentence(self) -> str:
        """For people: what, before and after."""
        return f"{self.what}: {self.before or 'nothing'} → {self.after or 'nothing'}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "sentence": self.sentence}


def find(before: Facts, after: Facts, floors: Floors | None = None) -> list[Finding]:
    """All differences."""
    floors = floors or Floors()
    words = list(_words(before, after))
    return [
        *_understood(before, after),
        *words,
        *_tools(before.tools, after.tools),
        *_latencies(before, after, floors),
        *_greeting(before, after, floors),
        *_stops(before, after, floors),
        *_interruptions(before, after),
        *_sound(before, after),
        *_keys(before, after),
        *_errors(before, after),
        *_end(before, after),
    ]


# ------------------------------------------------------------------ words


def _understood(before: Facts, after: Facts) -> Iterator[Finding]:
    yield from _lines("understood", "the caller was understood", before.said("caller"), after.said("caller"))


def _words(before: Facts, after: Facts) -> Iterator[Finding]:
    yield from _lines("words", "the bot said", before.said("bot"), after.said("bot"))


def _lines(kind: str, what: str, before: Sequence[Line], after: Sequence[Line]) -> Iterator[Finding]:
    for old, new in aligned(before, after):
        if old is not None and new is not None and _alike(old, new):
            continue
        at = (old or new).at_s  # type: ignore[union-attr]
        yield Finding(
            kind=kind,
            what=f"{what} at {at:.1f} s",
            before="" if old is None else f"“{old.text}”",
            after="" if new is None else f"“{new.text}”",
        )


def _alike(one: Line, other: Line) -> bool:
    """Whether both say the same. An interruption may cut a word earlier or later."""
    mine, theirs = words_of(one.text), words_of(other.text)
    if one.interrupted or other.interrupted:
        length = min(len(mine), len(theirs))
        return mine[:length] == theirs[:length]
    return mine == theirs


def aligned(before: Sequence[Line], after: Sequence[Line]) -> Iterator[tuple[Line | None, Line | None]]:
    """The lines side by side; None where one side has none."""
    keys = [[_key(line, before, after) for line in side] for side in (before, after)]
    for tag, a, b, c, d in difflib.SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes():
        left, right = list(before[a:b]), list(after[c:d])
        length = max(len(left), len(right)) if tag != "equal" else len(left)
        for index in range(length):
            yield (
                left[index] if index < len(left) else None,
                right[index] if index < len(right) else None,
            )


def _key(line: Line, before: Sequence[Line], after: Sequence[Line]) -> tuple[str, str]:
    """Lines with the same key are the same; an interrupted one has that of its whole."""
    for other in (*before, *after):
        if (
            other is not line
            and other.who == line.who
            and _alike(line, other)
            and len(other.text) > len(line.text)
        ):
            return line.who, " ".join(words_of(other.text))
    return line.who, " ".join(words_of(line.text))


# ------------------------------------------------------------------ tools


def _tools(before: Sequence[ToolUse], after: Sequence[ToolUse]) -> Iterator[Finding]:
    names = [[use.name for use in side] for side in (before, after)]
    for tag, a, b, c, d in difflib.SequenceMatcher(None, names[0], names[1], autojunk=False).get_opcodes():
        if tag == "equal":
            for old, new in zip(before[a:b], after[c:d], strict=True):
                yield from _tool(old, new)
            continue
        yield Finding(
            kind="tools",
            what="the bot called",
            before=", ".join(map(shown, before[a:b])),
            after=", ".join(map(shown, after[c:d])),
        )


def _tool(old: ToolUse, new: ToolUse) -> Iterator[Finding]:
    if old.arguments != new.arguments:
        yield Finding(kind="tools", what="the bot called", before=shown(old), after=shown(new))
    elif old.failed != new.failed or old.result != new.result:
        yield Finding(
            kind="tools",
            what=f"{old.name} answered",
            before=_json(old.result),
            after=_json(new.result),
            better=old.failed and not new.failed,
        )


def shown(use: ToolUse) -> str:
    """A call of a tool, as one writes it."""
    return f"{use.name}({', '.join(f'{name}={_json(value)}' for name, value in use.arguments.items())})"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


# ------------------------------------------------------------------ times


def _latencies(before: Facts, after: Facts, floors: Floors) -> Iterator[Finding]:
    if len(before.answers) != len(after.answers):
        yield Finding(
            kind="latency",
            what="the bot answered",
            before=f"{len(before.answers)} times",
            after=f"{len(after.answers)} times",
        )
        return
    pairs = [
        (old, new)
        for old, new in zip(before.answers, after.answers, strict=True)
        if floors.exceeded(old.silence_s, new.silence_s)
    ]
    changes: dict[str, list[tuple[float, float]]] = {}
    for old, new in pairs:
        for name, change in _grown(old, new).items():
            changes.setdefault(name, []).append(change)
    for name in (each for each in SEGMENTS if each in changes):
        times = changes[name]
        count = f"{len(times)} of {len(before.answers)} answers"
        old_s, new_s = median(a for a, _ in times), median(b for _, b in times)
        yield Finding(
            kind="latency",
            what=f"{name.replace('_', ' ')} in {count}",
            before=f"{old_s:.2f} s",
            after=f"{new_s:.2f} s",
            better=new_s < old_s,
        )


def _grown(old: Any, new: Any) -> dict[str, tuple[float, float]]:
    """The parts of a silence that its change is due to: those with at least a third of it."""
    before, after = ({s.name: s.seconds for s in each.segments} for each in (old, new))
    total = new.silence_s - old.silence_s
    found = {}
    for name in SEGMENTS:
        times = before.get(name, 0.0), after.get(name, 0.0)
        if (times[1] - times[0]) / total >= 1 / 3:
            found[name] = times
    return found


def _greeting(before: Facts, after: Facts, floors: Floors) -> Iterator[Finding]:
    old, new = before.greeting_s, after.greeting_s
    if old is None or new is None or not floors.exceeded(old, new) or abs(new - old) < 0.5:
        return
    yield Finding(
        kind="greeting",
        what="the greeting came after",
        before=f"{old:.2f} s",
        after=f"{new:.2f} s",
        better=new < old,
    )


def _stops(before: Facts, after: Facts, floors: Floors) -> Iterator[Finding]:
    if len(before.stops_s) != len(after.stops_s) or not before.stops_s:
        return
    old, new = median(before.stops_s), median(after.stops_s)
    if floors.exceeded(old, new):
        yield Finding(
            kind="stop",
            what="the bot stopped after",
            before=f"{old:.2f} s",
            after=f"{new:.2f} s",
            better=new < old,
        )


# ------------------------------------------------------------------ sound, keys, errors, end


def _interruptions(before: Facts, after: Facts) -> Iterator[Finding]:
    if before.interruptions != after.interruptions:
        yield Finding(
            kind="interruptions",
            what="the caller cut the bot short",
            before=f"{before.interruptions} times",
            after=f"{after.interruptions} times",
        )


def _sound(before: Facts, after: Facts) -> Iterator[Finding]:
    old, new = _unheard(before), _unheard(after)
    if old != new:
        yield Finding(
            kind="sound",
            what="the call ended before this was heard",
            before=f"“{old}”" if old else "",
            after=f"“{new}”" if new else "",
            better=not new,
        )
    if after.underruns > before.underruns + 2:
        yield Finding(
            kind="sound",
            what="gaps in the bot's sound",
            before=str(before.underruns),
            after=str(after.underruns),
        )


def _unheard(facts: Facts) -> str:
    return " ".join(line.unheard for line in facts.said("bot") if line.unheard)


def _keys(before: Facts, after: Facts) -> Iterator[Finding]:
    if before.keys != after.keys:
        yield Finding(kind="keys", what="the bot pressed", before=before.keys, after=after.keys)


def _errors(before: Facts, after: Facts) -> Iterator[Finding]:
    for message in dict.fromkeys(after.errors):
        if message not in before.errors:
            yield Finding(kind="errors", what="an error", before="", after=message)
    for message in dict.fromkeys(before.errors):
        if message not in after.errors:
            yield Finding(kind="errors", what="an error", before=message, after="", better=True)
    if before.problem != after.problem:
        yield Finding(
            kind="errors",
            what="the bot failed",
            before=before.problem,
            after=after.problem,
            better=not after.problem,
        )


def _end(before: Facts, after: Facts) -> Iterator[Finding]:
    if before.end != after.end and not (before.problem or after.problem):
        yield Finding(kind="end", what="the call ended", before=ended(before.end), after=ended(after.end))


def ended(reason: str) -> str:
    """The end of a call, in words."""
    return reason.lower().replace("_", " ")
