"""What recording costs a real server: a bot that turns the recording of its calls on and off while they run.

    WINDOWS=30 RESULT=cost.txt BOTRUN_RECORD=1 \\
        botrun load benchmarks/records_toggle.py -t twilio -n 25 --duration 95

The same calls in the same process, one second with recording and one without, in random order: what else the
machine does falls on both alike. Appends one line to RESULT: CPU (ms) per call-second.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
import time
from pathlib import Path
from statistics import mean, median, stdev

sys.path.insert(0, str(Path(__file__).parent.parent / "bots"))
import echo_bot

from runner import RunnerArguments
from runner.records.writer import CallRecord, RecordWriter
from runner.transports.websocket.socket import CallWebSocket

WINDOW_S, SETTLE_S = 1.0, 0.3
CALLS = int(os.environ.get("CALLS", "25"))
WINDOWS = int(os.environ.get("WINDOWS", "30"))

writers: set[RecordWriter] = set()
measuring: list[asyncio.Task[None]] = []
_add = RecordWriter.add


def _noted(self: RecordWriter, record: CallRecord) -> None:
    writers.add(self)
    _add(self, record)


RecordWriter.add = _noted  # type: ignore[method-assign]


async def measure() -> None:
    sockets: list[CallWebSocket] = []
    while len(sockets) < CALLS:
        await asyncio.sleep(2)
        sockets = [one for one in gc.get_objects() if isinstance(one, CallWebSocket) and one.tape is not None]
    (writer,) = writers
    tapes, records = [one.tape for one in sockets], list(writer._records)
    took: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(WINDOWS):
        for recorded in random.sample((False, True), 2):
            for socket, tape in zip(sockets, tapes, strict=True):
                socket.tape = tape if recorded else None
            with writer._lock:
                writer._records = list(records) if recorded else []
            writer._wake.set()
            await asyncio.sleep(SETTLE_S)
            cpu, began = time.process_time(), time.monotonic()
            await asyncio.sleep(WINDOW_S)
            seconds = (time.monotonic() - began) * len(sockets)
            took[recorded].append((time.process_time() - cpu) / seconds * 1000)
    differences = sorted(on - off for off, on in zip(took[False], took[True], strict=True))
    middle = differences[len(differences) // 5 : len(differences) - len(differences) // 5]
    error = stdev(middle) / len(middle) ** 0.5
    with Path(os.environ["RESULT"]).open("a") as file:
        file.write(
            f"without {median(took[False]):.2f}, with {median(took[True]):.2f}; "
            f"difference {mean(middle):.2f} ± {error:.2f}, "
            f"median {median(differences):.2f}, {WINDOWS} pairs, {len(sockets)} calls\n"
        )


async def bot(runner_args: RunnerArguments) -> None:
    if not measuring:
        measuring.append(asyncio.get_running_loop().create_task(measure()))
    await echo_bot.bot(runner_args)
