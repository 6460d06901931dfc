#!/usr/bin/env python3
"""The phone path beside pipecat's and a bare uvicorn echo, in alternating rounds by `botrun load`.

    PEER=peer/bin/python .venv/bin/python benchmarks/phone.py [--calls 25] [--rounds 5] [--out phone.json]
    PEER=peer/bin/python .venv/bin/python benchmarks/phone.py --until-it-breaks

PEER is a Python with pipecat-ai 1.14.0 in it (servers/pipecat_phone.py); without it ours and the floor run.
Every round starts each server anew, one after the other; the order turns from round to round. A measurement
during which other programs took over half a core is not counted, whatever came of it, and made again: the
script says how many. Prints the medians as a Markdown table, and all measurements as JSON to --out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
BOTRUN = (sys.executable, "-P", "-m", "runner.cli")
MOST_OTHER_CORES = 0.5
READY_S = 60.0
TRIES_A_ROUND = 3
"""After so many rounds for each that was asked for, what there is must do."""

Measured = dict[str, Any]


@dataclass
class Server:
    """One of those compared."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    quiet: list[Measured] = field(default_factory=list)
    noisy: list[Measured] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[tuple[int, int]]:
        """Its port and its process."""
        port = free_port()
        process = subprocess.Popen(
            [*self.command, "--port", str(port)],
            env={**os.environ, **self.environment, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(port, process)
            yield port, process.pid
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with status {process.returncode} before it was ready")
        with socket.socket() as trying:
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(0.5)
                return
        time.sleep(0.05)
    raise SystemExit(f"{process.args!r} was not ready after {READY_S:g} s")


def servers(peer: str | None) -> list[Server]:
    """Those that are to be had here."""
    ours = [*BOTRUN, str(ROOT / "bots" / "echo_bot.py"), "-t", "twilio", "--no-reload"]
    ours.append("--no-reload")  # one process, whose memory is looked at
    found = [Server("ours", ours), Server("ours with VAD", ours, {"ECHO_VAD": "1"})]
    if peer:
        theirs = [peer, str(HERE / "servers" / "pipecat_phone.py")]
        found += [Server("pipecat lean", theirs), Server("pipecat with Silero", [*theirs, "--vad"])]
    return [*found, Server("uvicorn echo", [sys.executable, str(HERE / "servers" / "uvicorn_phone.py")])]


def load(server: Server, *words: str) -> Measured:
    """One measurement."""
    with server.running() as (port, pid):
        command = [*BOTRUN, "load", f"ws://127.0.0.1:{port}/ws"]
        done = subprocess.run(
            [*command, "--pid", str(pid), "--json", *words], capture_output=True, text=True, cwd=ROOT
        )
    if not done.stdout:
        raise SystemExit(f"{server.name}: {done.stderr.strip()}")
    found: Measured = json.loads(done.stdout)
    return found


# ------------------------------------------------------------------ rounds


def measure(compared: list[Server], asked: argparse.Namespace) -> None:
    """Round after round, until each has as many quiet ones as were asked for."""
    words = ("-n", str(asked.calls), "--duration", str(asked.seconds), "--ramp", "2")
    for number in range(asked.rounds * TRIES_A_ROUND):
        turn = number % len(compared)
        missing = [s for s in compared[turn:] + compared[:turn] if len(s.quiet) < asked.rounds]
        if not missing:
            return
        for server in missing:
            found = load(server, *words)
            calm = found["other_cores"] <= MOST_OTHER_CORES and not found["callers"]["saturated"]
            (server.quiet if calm else server.noisy).append(found)
            print(line(number, server, found, calm), file=sys.stderr, flush=True)


def line(number: int, server: Server, found: Measured, calm: bool) -> str:
    figures = f"{cpu_of(found) or 0:6.2f} ms, echo p95 {found['echo_ms']['p95']} ms"
    counted = "" if calm else ", not counted"
    return f"round {number + 1}  {server.name:<20} {figures}, other cores {found['other_cores']}{counted}"


def cpu_of(found: Measured) -> float | None:
    value: float | None = found["server"]["cpu_ms_per_call_s"]
    return value


def median(found: list[Measured], value: Callable[[Measured], float | None]) -> float | None:
    values = [number for one in found if (number := value(one)) is not None]
    return statistics.median(values) if values else None


COLUMNS: dict[str, Callable[[Measured], float | None]] = {
    "CPU, ms per call-second": cpu_of,
    "echo p50, ms": lambda found: found["echo_ms"]["p50"],
    "echo p95, ms": lambda found: found["echo_ms"]["p95"],
    "returned, %": lambda found: None if found["returned"] is None else 100 * found["returned"],
    "MB a call": lambda found: found["server"]["mb_per_call"],
    "idle MB": lambda found: found["server"]["idle_mb"],
    "threads": lambda found: found["server"]["threads"],
}


def table(compared: list[Server], calls: int) -> Iterator[str]:
    """Medians in Markdown, each CPU beside ours, and how noisy it was."""
    yield f"| N={calls} | {' | '.join(COLUMNS)} | quiet rounds |"
    yield "|---" * (len(COLUMNS) + 2) + "|"
    for server in compared:
        cells = [figure(median(server.quiet, value)) for value in COLUMNS.values()]
        count = f"{len(server.quiet)} of {len(server.quiet) + len(server.noisy)}"
        yield f"| {server.name} | {' | '.join(cells)} | {count} |"
    yield ""
    yield from ratios({server.name: median(server.quiet, cpu_of) for server in compared})
    for server in compared:
        rounds = ", ".join(f"{cpu_of(one)} ({one['other_cores']})" for one in server.quiet)
        noisy = ", ".join(f"{cpu_of(one)} ({one['other_cores']})" for one in server.noisy)
        yield f"- {server.name}, CPU (other cores) of each round: {rounds}; not counted: {noisy or 'none'}"


def ratios(cpu: dict[str, float | None]) -> Iterator[str]:
    for theirs, ours in (
        ("pipecat lean", "ours"),
        ("pipecat with Silero", "ours with VAD"),
        ("uvicorn echo", "ours"),
    ):
        above, below = cpu.get(theirs), cpu.get(ours)
        if above and below:
            yield f"- CPU of {theirs} over {ours}: {above / below:.2f}"


def figure(value: float | None) -> str:
    return (
        "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")
    )


# ------------------------------------------------------------------ how many


def carry(compared: list[Server], asked: argparse.Namespace) -> dict[str, Measured]:
    """How many calls each carries."""
    found = {}
    print("| server | calls that held | calls that did not | limit |\n|---|---|---|---|")
    for server in compared:
        words = ("--until-it-breaks", "--duration", str(asked.seconds), "-n", str(asked.first))
        found[server.name] = carried = load(server, *words)
        print(
            f"| {server.name} | {carried['carries']} | {carried['breaks_at']} | {carried['limit']} |",
            flush=True,
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=5, help="quiet ones, for each server")
    parser.add_argument("--seconds", type=float, default=8, help="measured, of each round")
    parser.add_argument("--until-it-breaks", action="store_true", help="instead: how many calls each carries")
    parser.add_argument("--first", type=int, default=16, help="calls of the first try")
    parser.add_argument("--only", action="append", metavar="NAME", help="these servers; several are allowed")
    parser.add_argument("--out", type=Path, help="all measurements, as JSON")
    asked = parser.parse_args()
    compared = [s for s in servers(os.environ.get("PEER")) if not asked.only or s.name in asked.only]
    if asked.until_it_breaks:
        result: Any = carry(compared, asked)
    else:
        measure(compared, asked)
        print("\n".join(table(compared, asked.calls)))
        result = {server.name: {"quiet": server.quiet, "noisy": server.noisy} for server in compared}
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
