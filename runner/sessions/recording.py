"""Records the calls of this process: each call's messages on a tape, its events, its statistics.

`runner.records` writes the tape to disk. This file fills in what a record says about the call itself.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.arguments import DailyRunnerArguments, SmallWebRTCRunnerArguments, WebSocketRunnerArguments
from runner.records.folder import SCHEMA, calls_folder
from runner.records.private import Privacy, masked
from runner.records.record import WIRE
from runner.records.writer import CallRecord, RecordWriter
from runner.serializers.wire import Encoding
from runner.sessions import events
from runner.sessions.stats import current_call, quantile
from runner.settings import Settings
from runner.settings.credentials import hide
from runner.transports.tape import Kind, Tape

if TYPE_CHECKING:
    import asyncio

    from runner.botcode.loader import LoadedBot
    from runner.sessions.session import Session

MOST_RECORDED = 64
"""Maximum number of calls recorded at the same time per process; `botrun load` runs hundreds."""

logger = logging.getLogger(__name__)
_ENCODINGS = {Encoding.ULAW: "ulaw", Encoding.ALAW: "alaw"}


def make_recorder(settings: Settings, bot: LoadedBot, folder: Path | None = None) -> Recorder | None:
    """The recorder for these settings; None if nothing is recorded. `folder`: where records are written."""
    if settings.record is False:
        return None
    return Recorder(
        folder or calls_folder(),
        bot.path,
        bot.function_name,
        public=bool(settings.record),
        content=settings.record_content != "none",
    )


class Recorder:
    """Records the calls of this process.

    Args:
        folder: where records are written.
        bot: the bot's file.
        function: the name of the bot's function.
        public: whether public calls are recorded, too.
        content: whether sound and words are kept.
    """

    def __init__(
        self, folder: Path, bot: Path, function: str = "bot", *, public: bool = False, content: bool = True
    ) -> None:
        self.writer = RecordWriter(folder)
        self._bot = bot
        self._function = function
        self._public = public
        self._content = content
        self._logs = _LogLines()
        self._said_full = False

    def begin(self, session: Session, loop: asyncio.AbstractEventLoop, *, public: bool) -> None:
        """Record this call from now on, if such calls are recorded."""
        if (public and not self._public) or self.writer.failure or not self._has_room():
            return
        resumed = session.conversation.goes_on
        tape = Tape(loop.time)
        start = loop.time() - session.conversation.secs
        started = time.time() - session.conversation.secs
        numbers = [getattr(session.args, name, None) for name in ("from_number", "to_number")]
        record = CallRecord(
            self.writer.folder,
            self._head(session, started, numbers, public=public),
            tape,
            start=start,
            started=started,
            privacy=Privacy(self._content, numbers),
            bot=self._bot,
            resumed=resumed,
        )
        session.port.tape = tape
        session.recording = Recording(record, session, start)
        self._logs.watch(session)
        self.writer.add(record)

    def _head(
        self, session: Session, started: float, numbers: list[str | None], *, public: bool
    ) -> dict[str, Any]:
        """What `call.json` says of a call that has just begun."""
        return {
            "schema": SCHEMA,
            "id": "",
            "session": session.id,
            "state": "running",
            "pid": os.getpid(),
            "pid_started": None,
            "started": _utc(started),
            "ended": None,
            "duration_s": None,
            "transport": session.kind,
            "public": public,
            "stream_id": getattr(session.args, "stream_id", ""),
            "call_id": getattr(session.args, "call_id", ""),
            "from": masked(numbers[0] or ""),
            "to": masked(numbers[1] or ""),
            "bot": {"file": _relative(self._bot), "function": self._function},
            "code": [],
            "origin": None,
            "content": "all" if self._content else "none",
            "media": _media(session) if self._content else {"inbound": None, "outbound": None},
            "end": None,
            "failure": None,
            "figures": None,
            "report": None,
        }

    def _has_room(self) -> bool:
        """Whether one more call can be recorded; says so once if not."""
        if len(self._logs.calls) < MOST_RECORDED:
            return True
        if not self._said_full:
            self._said_full = True
            logger.warning(
                "%d calls are being recorded, and no more at the same time: some calls have no record",
                MOST_RECORDED,
            )
        return False

    def end(self, session: Session) -> None:
        """The call is over."""
        if session.recording is not None:
            self._logs.forget(session)
            session.recording.finish()

    def close(self) -> None:
        """Write what is left and stop recording."""
        self.writer.close()


class Recording:
    """One call's record while the call runs: writes its events and counts them."""

    def __init__(self, record: CallRecord, session: Session, start: float) -> None:
        self._record = record
        self._session = session
        self._tape = record.tape
        self._start = start
        self._counts: Counter[str] = Counter()
        self._stall_max_s = 0.0
        session.events.subscribe(self._take)
        session.port.connected = self._connected
        session.events.emit(events.Started(at=self._tape.clock(), transport=session.kind))

    @property
    def path(self) -> Path | None:
        """The record's folder; None before the writer has made it."""
        return self._record.path

    def received_before(self, messages: list[str | bytes]) -> None:
        """Messages that came before the session began."""
        for message in messages:
            self._tape.received(message)

    def finish(self) -> None:
        """The call is over: complete the record."""
        session = self._session
        reason = session.end_reason
        now = self._tape.clock()
        if reason is not None:
            ended = events.Ended(at=now, reason=reason.name, text=str(reason), detail=session.end_detail)
            self._take(ended)
        moved = session.goes_on
        end = (
            {"reason": reason.name, "text": str(reason), "detail": hide(session.end_detail)}
            if reason
            else None
        )
        self._record.finish(
            {
                "state": "moved" if moved else "ended",
                "ended": None if moved else _utc(time.time()),
                "duration_s": round(now - self._start, 3),
                "end": end,
                "failure": self._failure(),
                "figures": self._figures(),
            }
        )

    # ------------------------------------------------------------ inside

    def _connected(self) -> None:
        self._session.events.emit(events.Connected(at=self._tape.clock()))

    def _take(self, event: events.CallEvent) -> None:
        self._tape.add(Kind.EVENT, True, event)
        self._counts[event.kind] += 1
        if isinstance(event, events.LoopStalled):
            self._stall_max_s = max(self._stall_max_s, event.seconds)
        elif isinstance(event, events.ToolAnswered) and event.failed:
            self._counts["tool_errors"] += 1
        elif isinstance(event, events.BotStopped) and event.interrupted:
            self._counts["cut off"] += 1

    def _failure(self) -> dict[str, Any] | None:
        error = self._session.error
        if error is None:
            return None
        return {
            "message": error.message,
            "exception": error.exception,
            "file": _relative(error.path),
            "line": error.line,
            "source": error.source,
            "advice": error.advice,
        }

    def _figures(self) -> dict[str, Any]:
        figures, counts = self._session.figures, self._counts
        totals = figures.totals()
        turns, stops = figures.turn_s, figures.stop_s
        return {
            "turns": len(turns),
            "turn_p50_s": round(quantile(turns, 0.5), 4) if turns else None,
            "turn_max_s": round(max(turns), 4) if turns else None,
            "stop_p50_s": round(quantile(stops, 0.5), 4) if stops else None,
            "interruptions": counts["cut off"],
            "errors": counts["error"],
            "retries": counts["retry"] + counts["fallback"],
            "stalls": counts["stall"],
            "stall_max_s": round(self._stall_max_s, 3) or None,
            "tools": counts["tool_call"],
            "tool_errors": counts["tool_errors"],
            **{name: round(totals[name], 1) for name in ("underruns", "malformed", "dropped_ms")},
        }


def _media(session: Session) -> dict[str, Any]:
    """How the media of each direction is stored."""
    args, serializer = session.args, session.port.serializer
    if isinstance(args, SmallWebRTCRunnerArguments):
        found = ("opus", 48000, 48000)
    elif isinstance(args, DailyRunnerArguments):
        return {side: {"file": f"{side}.pcm", "encoding": "pcm", "sample_rate": 0} for side in _SIDES}
    elif isinstance(args, WebSocketRunnerArguments) and serializer is not None:
        form = getattr(serializer, "media_format", None)
        encoding = _ENCODINGS.get(form.encoding, "pcm") if form is not None else "pcm"
        out = getattr(serializer, "output_format", None)
        encoding_out = _ENCODINGS.get(out.encoding, "pcm") if out is not None else encoding
        stored = {
            "inbound": _stored("inbound", encoding, serializer.sample_rate),
            "outbound": _stored("outbound", encoding_out, serializer.output_sample_rate),
        }
        if form is not None:  # a carrier's: the media is in its messages, and stays there
            stored = {side: {**described, "file": WIRE} for side, described in stored.items()}
        return stored
    else:
        return dict.fromkeys(_SIDES)
    encoding, rate_in, rate_out = found
    return {
        "inbound": _stored("inbound", encoding, rate_in),
        "outbound": _stored("outbound", encoding, rate_out),
    }


_SIDES = ("inbound", "outbound")


def _stored(side: str, encoding: str, sample_rate: int) -> dict[str, Any]:
    return {"file": f"{side}.{encoding}", "encoding": encoding, "sample_rate": sample_rate}


def _relative(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path.name


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_ATTACHED: dict[str, type[events.CallEvent]] = {"retry": events.Retried, "fallback": events.FellBack}


class _LogLines(logging.Handler):
    """Adds the log lines of recorded calls to their events. A line belongs to a call if it names the session
    or was logged in its context."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.calls: dict[str, Session] = {}

    def watch(self, session: Session) -> None:
        """Start passing this call's log lines."""
        if not self.calls:
            logging.getLogger().addHandler(self)
        self.calls[session.id] = session

    def forget(self, session: Session) -> None:
        """Stop passing this call's log lines."""
        self.calls.pop(session.id, None)
        if not self.calls:
            logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        session = self.calls.get(getattr(record, "session", "") or current_call().session_id)
        if session is None or record.name == __name__:
            return
        at = session.clock()
        line = events.Logged(
            at=at, level=record.levelname.lower(), logger=record.name, message=record.getMessage()
        )
        session.events.emit(line)
        # Services must not import sessions, so they attach the event to the log line that reports it.
        kind, fields = getattr(record, "call_event", ("", {}))
        if kind in _ATTACHED:
            session.events.emit(_ATTACHED[kind](at=at, **fields))
