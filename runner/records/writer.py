"""Writes the records of a process' calls, in one thread.

Calls append to their tapes (`runner.transports.tape`) and never wait. The thread empties the tapes, encodes
what was on them and appends it to the files: media first, so that a line never points behind the end of a
media file.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from runner.records import folder as folders
from runner.records.code import code_of
from runner.records.files import append_to_index, as_json, write_head
from runner.records.folder import FILE_MODE, FOLDER_MODE
from runner.records.private import Privacy
from runner.records.record import CALL, EVENTS, WIRE, is_running
from runner.records.wire import WireEncoder
from runner.transports.tape import Item, Tape

logger = logging.getLogger(__name__)

FLUSH_S = 0.4
FULL_FLUSH_S = 0.9
FEW_CALLS = 4
"""So often (s) all calls' items are written: with few calls sooner, for those who watch them. Each time the
thread wakes, the calls find their data out of the processor's caches: one round for all is cheapest."""

SWEEP_S = 600.0
MOVED_S = 2.0
"""How long (s) the record of a call that came from another worker may take to be complete there."""


class Event(Protocol):
    """An event of a session, as it is recorded (`runner.sessions.events.CallEvent`)."""

    @property
    def kind(self) -> str: ...
    @property
    def content(self) -> frozenset[str]: ...
    @property
    def at(self) -> float: ...
    @property
    def seen(self) -> float | None: ...
    def as_fields(self) -> dict[str, Any]: ...


class CallRecord:
    """One record that is being written. Only the writer's thread calls it, except `finish`.

    Args:
        folder: of all records.
        head: the contents of `call.json`, without its id; it belongs to the record from now on.
        tape: what crosses the wire, and the events.
        start: the call's start on the tape's clock (s).
        started: the same, in seconds since 1970.
        privacy: what may be kept.
        bot: the bot's file.
        resumed: whether the call began in another process.
    """

    def __init__(
        self,
        folder: Path,
        head: dict[str, Any],
        tape: Tape,
        *,
        start: float,
        started: float,
        privacy: Privacy,
        bot: Path,
        resumed: bool = False,
    ) -> None:
        self._started = started
        self._resumed = resumed
        self._moved_by = time.monotonic() + MOVED_S
        self.tape = tape
        self.head = head
        self.path: Path | None = None
        self._folder = folder
        self._start = start
        self._privacy = privacy
        self._bot = bot
        self._encoder: WireEncoder | None = None
        self._changed_to: dict[str, Any] | None = None
        self._files: dict[str, int] = {}
        self._ending: Mapping[str, Any] | None = None
        self._not_recorded = self._input_stalls = 0

    def finish(self, ending: Mapping[str, Any]) -> None:
        """The call is over: these are the last fields of `call.json`. Any thread may call it."""
        self._ending = dict(ending)

    def flush(self) -> bool:
        """Write what there is; returns whether the record is complete.

        Raises:
            OSError: it cannot be written.
        """
        ending = self._ending  # before the tape is emptied, which then holds the call's last items
        encoder = self._encoder or self._open()
        if encoder is None:
            return False
        events = self._encode(self.tape.take(), encoder)
        lines, outbound, inbound = encoder.take()
        for name, data in (
            (self._media_file("outbound"), outbound),
            (self._media_file("inbound"), inbound),
            (WIRE, lines.encode()),
            (EVENTS, events.encode()),
        ):
            if data:
                self._append(name, data)
        if self.tape.rates:
            self._note_rates()
        if ending is None:
            return False
        self._end(ending)
        return True

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._files.values():
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._files.clear()

    # ------------------------------------------------------------ inside

    def _open(self) -> WireEncoder | None:
        """Create or continue the record's folder; None while older code still writes it."""
        code = {"t": 0.0, **code_of(self._bot)}
        self.head["pid_started"] = _process_started()
        earlier = self._earlier() if self._resumed else None
        if earlier is not None:
            self.path, head = earlier
            if head.get("state") != "moved" and time.monotonic() < self._moved_by:
                return None
            code["t"] = round(self.tape.clock() - self._start, 3)
            mine = {"pid": self.head["pid"], "pid_started": self.head["pid_started"], "state": "running"}
            before = head.get("code") or [{}]
            if any(before[-1].get(name) != code[name] for name in ("sha256", "commit")):
                self._changed_to = code
            self.head = {**head, **mine, "code": [*before, code]}
        else:
            folders.prepare(self._folder)
            self.path = self._folder / folders.record_id(self.head["session"], self._started)
            self.path.mkdir(FOLDER_MODE)
            self.head |= {"id": self.path.name, "code": [code]}
        sizes = [self._size(self._media_file(side)) for side in ("outbound", "inbound")]
        self._encoder = WireEncoder(self._start, self._privacy, (sizes[0], sizes[1]))
        self._write_head()
        return self._encoder

    def _earlier(self) -> tuple[Path, dict[str, Any]] | None:
        """The record that this call has from older code."""
        with contextlib.suppress(folders.RecordError, OSError, ValueError):
            path = folders.find(self._folder, self.head["session"])
            return path, json.loads((path / CALL).read_text())
        return None

    def _encode(self, items: Iterable[Item], encoder: WireEncoder) -> str:
        """The lines of the events; the messages go to the encoder."""
        events = [self._event(event) for event in encoder.add(items)]
        if (code := self._changed_to) is not None:
            self._changed_to = None
            names = ("t", "sha256", "commit")
            events.insert(0, as_json({"kind": "code_changed", **{name: code[name] for name in names}}))
        events += [self._stalled(*gap) for gap in encoder.inbound.gaps]
        encoder.inbound.gaps.clear()
        if dropped := self.tape.take_dropped():
            self._not_recorded += dropped
            now = self.tape.clock() - self._start
            events.append(json.dumps({"t": round(now, 4), "kind": "not_recorded", "items": dropped}))
        return self._privacy.clean("\n".join([*events, ""])) if events else ""

    def _note_rates(self) -> None:
        """The rates of the sound are known only when it comes."""
        media = self.head["media"]
        new = {
            side: rate
            for side, rate in self.tape.rates.items()
            if media[side] and not media[side]["sample_rate"]
        }
        for side, rate in new.items():
            media[side]["sample_rate"] = rate
        if new:
            self._write_head()

    def _stalled(self, from_s: float, until_s: float) -> str:
        """The caller's media was away between these times of the tape's clock."""
        self._input_stalls += 1
        seconds = round(until_s - from_s, 3)
        return as_json({"t": round(until_s - self._start, 4), "kind": "input_stalled", "seconds": seconds})

    def _event(self, event: Event) -> str:
        line: dict[str, Any] = {"t": round(event.at - self._start, 4), "kind": event.kind}
        if event.seen is not None:
            line["seen"] = round(event.seen - self._start, 4)
        hidden: frozenset[str] = frozenset() if self._privacy.keeps_content else event.content
        line |= {name: value for name, value in event.as_fields().items() if name not in hidden}
        return as_json(line)

    def _media_file(self, side: str) -> str:
        media = self.head["media"].get(side)
        return media["file"] if media and media["file"] != WIRE else f"{side}.bin"

    def _append(self, name: str, data: bytes) -> None:
        descriptor = self._files.get(name)
        if descriptor is None:
            assert self.path is not None
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            descriptor = self._files[name] = os.open(self.path / name, flags, FILE_MODE)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def _size(self, name: str) -> int:
        assert self.path is not None
        try:
            return (self.path / name).stat().st_size
        except OSError:
            return 0

    def _end(self, ending: Mapping[str, Any]) -> None:
        self.head |= ending
        figures = self.head.get("figures") or {}
        self.head["figures"] = {**figures, "not_recorded": self._not_recorded}
        self.head["figures"]["input_stalls"] = self._input_stalls
        self._write_head()
        self.close()
        if self.head["state"] == "ended":
            append_to_index(self._folder, self.head)

    def _write_head(self) -> None:
        assert self.path is not None
        write_head(self.path, self.head)


@functools.cache
def _process_started() -> float:
    """When this process started (s since 1970), as the system reports it."""
    try:  # Linux: proc(5), what psutil reads; importing that during a call would take 20 ms
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
        return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except OSError:
        import psutil

        return psutil.Process().create_time()


class RecordWriter:
    """The thread that writes all records of this process. It runs while there is something to write.

    Attributes:
        failure: why nothing is recorded any more; "" while it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failure = ""
        self._lock = threading.Lock()
        self._records: list[CallRecord] = []
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._swept_at = 0.0

    def add(self, record: CallRecord) -> None:
        """Write this record from now on."""
        with self._lock:
            if self.failure:
                return
            self._records.append(record)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="call records", daemon=True)
                self._thread.start()
                atexit.register(self.close)  # a worker whose calls have moved on just exits
        self._wake.set()

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is left, and end the thread."""
        with self._lock:
            thread, self._stopping = self._thread, True
        self._wake.set()
        if thread is not None:
            thread.join(timeout_s)

    # ------------------------------------------------------------ in the thread

    def _run(self) -> None:
        while True:
            with self._lock:
                records, stopping = list(self._records), self._stopping
                if not records:
                    self._wake.clear()
            if not records:
                if stopping:
                    return
                self._sweep()
                self._wake.wait()
                continue
            for record in records:
                self._flush(record)  # its writes give the event loop its turn
            if stopping:
                return
            time.sleep(FLUSH_S if len(records) <= FEW_CALLS else FULL_FLUSH_S)

    def _flush(self, record: CallRecord) -> None:
        try:
            is_complete = record.flush()
        except OSError as error:
            self._fail(error)
        except Exception:  # a fault of ours must not end the other calls' records
            logger.exception("recording of a call failed; the call goes on unrecorded")
            record.close()
            self._remove(record)
        else:
            if is_complete:
                self._remove(record)

    def _remove(self, record: CallRecord) -> None:
        with self._lock:
            if record in self._records:
                self._records.remove(record)

    def _fail(self, error: OSError) -> None:
        """The disk is full, or the folder cannot be written: stop recording, and say so once."""
        with self._lock:
            records, self._records = self._records, []
            first, self.failure = not self.failure, error.strerror or str(error)
        for record in records:
            record.close()
            record.tape.close()
        if first:
            logger.warning(
                "recording stopped: %s (%s). Calls go on, unrecorded; start botrun again to record",
                error.strerror or error,
                self.folder,
            )

    def _sweep(self) -> None:
        if self._swept_at and time.monotonic() - self._swept_at < SWEEP_S:
            return
        self._swept_at = time.monotonic()
        with contextlib.suppress(OSError):
            folders.sweep(self.folder, is_running)
