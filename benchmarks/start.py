"""From the command to a server that answers, and what it then holds, in alternating rounds.

    python benchmarks/start.py [--rounds 7] [-t twilio] [--bot bots/echo_bot.py] [--json start.json]
    python benchmarks/start.py --against ../botrun-before       that checkout too, in the same rounds

Measured are `botrun --help`, a run of one process (`--no-reload`) and one that reloads. "Ready" is when GET
/healthz has been answered: the port is open long before. Memory is the PSS of all the run's processes, which
counts a page that two of them share once (/proc/…/smaps_rollup, so Linux only), a second later. The first
round of each is not counted: it may have to compile. Prints the medians as a Markdown table.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
READY_S, IDLE_S, LOOK_EVERY_S = 60.0, 1.0, 0.002
MB = 1e6


@dataclass
class Way:
    """One way to start, of one checkout."""

    name: str
    checkout: Path
    words: list[str]
    ready_s: list[float] = field(default_factory=list)
    pss_mb: list[float] = field(default_factory=list)
    processes: int = 0

    def measure(self) -> tuple[float, float, int]:
        """Seconds to an answer (of `--help`: to its end), PSS (MB), processes."""
        port = free_port()
        begun = time.perf_counter()
        process = self._spawn(port)
        try:
            if "--help" in self.words:
                process.wait(READY_S)
                return time.perf_counter() - begun, 0.0, 1
            wait_for_answer(port, process)
            took = time.perf_counter() - begun
            time.sleep(IDLE_S)
            family = family_of(process.pid)
            return took, sum(map(pss_bytes, family)) / MB, len(family)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(10)

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(self.checkout)}
        # As people have it: modules are compiled once.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        words = [*self.words, *([] if "--help" in self.words else ["--port", str(port)])]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "runner.cli", *words],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_for_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with status {process.returncode} before it was ready")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S)
        try:
            # Not a path of the API, whose first request imports it. Older checkouts answer 404.
            connection.request("GET", "/healthz")
            assert connection.getresponse().status in (200, 404)
            return
        except ConnectionRefusedError:
            time.sleep(LOOK_EVERY_S)
        finally:
            connection.close()
    raise SystemExit(f"{process.args!r} was not ready after {READY_S:g} s")


def family_of(pid: int) -> list[int]:
    """A process and all that came of it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family_of(int(child)))]


def pss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def ways(checkouts: list[Path], bot: str, transport: str) -> list[Way]:
    found = []
    for checkout in checkouts:
        of = f" ({checkout.name})" if len(checkouts) > 1 else ""
        run = [str(checkout / bot), "-t", transport]
        found += [
            Way(f"`--help`{of}", checkout, ["--help"]),
            Way(f"one process{of}", checkout, [*run, "--no-reload"]),
            Way(f"with reload{of}", checkout, run),
        ]
    return found


def table(measured: list[Way]) -> str:
    rows = ["| start | ready, median | least to most | PSS | processes |", "|---|---|---|---|---|"]
    for way in measured:
        pss = f"{statistics.median(way.pss_mb):.1f} MB" if any(way.pss_mb) else ""
        low, high = min(way.ready_s), max(way.ready_s)
        ready = statistics.median(way.ready_s)
        rows.append(f"| {way.name} | {ready:.3f} s | {low:.3f}–{high:.3f} s | {pss} | {way.processes} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("-t", "--transport", default="twilio")
    parser.add_argument("--bot", default="bots/echo_bot.py", help="within each checkout")
    parser.add_argument("--against", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    compared = ways([ROOT, *(path.resolve() for path in asked.against)], asked.bot, asked.transport)
    for number in range(asked.rounds + 1):
        for way in compared if number % 2 else reversed(compared):
            ready_s, pss_mb, way.processes = way.measure()
            if number:
                way.ready_s.append(round(ready_s, 3))
                way.pss_mb.append(round(pss_mb, 1))
    print(table(compared))
    if asked.json:
        found = {way.name: {"ready_s": way.ready_s, "pss_mb": way.pss_mb} for way in compared}
        asked.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
