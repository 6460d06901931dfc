"""What recording costs a phone call: `python benchmarks/records.py`.

Feeds the messages of one call (50 in and 50 out a second, with marks and events) through a tape and the
writer, all in this thread, and prints the CPU time and the memory of one second of call. Without sockets,
pipeline or bot: only what recording adds. Also lists 10,000 records.
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

from runner.records.files import append_to_index, write_head
from runner.records.folder import record_id
from runner.records.listing import Filter, list_calls
from runner.records.private import Privacy
from runner.records.writer import CallRecord
from runner.sessions import events
from runner.transports.tape import Kind, Tape

MEASUREMENTS = 300
"""Each of four seconds of call: 200 messages each way in five flushes, as every 0.4 s there is one."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def messages() -> tuple[list[str], list[str]]:
    """One second of a Twilio call, each way."""
    inbound, outbound = [], []
    for index in range(1000, 1050):
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
        "media": {side: {"file": "wire.jsonl"} for side in ("inbound", "outbound")},
        "figures": {},
    }
    return CallRecord(
        folder, head, tape, start=0.0, started=time.time(), privacy=Privacy(), bot=Path(__file__)
    )


def run(*, recorded: bool, folder: Path) -> tuple[float, float]:
    """CPU time (ms) per call-second, on the hot path and in the writer: the least of many measurements, for
    other programs can only add to it."""
    clock = Clock()
    tape = Tape(clock)
    record = record_in(folder, tape)
    record.flush()
    pairs = list(zip(*messages(), strict=True))
    mark = json.dumps({"event": "mark", "streamSid": "MZ" + "0" * 32, "mark": {"name": "botrun-1"}})
    hot, written = [], []
    for _ in range(MEASUREMENTS):
        both = [0.0, 0.0]
        for half in range(5):  # two seconds
            begun = time.process_time()
            for arrived, sent in pairs[:40] if half % 2 else pairs[10:]:
                clock.now += 0.02
                if recorded:
                    tape.received(arrived)
                    tape.sent(sent)
            if recorded:
                tape.sent(mark)
                tape.received(mark)
                for _word in range(2):
                    tape.add(Kind.EVENT, True, events.Heard(at=clock.now, text="word"))
            middle = time.process_time()
            record.flush()
            both[0] += middle - begun
            both[1] += time.process_time() - middle
        hot.append(both[0] / 4 * 1000)
        written.append(both[1] / 4 * 1000)
    record.close()
    return min(hot), min(written)


def reference() -> float:
    """CPU time (ms) of parsing one second's messages, which depends on the machine as recording does."""
    both = [*itertools.chain(*messages())]
    took = []
    for _ in range(200):
        begun = time.process_time()
        for message in both:
            json.loads(message)
        took.append(time.process_time() - begun)
    return min(took) * 1000


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


def listing(folder: Path, count: int = 10_000) -> float:
    """Seconds to list that many calls that have ended, all of them checked against a filter."""
    folder.mkdir(parents=True)
    head: dict[str, Any] = {"end": {"reason": "CLIENT_LEFT"}, "figures": {"turns": 3, "turn_max_s": 0.7}}
    for number in range(count):
        path = folder / record_id(f"w1-{number:016x}", 1.8e9 + number)
        path.mkdir()
        head |= {"schema": 1, "id": path.name, "state": "ended", "started": "2026-11-29T10:00:00.000Z"}
        write_head(path, head)
        append_to_index(folder, head)
    took = []
    for _ in range(5):
        begun = time.process_time()
        found = list_calls(folder, Filter(failed=False, text="w1"))
        took.append(time.process_time() - begun)
        assert found.total == count
    return min(took)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folders = (Path(name) / str(index) / "calls" for index in itertools.count())
        hot, written = run(recorded=True, folder=next(folders))
        idle, _ = run(recorded=False, folder=next(folders))
        print(f"hot path   {hot - idle:.3f} ms of CPU per call-second")
        print(f"writer     {written:.3f} ms of CPU per call-second")
        print(f"together   {hot - idle + written:.3f} ms (at most 0.3)")
        parsing = reference()
        ratio = (hot - idle + written) / parsing
        print(f"           {ratio:.2f} of what json.loads takes for the same 100 messages ({parsing:.3f} ms)")
        print(f"memory     {memory(next(folders)) / 1024:.0f} kB between two flushes (at most 1024)")
        print(f"listing    {listing(next(folders)):.3f} s of CPU for 10,000 records (at most 0.5)")


if __name__ == "__main__":
    main()
