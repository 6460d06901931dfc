"""`/api/calls`: the recorded calls of this working directory, for the inspector and for programs."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from runner.records.call import RecordedCall
from runner.records.folder import RecordError, calls_folder, find
from runner.records.listing import Filter, list_calls, parse_since
from runner.records.live import Follower, News
from runner.records.record import CALL, SLOW_S, Record
from runner.records.render import peaks_of, wav_part, wav_size
from runner.records.timeline import labels_of, srt_of
from runner.records.wire import WireLine, message_of
from runner.server.endpoints import api_models
from runner.server.endpoints import record_models as models

KEPT = 4
"""Number of calls whose decoded sound is cached, because a page requests it in parts."""

LOOK_S = 0.25
PING_S = 15.0
MOST_COLUMNS = 20_000
MOST_EVENTS, MOST_MESSAGES, MOST_CALLS = 100_000, 10_000, 10_000
MOST_SECONDS = 1e9
MOST_DIGITS = 18
"""Maximum number of digits of a number in a header: Python refuses to parse thousands."""

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": api_models.Detail} for status in (400, 404, 422)
}

Channel = Literal["both", "caller", "bot"]
Seconds = Annotated[float, Query(ge=0, le=MOST_SECONDS)]
Until = Annotated[float | None, Query(alias="to", ge=0, le=MOST_SECONDS)]
Since = Annotated[float, Query(alias="from", ge=0, le=MOST_SECONDS)]


def add_records(api: FastAPI, folder: Path | None = None) -> None:
    """Add the routes to the API. `folder`: the folder of all records; by default in the working directory."""
    api.add_exception_handler(RecordError, _refused)
    api.include_router(_router(folder))


async def _refused(request: Request, error: Exception) -> JSONResponse:
    """The error for a record that cannot be read, in one sentence."""
    assert isinstance(error, RecordError)
    return JSONResponse({"detail": str(error)}, error.status)


def _router(folder: Path | None) -> APIRouter:
    router = APIRouter(prefix="/api/calls", tags=["calls"], responses=_REFUSALS)
    calls = _Calls(folder)
    _add_list(router, calls)
    _add_timeline(router, calls)
    _add_wire(router, calls)
    _add_sound(router, calls)

    @router.get("/{call}/live", response_class=StreamingResponse)
    async def live(request: Request, call: str, after: Annotated[int, Query(ge=0)] = 0) -> StreamingResponse:
        """Follow a call: server-sent events `call`, `events`, `peaks`, `end`."""
        last = request.headers.get("last-event-id", "")
        path = await asyncio.to_thread(calls.path, call)
        await asyncio.to_thread(Record, path)
        begin = _int(last) if last.isdecimal() else after
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_follow(path, begin), media_type="text/event-stream", headers=headers)

    return router


def _add_list(router: APIRouter, calls: _Calls) -> None:
    @router.get("", response_model=models.CallList)
    def listed(
        failed: bool | None = None,
        slow: bool | None = None,
        interrupted: bool | None = None,
        running: bool | None = None,
        slow_s: Seconds = SLOW_S,
        since: str = "",
        transport: str = "",
        scenario: str = "",
        q: str = "",
        limit: Annotated[int, Query(ge=1, le=MOST_CALLS)] = 200,
        before: str = "",
    ) -> Any:
        """The recorded calls, newest first."""
        wanted = Filter(
            failed=failed,
            slow=slow,
            interrupted=interrupted,
            running=running,
            slow_s=slow_s,
            since=parse_since(since) if since else None,
            transport=transport,
            scenario=scenario,
            text=q,
        )
        return list_calls(calls.folder, wanted, limit=limit, before=before).as_dict()


def _add_timeline(router: APIRouter, calls: _Calls) -> None:
    @router.get("/{call}", response_model=models.CallDetail)
    def one(call: str) -> Any:
        """One call: its summary, answers and timeline."""
        return calls.get(call).detail()

    @router.get("/{call}/events", response_model=models.EventPage)
    def events(
        call: str,
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_EVENTS)] = 10_000,
        kind: Annotated[list[str] | None, Query()] = None,
    ) -> Any:
        """The events of a call, in order."""
        record = calls.get(call)
        found = [
            each for each in record.events if each["line"] >= after and (not kind or each["kind"] in kind)
        ]
        page = found[:limit]
        following = found[limit]["line"] if len(found) > limit else _end(record.events, "line")
        return {"events": page, "next": following, "total": len(record.events), "problems": record.problems}


def _add_wire(router: APIRouter, calls: _Calls) -> None:
    @router.get("/{call}/wire", response_model=models.WirePage)
    def wire(
        call: str,
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_MESSAGES)] = 1_000,
        d: Literal["in", "out", ""] = "",
        k: str = "",
        media: bool | None = None,
        q: str = "",
    ) -> Any:
        """The messages on the wire, in order."""
        record = calls.get(call)

        def matches(line: WireLine) -> bool:
            return (
                line.line >= after
                and (not d or line.inbound is (d == "in"))
                and (not k or line.kind == k)
                and (media is None or line.has_media is media)
                and (not q or q.lower() in (line.text or "").lower())
            )

        found = [line for line in record.wire if matches(line)]
        end = record.wire[-1].line + 1 if record.wire else 0
        following = found[limit].line if len(found) > limit else end
        return {
            "messages": [message_of(line) for line in found[:limit]],
            "next": following,
            "total": len(record.wire),
            "problems": record.problems,
        }


def _add_sound(router: APIRouter, calls: _Calls) -> None:
    @router.get("/{call}/sound.wav", response_class=Response)
    def sound(
        request: Request, call: str, channel: Channel = "both", begin: Since = 0.0, end: Until = None
    ) -> Response:
        """The sound as WAV, or a part of it with `from` and `to` (s) or `Range`."""
        part = calls.get(call).sound.part(begin, end)
        size = wav_size(part, channel)
        headers = {"Accept-Ranges": "bytes", "Content-Type": "audio/wav", "Cache-Control": "no-store"}
        asked = _RANGE.fullmatch(request.headers.get("range", ""))
        if asked is None or asked.group(0) == "bytes=-":
            return Response(wav_part(part, channel, 0, size), headers=headers)
        first, last = _bounds(asked[1], asked[2], size)
        if first > last:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return Response(wav_part(part, channel, first, last + 1), status_code=206, headers=headers)

    @router.get("/{call}/peaks", response_model=models.Peaks)
    def peaks(
        call: str,
        begin: Since = 0.0,
        end: Until = None,
        width: Annotated[int, Query(ge=1, le=MOST_COLUMNS)] = 2_000,
    ) -> Any:
        """The waveforms of both sides."""
        whole = calls.get(call).sound
        part = whole.part(begin, end)
        return {
            "from_s": begin,
            "to_s": round(begin + part.duration_s, 4),
            "columns": width,
            "caller": peaks_of(part.caller, width),
            "bot": peaks_of(part.bot, width),
        }

    @router.get("/{call}/subtitles.srt", response_class=PlainTextResponse)
    def subtitles(call: str) -> str:
        """What was said, as subtitles."""
        return srt_of(calls.get(call).words)

    @router.get("/{call}/labels.txt", response_class=PlainTextResponse)
    def labels(call: str) -> str:
        """The timeline as a label track for Audacity."""
        return labels_of(calls.get(call).spans)


class _Calls:
    """The records, with a cache of the last requested ones."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: OrderedDict[tuple[str, int], RecordedCall] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        return self._folder or calls_folder()

    def path(self, call: str) -> Path:
        """The folder of a record. Raises `RecordError`."""
        return find(self.folder, call)

    def get(self, call: str) -> RecordedCall:
        """A record; ended ones are cached. Raises `RecordError`."""
        path = self.path(call)
        key = path.name, _changed_ns(path)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        record = RecordedCall(path)
        if record.state == "ended":
            with self._lock:
                self._kept[key] = record
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return record


def _changed_ns(path: Path) -> int:
    try:
        return (path / CALL).stat().st_mtime_ns
    except OSError:
        return 0


def _end(lines: Iterable[Mapping[str, Any]], key: str) -> int:
    return max((each[key] for each in lines), default=-1) + 1


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """The first and the last byte of a range (RFC 9110, 14.1.2)."""
    if not first:
        return max(size - _int(last), 0), size - 1
    return _int(first), min(_int(last), size - 1) if last else size - 1


def _int(digits: str) -> int:
    """The number; if it has too many digits, a number larger than any size."""
    return int(digits) if len(digits) <= MOST_DIGITS else 10**MOST_DIGITS


async def _follow(path: Path, after: int) -> AsyncIterator[str]:
    """Server-sent events until the call is over."""
    follower, shown, quiet_s = Follower(path, after), "", 0.0
    while True:
        try:
            news = await asyncio.to_thread(follower.look)
        except RecordError:  # deleted in the meantime
            return
        summary = json.dumps(news.summary.as_dict())
        if summary != shown:
            shown = summary
            yield f"event: call\ndata: {summary}\n\n"
        for block in _blocks(news):
            quiet_s = 0.0
            yield block
        if news.over:
            yield f"event: end\ndata: {summary}\n\n"
            return
        if (quiet_s := quiet_s + LOOK_S) > PING_S:
            quiet_s = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_S)


def _blocks(news: News) -> Iterable[str]:
    if news.events:
        page = {"events": news.events, "next": news.next, "total": news.next, "problems": []}
        yield f"id: {news.next}\nevent: events\ndata: {json.dumps(page)}\n\n"
    if news.peaks is not None:
        yield f"event: peaks\ndata: {json.dumps(news.peaks)}\n\n"
