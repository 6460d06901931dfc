"""From saving a bot to its new code taking calls, and what many reloads leave behind.

    python benchmarks/reload.py                     p50 and p95 of save → new code takes calls
    python benchmarks/reload.py --reloads 200       what is held afterwards: processes, descriptors, memory
    python benchmarks/reload.py --start             from the command to ready, and the memory of all processes

    python benchmarks/reload.py --caller both       save → the first word that the new code says, to the page
                                                    and this machine's phone (20 saves each, about 4 minutes)

"The new code answers" is when the supervisor says so: the old worker answers no turn any more. A caller types
its turn then, in a call that goes on; between saves the bot says what it has to say.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from reload_callers import page_caller, phone_caller

CALLERS = {"page": ("page",), "phone": ("phone",), "both": ("page", "phone")}
BOT = Path(__file__).parents[1] / "bots" / "my_bot.py"


class Run:
    """A botrun on a copy of the bot."""

    def __init__(self, folder: Path, transport: str) -> None:
        self.bot = folder / "my_bot.py"
        self.bot.write_text(BOT.read_text())
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runner.cli", str(self.bot), "-t", transport, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "BOTRUN_LOG": "text"},
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("talk"):
                self.address = line.split()[1].rstrip("/")
                break
        self.ready_s = time.perf_counter() - self.begun
        self.told: list[str] = []
        self._heard = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._heard:
                self.told.append(line)
                self._heard.notify_all()

    def save(self, number: int) -> float:
        """Seconds from the save to the new code taking calls."""
        text = re.sub(r'GREETING = ".*"', f'GREETING = "Hello {number}."', self.bot.read_text())
        count = sum("the new code answers" in line for line in self.told)
        begun = time.perf_counter()
        self.bot.write_text(text)
        with self._heard:
            self._heard.wait_for(
                lambda: sum("the new code answers" in line for line in self.told) > count, timeout=30
            )
        return time.perf_counter() - begun

    def held(self) -> dict[str, float]:
        """Processes, descriptors and memory (PSS, MB) of all that this run is made of."""
        family = [psutil.Process(self.process.pid)]
        family += family[0].children(recursive=True)
        return {
            "processes": len(family),
            "descriptors": sum(process.num_fds() for process in family),
            "sockets": sum(len(process.net_connections("all")) for process in family),
            "pss_mb": round(sum(process.memory_full_info().pss for process in family) / 1e6, 1),
        }

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)


async def answers(run: Run, caller: str, reloads: int) -> dict[str, object]:
    """Seconds from a save to the new code's taking over, to the call's having moved, to its first word."""
    calling = phone_caller(run.address) if caller == "phone" else page_caller(run.address)
    took: dict[str, list[float]] = {"answers": [], "moved": [], "first_word": []}
    async with calling as talk:
        for number in range(reloads):
            await talk.quiet()
            begun = time.perf_counter()
            took["answers"].append(await asyncio.to_thread(run.save, number))
            moved, spoke = await talk.turn()
            took["moved"].append(moved - begun)
            took["first_word"].append(spoke - begun)
            print(f"{caller} {number + 1:2}: {spoke - begun:.2f} s", file=sys.stderr)
    found: dict[str, object] = {"caller": caller, "n": reloads, "load": round(os.getloadavg()[0], 2)}
    for name, values in took.items():
        found[f"{name}_p50_s"] = round(statistics.median(values), 2)
        found[f"{name}_p95_s"] = round(quantile(values, 0.95), 2)
        found[f"{name}_worst_s"] = round(max(values), 2)
    return found


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, round(share * (len(values) - 1)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--reloads", type=int, default=20)
    parser.add_argument("-t", "--transport", default="webrtc")
    parser.add_argument("--caller", choices=list(CALLERS))
    parser.add_argument("--start", action="store_true")
    asked = parser.parse_args()
    for caller in CALLERS.get(asked.caller, ()):
        with running("twilio" if caller == "phone" else "webrtc") as run:
            print(json.dumps(asyncio.run(answers(run, caller, asked.reloads)), indent=2), flush=True)
    if not asked.caller:
        with running(asked.transport) as run:
            print(json.dumps(holding(run, 0 if asked.start else asked.reloads), indent=2))


@contextlib.contextmanager
def running(transport: str) -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), transport)
        try:
            time.sleep(2.0)
            yield run
        finally:
            run.close()


def holding(run: Run, reloads: int) -> dict[str, object]:
    """What is held before and after so many saves, and how long they took."""
    found: dict[str, object] = {"ready_s": round(run.ready_s, 2), "at the start": run.held()}
    if reloads:
        run.save(-1)
        time.sleep(2.0)
        found["after one"] = run.held()
        took = [run.save(number) for number in range(reloads)]
        time.sleep(2.0)
        found[f"after {reloads} more"] = run.held()
        found["save_p50_s"] = round(statistics.median(took), 2)
        found["save_p95_s"] = round(quantile(took, 0.95), 2)
    return found


if __name__ == "__main__":
    main()
