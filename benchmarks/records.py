"""What recording costs a phone call: `python benchmarks/records.py`.

Feeds the messages of one call (50 in and 50 out a second, with marks and events) through a tape and the writer, all in
this thread, and prints the CPU time and the memory of one second of call. Without sockets, pipeline or bot: only what
recording adds.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

from runner.records.private import Privacy
from runner.records.writer import CallRecord
from runner.sessions import events
from runner.transports.tape import Kind, Tape

CALL_S = 600
FLUSHES_PER_S = 2.5


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def messages() -> tuple[list[str], list[str]]:
    """One second of a Twilio call, each way."""
    inbound, outbound = [], []
    for index in range(50):
        payload = base64.b64encode(os.urandom(160)).decode()
        media = {"track": "inbound", "chunk": str(index), "timestamp": str(index * 20), "payload": payload}
        message = {
            "event": "media",
            "sequenceNumber": str(index),
            "streamSid": "MZ" + "0" * 32,
            "media": media,
        }
        inbound.append(json.dumps(message, separators=(",", ":")))
        message = {"event": "media", "streamSid": "MZ" + "0" * 32, "media": {"payload": payload}}
        outbound.append(json.dumps(message, separators=(",", ":")))
    return inbound, outbound


def record_in(folder: Path, tape: Tape) -> CallRecord:
    head: dict[str, Any] = {
        "session": "bench",
        "pid": os.getpid(),
        "pid_started": None,
        "state": "running",
        "media": {side: {"file": f"{side}.ulaw"} for side in ("inbound", "outbound")},
        "figures": {},
    }
    return CallRecord(
        folder, head, tape, start=0.0, started=time.time(), privacy=Privacy(), bot=Path(__file__)
    )


def run(seconds: int, *, recorded: bool, folder: Path) -> tuple[float, float]:
    """CPU time (ms) per call-second: on the hot path, and in the writer."""
    clock = Clock()
    tape = Tape(clock)
    record = record_in(folder, tape)
    inbound, outbound = messages()
    record.flush()
    mark = json.dumps({"event": "mark", "streamSid": "MZ" + "0" * 32, "mark": {"name": "botrun-1"}})
    hot = written = 0.0
    due = 0.0
    for second in range(seconds):
        begun = time.process_time()
        if recorded:
            for arrived, sent in zip(inbound, outbound, strict=True):
                clock.now += 0.02
                tape.received(arrived)
                tape.sent(sent)
            tape.sent(mark)
            tape.received(mark)
            for _ in range(3):
                tape.add(Kind.EVENT, True, events.Heard(at=clock.now, text="word"))
        else:
            for _ in zip(inbound, outbound, strict=True):
                clock.now += 0.02
        hot += time.process_time() - begun
        due += FLUSHES_PER_S
        begun = time.process_time()
        while due >= 1:
            due -= 1
            # All of a second's items in one flush, and empty ones for the rest: as many calls of the system.
            record.flush()
        written += time.process_time() - begun
    record.close()
    return hot / seconds * 1000, written / seconds * 1000


def reference() -> float:
    """CPU time (ms) of parsing one second's messages, which depends on the machine as recording does."""
    both = [*itertools.chain(*messages())]
    begun = time.process_time()
    for _ in range(100):
        for message in both:
            json.loads(message)
    return (time.process_time() - begun) / 100 * 1000


def memory(folder: Path) -> int:
    """Bytes that a call's tape and record take at most between two flushes."""
    clock = Clock()
    tape = Tape(clock)
    record = record_in(folder, tape)
    record.flush()
    inbound, outbound = messages()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    copies = [("".join([a, ""]), "".join([b, ""])) for a, b in zip(inbound[:25], outbound[:25], strict=True)]
    for arrived, sent in copies:
        tape.received(arrived + " ")
        tape.sent(sent + " ")
    record.flush()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    record.close()
    return peak


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folders = (Path(name) / str(index) / "calls" for index in itertools.count())
        run(50, recorded=True, folder=next(folders))
        hot, written = run(CALL_S, recorded=True, folder=next(folders))
        idle, _ = run(CALL_S, recorded=False, folder=next(folders))
        print(f"hot path   {hot - idle:.3f} ms of CPU per call-second")
        print(f"writer     {written:.3f} ms of CPU per call-second")
        print(f"together   {hot - idle + written:.3f} ms (at most 0.3)")
        parsing = reference()
        print(f"           {(hot - idle + written) / parsing:.2f} of what json.loads of the same 100 messages takes")
        print(f"memory     {memory(next(folders)) / 1024:.0f} kB between two flushes (at most 1024)")


if __name__ == "__main__":
    main()
