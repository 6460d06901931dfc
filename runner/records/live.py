"""Follows a record while its call runs: what is new since the last look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.records.folder import RecordError
from runner.records.record import EVENTS, WIRE, Record, Summary, numbered
from runner.records.render import peaks_of
from runner.records.sound import Piece, Samples, decode
from runner.records.wire import WireDecoder, WireLine

COLUMNS_PER_S = 50


class _Tail:
    """A file of JSON lines that grows: reads what was added, whole lines only."""

    def __init__(self, path: Path, line: int = 0) -> None:
        self.line = 0
        self._path = path
        self._offset = 0
        self._from_line = line

    def objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The new lines as JSON objects with their numbers; damaged ones are left out."""
        for number, text in self.lines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield number, line

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The new lines with their numbers."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return
        whole, found, _ = data.rpartition(b"\n")
        if not found:
            return
        self._offset += len(whole) + 1
        for text in whole.split(b"\n"):
            number, self.line = self.line, self.line + 1
            if number >= self._from_line:
                yield number, text


@dataclass
class _Channel:
    """The loudness of one side, column by column, as far as it is known."""

    end_s: float = 0.0
    lows: dict[int, int] = field(default_factory=dict)
    highs: dict[int, int] = field(default_factory=dict)

    def put(self, at_s: float, pcm: Samples, sample_rate: int) -> None:
        """Take in sound at this time (s)."""
        begin = max(0, round(at_s * COLUMNS_PER_S))
        count = max(1, round(len(pcm) / sample_rate * COLUMNS_PER_S))
        pairs = peaks_of(pcm, count)
        for index in range(count):
            column = begin + index
            self.lows[column] = min(self.lows.get(column, 0), pairs[2 * index])
            self.highs[column] = max(self.highs.get(column, 0), pairs[2 * index + 1])

    def take(self, begin: int, end: int) -> list[int]:
        """The pairs of these columns; they are forgotten."""
        pairs: list[int] = []
        for column in range(begin, end):
            pairs += [self.lows.pop(column, 0), self.highs.pop(column, 0)]
        return pairs


@dataclass(frozen=True, kw_only=True)
class News:
    """What is new. `peaks`: of `docs/records.md`, or None; `over`: nothing more will come."""

    summary: Summary
    events: list[dict[str, Any]]
    next: int
    peaks: dict[str, Any] | None
    over: bool


class Follower:
    """Follows one record.

    Args:
        path: its folder.
        after: the first event (line number) that is wanted.
    """

    def __init__(self, path: Path, after: int = 0) -> None:
        self._path = path
        self._events = _Tail(path / EVENTS, after)
        self._wire = _Tail(path / WIRE)
        self._decoder = WireDecoder()
        self._channels = {True: _Channel(), False: _Channel()}
        self._column = 0
        self._heard_s = 0.0

    def look(self) -> News:
        """What has come since the last look.

        Raises:
            RecordError: the record is gone or cannot be read.
        """
        record = Record(self._path)
        over = record.state != "running"  # before the files are read: nothing comes after that
        events = [numbered(number, line) for number, line in self._events.objects()]
        self._hear(record, list(self._lines()))
        for media in self._decoder.media.values():
            media.clear()
        return News(
            summary=record.summary,
            events=events,
            next=self._events.line,
            peaks=self._peaks(all_of_it=over),
            over=over,
        )

    def _lines(self) -> Iterator[WireLine]:
        for number, line in self._wire.lines():
            try:
                yield self._decoder.read(number, line)
            except (KeyError, TypeError, ValueError):
                continue

    def _hear(self, record: Record, lines: list[WireLine]) -> None:
        if lines:
            self._heard_s = max(self._heard_s, lines[-1].t)
        for inbound, channel in self._channels.items():
            try:
                pieces, rate = self._decode(record, lines, inbound=inbound)
            except (RecordError, ValueError):
                continue
            for piece in pieces:
                if not isinstance(piece, Piece):
                    channel.end_s = min(channel.end_s, piece)
                    continue
                length_s = len(piece.pcm) / rate
                begin = (
                    max(piece.t - length_s, channel.end_s - 0.5) if inbound else max(piece.t, channel.end_s)
                )
                channel.put(begin, piece.pcm, rate)
                channel.end_s = begin + length_s

    def _decode(
        self, record: Record, lines: list[WireLine], *, inbound: bool
    ) -> tuple[list[Piece | float], int]:
        """The pieces of the new lines of one direction; only their media is read."""
        mine = [line for line in lines if line.inbound is inbound and line.at is not None]
        if not mine:
            return [], 8000
        side = "inbound" if inbound else "outbound"
        described = (record.head.get("media") or {}).get(side) or {}
        name, first = Path(str(described.get("file", ""))).name, min(line.at or 0 for line in mine)
        try:
            if name == WIRE:  # in the messages
                first, media = 0, bytes(self._decoder.media[inbound])
            else:
                media = self._read(name, first)
        except OSError:
            return [], 8000
        return decode(
            [line if line.at is None else replace(line, at=line.at - first) for line in lines],
            media,
            str(described.get("encoding")),
            int(described.get("sample_rate") or 8000),
            inbound=inbound,
        )

    def _read(self, name: str, first: int) -> bytes:
        with (self._path / name).open("rb") as file:
            file.seek(first)
            return file.read()

    def _peaks(self, *, all_of_it: bool) -> dict[str, Any] | None:
        """Columns that are complete: both sides have passed them, or the call is over."""
        end_s = (
            max(channel.end_s for channel in self._channels.values()) if all_of_it else self._heard_s - 0.1
        )
        begin, end = self._column, int(end_s * COLUMNS_PER_S)
        if end <= begin:
            return None
        self._column = end
        return {
            "from_s": begin / COLUMNS_PER_S,
            "to_s": end / COLUMNS_PER_S,
            "columns": end - begin,
            "caller": self._channels[True].take(begin, end),
            "bot": self._channels[False].take(begin, end),
        }
