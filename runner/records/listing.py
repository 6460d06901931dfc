"""Lists records: newest first, filtered. An index spares reading each record that has ended."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runner.records.folder import BadCallNameError, RecordError, ids_in
from runner.records.record import SLOW_S, Record, Summary

INDEX = "index.jsonl"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def parse_since(text: str, now: datetime | None = None) -> datetime:
    """A time: `30m`, `2h` or `3d` ago, or a date or time in ISO 8601 (local time without a zone).

    Raises:
        BadCallNameError: it is neither.
    """
    try:
        if (ago := _AGO.fullmatch(text.strip())) is not None:
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadCallNameError(
            f"since is {text[:40]!r}, but must be like 30m, 2h, 3d, 2026-11-29 or 2026-11-29T10:00"
        ) from None


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which calls are wanted; None and "" want all.

    Attributes:
        slow_s: from this turn latency (s) on a call is slow.
        text: is searched for in ids, numbers, bot, scenario, reason and failure.
    """

    failed: bool | None = None
    slow: bool | None = None
    interrupted: bool | None = None
    running: bool | None = None
    slow_s: float = SLOW_S
    since: datetime | None = None
    transport: str = ""
    scenario: str = ""
    text: str = ""

    def wants(self, call: Summary) -> bool:
        """Whether this call is wanted."""
        is_slow = call.turn_max_s is not None and call.turn_max_s > self.slow_s
        facts = (
            (self.failed, call.failed),
            (self.slow, is_slow),
            (self.interrupted, call.interruptions > 0),
            (self.running, call.state == "running"),
        )
        if any(wanted is not None and wanted is not found for wanted, found in facts):
            return False
        if self.transport and call.transport != self.transport:
            return False
        if self.scenario and self.scenario.lower() not in call.scenario.lower():
            return False
        return not self.text or self.text.lower() in _searched(call)


def _searched(call: Summary) -> str:
    texts = (call.id, call.from_number, call.to_number, call.bot, call.scenario, call.transport)
    return "\n".join((*texts, call.end_reason, call.end_text, call.problem)).lower()


@dataclass(kw_only=True)
class CallList:
    """Some of the calls, newest first.

    Attributes:
        total: how many match, on all pages.
        next: the last id, if there are more calls.
        unreadable: records that cannot be read: their ids, and why.
    """

    calls: list[Summary] = field(default_factory=list)
    total: int = 0
    next: str | None = None
    unreadable: list[dict[str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Its JSON."""
        calls = [call.as_dict() for call in self.calls]
        return {"calls": calls, "total": self.total, "next": self.next, "unreadable": self.unreadable}


def list_calls(folder: Path, wanted: Filter | None = None, *, limit: int = 200, before: str = "") -> CallList:
    """The calls in this folder that are wanted, of those before an id."""
    wanted, found, index = wanted or Filter(), CallList(), _read_index(folder)
    earliest = "" if wanted.since is None else wanted.since.strftime("%Y%m%dT%H%M%SZ")
    for name in ids_in(folder):
        if name < earliest:
            break
        try:
            summary = index.get(name) or Record(folder / name).summary
        except RecordError as error:
            found.unreadable.append({"id": name, "problem": str(error)})
            continue
        if wanted.wants(summary):
            found.total += 1
            if not before or name < before:
                if len(found.calls) < limit:
                    found.calls.append(summary)
                else:
                    found.next = found.calls[-1].id if found.calls else None
    return found


def _read_index(folder: Path) -> dict[str, Summary]:
    """The summaries of calls that have ended, as far as the index has them; the last one of an id counts."""
    found: dict[str, Summary] = {}
    for line in _index_lines(folder):
        with contextlib.suppress(TypeError, ValueError, KeyError):  # of another version, or cut off
            summary = Summary.read(line)
            found[summary.id] = summary
    return found


def _index_lines(folder: Path) -> Iterator[Mapping[str, Any]]:
    try:
        lines = (folder / INDEX).read_bytes().split(b"\n")
    except OSError:
        return
    for text in lines:
        with contextlib.suppress(ValueError):
            line = json.loads(text)
            if isinstance(line, dict):
                yield line
