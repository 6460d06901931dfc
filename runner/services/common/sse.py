"""Server-sent events: bytes in, events out. Pure.

By the WHATWG's rules (HTML, 9.2.6 "Interpreting an event stream"): UTF-8 with an optional byte order mark; a
line ends at CR, LF or CRLF and at nothing else (U+2028 or U+0085 are ordinary characters); an event ends at a
blank line; several `data` lines of one event are joined by LF.

Two additions: `close` returns an event that the end of the body cuts off, since some servers omit the last
blank line; a line whose field the standard ignores is returned as `IgnoredLine`, so that an answer that is
no event stream can be quoted.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from runner.errors import ServiceError

MAX_EVENT_CHARS = 8 * 1024 * 1024

_LINE_END = re.compile(r"\r\n|\n|\r")
_SILENT_FIELDS = frozenset({"id", "retry"})


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `kind` is its `event` field, "message" without one."""

    data: str
    kind: str = "message"


@dataclass(frozen=True, slots=True)
class IgnoredLine:
    """A line that is no comment and has no field that the standard knows."""

    text: str


class EventReader:
    """Reads one event stream, however its bytes are cut. Raises `ServiceError` if an event is too large."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True
        self._after_cr = False
        self._line: list[str] = []
        self._data: list[str] = []
        self._kind = ""
        self._chars = 0

    def feed(self, data: bytes) -> list[Event | IgnoredLine]:
        """Take in bytes; returns what is complete now, in order."""
        return self._read(self._decoder.decode(data))

    def close(self) -> list[Event | IgnoredLine]:
        """The body has ended: returns what was still open."""
        found = self._read(self._decoder.decode(b"", final=True))
        if self._line:
            found += self._read("\n")
        return found + self._dispatch()

    def _read(self, text: str) -> list[Event | IgnoredLine]:
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        found: list[Event | IgnoredLine] = []
        start = 0
        for end in _LINE_END.finditer(text):
            self._line.append(text[start : end.start()])
            line = "".join(self._line)
            self._line.clear()
            found += self._take_line(line)
            start = end.end()
        self._after_cr = text.endswith("\r")
        if start < len(text):
            self._line.append(text[start:])
            self._count(len(text) - start)
        return found

    def _take_line(self, line: str) -> list[Event | IgnoredLine]:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._count(len(value))
        elif name == "event":
            self._kind = value
        elif name and name not in _SILENT_FIELDS:
            return [IgnoredLine(line)]
        return []

    def _dispatch(self) -> list[Event | IgnoredLine]:
        data, kind = self._data, self._kind
        self._data, self._kind, self._chars = [], "", 0
        return [Event("\n".join(data), kind or "message")] if data else []

    def _count(self, chars: int) -> None:
        self._chars += chars
        if self._chars > MAX_EVENT_CHARS:
            raise ServiceError(f"one event of the answer is larger than {MAX_EVENT_CHARS} characters")
