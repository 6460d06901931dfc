"""Reads a record. What is damaged costs one sentence and the lines concerned, never the record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from runner.records.folder import SCHEMA, NoRecordError, RecordError
from runner.records.wire import WireDecoder, WireLine

CALL, EVENTS, WIRE = "call.json", "events.jsonl", "wire.jsonl"
SLOW_S = 1.5
"""A call is slow if the caller waited longer (s) for an answer."""

MOVED_FOR_S = 15.0
FAILED = frozenset({"BOT_FAILED", "PROTOCOL_ERROR", "CONNECTION_LOST", "NEVER_CONNECTED", "TOO_LONG"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One call in a list; the fields of `CallSummary` in `docs/records.md`."""

    id: str
    session: str
    state: str
    started: str
    duration_s: float | None
    transport: str
    public: bool
    from_number: str
    to_number: str
    bot: str
    scenario: str
    origin: str
    end_reason: str
    end_text: str
    failed: bool
    problem: str
    slow: bool
    turns: int
    turn_p50_s: float | None
    turn_max_s: float | None
    interruptions: int
    errors: int

    def as_dict(self) -> dict[str, Any]:
        """Its JSON."""
        fields = asdict(self)
        fields["from"], fields["to"] = fields.pop("from_number"), fields.pop("to_number")
        return fields

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Summary:
        """The inverse of `as_dict`.

        Raises:
            TypeError: fields are missing or unknown.
        """
        renamed = {
            {"from": "from_number", "to": "to_number"}.get(name, name): fields[name] for name in fields
        }
        return cls(**renamed)


def summary_of(head: Mapping[str, Any], state: str, duration_s: float | None = None) -> Summary:
    """The summary of a `call.json`. `duration_s` is used where it has none."""
    figures = head.get("figures") or {}
    end = head.get("end") or {}
    origin, report = head.get("origin") or {}, head.get("report") or {}
    bot = head.get("bot") or {}
    problem = _problem(head, state)
    slowest = _number(figures.get("turn_max_s"))
    return Summary(
        id=str(head.get("id", "")),
        session=str(head.get("session", "")),
        state=state,
        started=str(head.get("started", "")),
        duration_s=_number(head.get("duration_s")) if head.get("duration_s") is not None else duration_s,
        transport=str(head.get("transport", "")),
        public=bool(head.get("public")),
        from_number=str(head.get("from") or ""),
        to_number=str(head.get("to") or ""),
        bot=Path(str(bot.get("file", ""))).name,
        scenario=str(report.get("scenario") or origin.get("scenario") or ""),
        origin=str(origin.get("kind") or ""),
        end_reason=str(end.get("reason", "")),
        end_text=str(end.get("text", "")),
        failed=bool(problem),
        problem=problem,
        slow=slowest is not None and slowest > SLOW_S,
        turns=int(figures.get("turns") or 0),
        turn_p50_s=_number(figures.get("turn_p50_s")),
        turn_max_s=slowest,
        interruptions=int(figures.get("interruptions") or 0),
        errors=int(figures.get("errors") or 0),
    )


def _problem(head: Mapping[str, Any], state: str) -> str:
    """Why a call counts as failed, in a phrase; "" if it does not."""
    failure, report, end = head.get("failure"), head.get("report"), head.get("end") or {}
    if failure:
        place = f"{failure.get('file')}:{failure.get('line')}: " if failure.get("line") else ""
        return f"{place}{failure.get('message', '')}"
    if report and report.get("passed") is False:
        return "; ".join(map(str, report.get("failures") or ())) or "the scenario failed"
    if state == "lost":
        return "the bot's process ended during the call"
    if end.get("reason") in FAILED:
        detail = f" ({end['detail']})" if end.get("detail") else ""
        return f"{end.get('text', '')}{detail}"
    return ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def read_head(path: Path) -> dict[str, Any]:
    """A record's `call.json`.

    Raises:
        NoRecordError: there is none.
        RecordError: it cannot be read, or its format is newer than this botrun.
    """
    file = path / CALL
    try:
        head = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise NoRecordError(f"{path.name} has no {CALL}: the record is incomplete") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path.name}/{CALL} cannot be read: {error}") from None
    if not isinstance(head, dict) or not isinstance(head.get("schema"), int):
        raise RecordError(f"{path.name}/{CALL} is not a call record")
    if head["schema"] > SCHEMA:
        raise RecordError(
            f"{path.name} has the record format {head['schema']}, but this botrun reads up to {SCHEMA}: "
            "update botrun"
        )
    return head


def state_of(path: Path, head: Mapping[str, Any]) -> str:
    """ "running", "ended", or "lost": its process is gone, and the record has no end."""
    if head.get("state") not in ("running", "moved"):
        return "ended"
    if head["state"] == "moved" and _changed_ago(path) < MOVED_FOR_S:
        return "running"
    return "running" if head["state"] == "running" and _is_alive(head) else "lost"


def is_running(path: Path) -> bool:
    """Whether a call is still being recorded there."""
    try:
        return state_of(path, read_head(path)) == "running"
    except RecordError:
        return False


def _is_alive(head: Mapping[str, Any]) -> bool:
    import psutil  # 20 ms to import, and most records have ended

    try:
        started: float = psutil.Process(int(head["pid"])).create_time()
        return abs(started - float(head["pid_started"])) < 2.0
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def _changed_ago(path: Path) -> float:
    import time

    return time.time() - max((file.stat().st_mtime for file in path.glob("*")), default=0.0)


def numbered(number: int, event: Mapping[str, Any]) -> dict[str, Any]:
    """An event with its line number as `line`; the place in the user's code that it names becomes `place`."""
    found = {**event, "line": number}
    if event.get("file") and "place" not in event:
        found["place"] = f"{event['file']}:{event['line']}" if event.get("line") else str(event["file"])
    return found


class Record:
    """One record.

    Args:
        path: its folder.

    Attributes:
        head: the contents of `call.json`.
        problems: what is damaged or missing, in sentences; complete when the parts have been read.

    Raises:
        RecordError: there is no record, or it cannot be read at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head = read_head(path)
        self.problems: list[str] = []
        self._decoder = WireDecoder()

    @property
    def id(self) -> str:
        return self.path.name

    @cached_property
    def state(self) -> str:
        return state_of(self.path, self.head)

    @cached_property
    def summary(self) -> Summary:
        """Its line in a list."""
        duration_s = None if self.head.get("duration_s") is not None else self._seen_s()
        return summary_of({**self.head, "id": self.id}, self.state, duration_s)

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The events; `line` is an event's number in the file."""
        return list(self.events_after(0))

    def events_after(self, line: int) -> Iterator[dict[str, Any]]:
        """The events from this line number on."""
        for number, event in self._objects(EVENTS, line):
            if isinstance(event.get("t"), int | float) and isinstance(event.get("kind"), str):
                yield numbered(number, event)
            else:
                self._note(f"{EVENTS}: line {number + 1} is no event and was left out")

    @cached_property
    def wire(self) -> list[WireLine]:
        """The messages."""
        return list(self._wire())

    def _wire(self) -> Iterator[WireLine]:
        self._decoder = WireDecoder()
        for number, line in self._lines(WIRE):
            try:
                yield self._decoder.read(number, line)
            except json.JSONDecodeError:
                self._note(f"{WIRE}: line {number + 1} is not JSON and was left out")
            except (KeyError, TypeError, ValueError, RecursionError):
                self._note(f"{WIRE}: line {number + 1} is no message and was left out")

    def media(self, side: str) -> tuple[bytes, str, int]:
        """The media of "inbound" or "outbound": bytes, encoding, sample rate (Hz).

        Raises:
            NoRecordError: there is none.
        """
        described = (self.head.get("media") or {}).get(side)
        if not described:
            raise NoRecordError(f"{self.id} has no {side} media")
        name, form = str(described.get("file", "")), str(described.get("encoding"))
        sample_rate = int(described.get("sample_rate") or 8000)
        if name == WIRE:  # in the messages
            if not self.wire or not self._decoder.media[side == "inbound"]:
                raise NoRecordError(f"{self.id} has no {side} media")
            return bytes(self._decoder.media[side == "inbound"]), form, sample_rate
        if name != Path(name).name:
            raise RecordError(f"{self.id}: {name[:40]!r} is not a file name")
        try:
            data = (self.path / name).read_bytes()
        except FileNotFoundError:
            raise NoRecordError(f"{self.id} has no {name}: its sound is missing") from None
        except OSError as error:
            raise RecordError(f"{self.id}/{name} cannot be read: {error.strerror}") from None
        return data, form, sample_rate

    def _objects(self, name: str, after: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The JSON objects of a file with their line numbers, from a number on."""
        for number, text in self._lines(name):
            if number < after:
                continue
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                line = None
            if isinstance(line, dict):
                yield number, line
            else:
                self._note(f"{name}: line {number + 1} is not JSON and was left out")

    def _lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        """The whole lines of a file with their numbers."""
        rest = b""
        try:
            with (self.path / name).open("rb") as file:
                for number, text in enumerate(file):
                    if text.endswith(b"\n"):
                        yield number, text[:-1]
                    else:
                        rest = text
        except FileNotFoundError:
            if name == WIRE or self.state != "running":
                self._note(f"{name} is missing")
        except OSError as error:
            self._note(f"{name} cannot be read: {error.strerror}")
        if rest and self.state != "running":
            self._note(f"{name}: the last line is cut off and was left out")

    def _note(self, sentence: str) -> None:
        if sentence not in self.problems and len(self.problems) < 20:
            self.problems.append(sentence)

    def _seen_s(self) -> float | None:
        """How long the call has lasted, by its files."""
        try:
            began = datetime.fromisoformat(str(self.head.get("started"))).timestamp()
            changed = max(
                (self.path / name).stat().st_mtime for name in (WIRE, EVENTS) if (self.path / name).exists()
            )
        except (ValueError, OSError):
            return None
        return round(max(changed - began, 0.0), 1)
