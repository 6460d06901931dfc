#!/usr/bin/env python3
"""The phone path beside pipecat's and a bare uvicorn echo, in alternating rounds by `botrun load`.

    PEER=peer/bin/python .venv/bin/python benchmarks/phone.py [--calls 25] [--rounds 5] [--out phone.json]
    PEER=peer/bin/python .venv/bin/python benchmarks/phone.py --until-it-breaks

PEER is a Python with pipecat-ai 1.14.0 in it (servers/pipecat_phone.py); without it ours and the floor run.
Every round restarts each server, one after the other; the order rotates from round to round. A measurement
during which other programs took over half a core is not counted, whatever came of it, and made again, until
--minutes are over: the script says how many. Prints the medians and all rounds as Markdown tables, and all
measurements as JSON to --out. Five rounds of five servers take about six minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
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
LAST_WORD_S = 60.0
"""How long (s) a load may take to tell what it found, once its time is over."""

WITH_VAD = {"ours with VAD": 96, "pipecat with Silero": 16}
"""Who is loaded until it breaks, if nobody is named, and with how many calls it begins."""

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


def load(server: Server, *words: str, within_s: float) -> Measured:
    """One measurement; one that takes too long is stopped, and tells what it has found."""
    with server.running() as (port, pid):
        command = [*BOTRUN, "load", f"ws://127.0.0.1:{port}/ws", "--pid", str(pid), "--json", *words]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        try:
            told, problem = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            told, problem = process.communicate(timeout=LAST_WORD_S)
    if not told:
        raise SystemExit(f"{server.name}: {problem.strip()}")
    found: Measured = json.loads(told)
    return found


# ------------------------------------------------------------------ rounds


def measure(compared: list[Server], asked: argparse.Namespace) -> None:
    """Round after round, until each has as many quiet ones as were asked for, or the time is over."""
    words = ("-n", str(asked.calls), "--duration", str(asked.seconds), "--ramp", "1.5")
    deadline = time.monotonic() + 60 * asked.minutes
    for number in itertools.count():
        turn = number % len(compared)
        missing = [s for s in compared[turn:] + compared[:turn] if len(s.quiet) < asked.rounds]
        if not missing:
            return
        for server in missing:
            if time.monotonic() > deadline:
                print("the time is over", file=sys.stderr)
                return
            found = load(server, *words, within_s=asked.seconds + LAST_WORD_S)
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
    yield ""
    yield from all_rounds(compared)


def all_rounds(compared: list[Server]) -> Iterator[str]:
    """Every measurement: CPU, echo p95, and what other programs took."""
    most = max(len(server.quiet) for server in compared)
    numbers = " | ".join(str(number + 1) for number in range(most))
    yield f"| CPU, ms / echo p95, ms / other cores | {numbers} | not counted |"
    yield "|---" * (most + 2) + "|"
    for server in compared:
        cells = [cell(one) for one in server.quiet] + ["-"] * (most - len(server.quiet))
        noisy = ", ".join(cell(one) for one in server.noisy) or "-"
        yield f"| {server.name} | {' | '.join([*cells, noisy])} |"


def cell(found: Measured) -> str:
    other = found["other_cores"]
    return f"{figure(cpu_of(found))} / {figure(found['echo_ms']['p95'])} / {other:.2f}"


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
    print(f"| server | {' | '.join(CARRIED)} |")
    print("|---" * (len(CARRIED) + 1) + "|")
    for server in compared:
        first = asked.first or WITH_VAD.get(server.name, 16)
        words = ("--until-it-breaks", "--duration", str(asked.seconds), "-n", str(first))
        found[server.name] = carried = load(server, *words, within_s=60 * asked.minutes / len(compared))
        cells = [value(carried) for value in CARRIED.values()]
        print(f"| {server.name} | {' | '.join(cells)} |", flush=True)
    return found


def best_step(carried: Measured) -> Measured | None:
    """The load with the most calls that held."""
    return next((s for s in carried["steps"] if s["holds"] and s["calls"] == carried["carries"]), None)


def of_best(value: Callable[[Measured], float | None]) -> Callable[[Measured], str]:
    def read(carried: Measured) -> str:
        step = best_step(carried)
        return "-" if step is None else figure(value(step))

    return read


CARRIED: dict[str, Callable[[Measured], str]] = {
    "calls that held": lambda carried: str(carried["carries"]),
    "calls that did not": lambda carried: str(carried["breaks_at"] or "-"),
    "limit": lambda carried: str(carried["limit"]),
    **{name: of_best(value) for name, value in COLUMNS.items()},
    "cores": of_best(lambda found: found["server"]["cpu_cores"]),
    "tries (calls)": lambda carried: ", ".join(str(step["calls"]) for step in carried["steps"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=5, help="quiet ones, for each server")
    parser.add_argument("--seconds", type=float, default=6, help="measured, of each round")
    parser.add_argument("--until-it-breaks", action="store_true", help="instead: how many calls each carries")
    parser.add_argument("--first", type=int, help="calls of the first try")
    parser.add_argument("--minutes", type=float, default=9.5, help="for all; then what there is must do")
    parser.add_argument("--only", action="append", metavar="NAME", help="these servers; several are allowed")
    parser.add_argument("--out", type=Path, help="all measurements, as JSON")
    asked = parser.parse_args()
    wanted = asked.only or (list(WITH_VAD) if asked.until_it_breaks else None)
    compared = [s for s in servers(os.environ.get("PEER")) if wanted is None or s.name in wanted]
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
