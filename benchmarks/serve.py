"""`botrun serve` measured: two workers beside one, a killed worker, a drain, a process for each call.

    export PYTHONPATH=tests/support
    .venv/bin/python benchmarks/serve.py cpu --calls 40 --rounds 3
    .venv/bin/python benchmarks/serve.py kill --calls 40
    .venv/bin/python benchmarks/serve.py drain --calls 40
    .venv/bin/python benchmarks/serve.py isolate --calls 10

`cpu` alternates; the load is `botrun load`'s, and the CPU is that of all of the run's processes. `kill` and
`drain` play Twilio: signed webhooks, media sockets, and a REST server that is asked to hang up.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
from carrier_calls import post
from free_port import free_port
from provider_server import ProviderServer, provider_server
from public_world import call_fields, media_url, signed, socket_headers, wire
from run_process import Run, running
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from runner.callers.wires import Wire, wire_for

ROOT = Path(__file__).parents[1]
ECHO = ROOT / "bots" / "echo_bot.py"
SPINNING = ROOT / "benchmarks" / "servers" / "spinning_bot.py"


# ------------------------------------------------------------------ a run, and loads on it


@contextlib.asynccontextmanager
async def serving(bot: Path, *more: str, ready: int) -> AsyncIterator[tuple[int, psutil.Process]]:
    """Port and process of `botrun serve` with so many workers that accept."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runner.cli", "serve", str(bot), "-t", "twilio", "--port", str(port)),
        *("--grace", "0", "--capacity", "100", *more),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    accepting = 0
    while accepting < ready:
        accepting += b"accepts calls" in await process.stderr.readline()
    draining = asyncio.create_task(process.stderr.read())
    try:
        yield port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
        await draining


async def load(port: int, pid: int, calls: int, secs: float) -> dict[str, Any]:
    """`botrun load`'s figures."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runner.cli", "load", f"ws://127.0.0.1:{port}/ws", "-t", "twilio", "--json"),
        *("-n", str(calls), "--duration", str(secs), "--ramp", "2", "--procs", "1", "--pid", str(pid)),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    found: dict[str, Any] = json.loads(out)
    return found


def split(run: psutil.Process, port: int) -> list[int]:
    """Connections of the port, by worker."""
    counts = []
    for process in run.children(recursive=True):
        connections = [c for c in process.net_connections() if c.laddr and c.laddr.port == port]
        if count := sum(c.status == "ESTABLISHED" for c in connections):
            counts.append(count)
    return sorted(counts, reverse=True)


async def cpu(options: argparse.Namespace) -> None:
    """One worker and two, in alternation, with the same calls."""
    found: dict[int, list[float]] = {1: [], 2: []}
    for number in range(options.rounds):
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            async with serving(ECHO, "--workers", str(workers), ready=workers) as (port, run):
                loading = asyncio.create_task(load(port, run.pid, options.calls, options.secs))
                await asyncio.sleep(2 + options.secs / 2)
                shares = split(run, port)
                report = await loading
            echo, server = report["echo_ms"], report["server"]
            found[workers].append(server["cpu_ms_per_call_s"])
            print(
                f"round {number + 1}  {workers} workers  {server['cpu_ms_per_call_s']:.2f} ms a call-second"
                f"  echo p50 {echo['p50']} p95 {echo['p95']} p99 {echo['p99']} ms  split {shares}"
                f"  up {report['up']}/{report['calls']}  other cores {report['other_cores']:.2f}",
                flush=True,
            )
    one, two = (statistics.median(found[workers]) for workers in (1, 2))
    print(f"median: one worker {one:.2f}, two {two:.2f} ms: {two / one - 1:+.1%}")


# ------------------------------------------------------------------ Twilio's calls


class Calls:
    """Callers who stay until they hang up, or are hung up."""

    def __init__(self, run: Run, server: ProviderServer, stack: contextlib.AsyncExitStack) -> None:
        self.run, self._server, self._stack = run, server, stack
        self.media: dict[str, ClientConnection] = {}
        self.left: set[str] = set()

    async def place(self, call_id: str) -> float:
        """Returns the time from the webhook to the bot's first sound (s)."""
        begun = time.monotonic()
        self._server.calls[call_id] = "talking"
        fields = {**call_fields("twilio", call_id), "From": f"+1555{len(self.media):07}"}
        answer = await post(
            self.run.origin, signed("twilio", "/twilio/answer", fields, origin=self.run.origin)
        )
        url = media_url("twilio", answer.text)
        opening = connect(url, additional_headers=socket_headers("twilio", url), proxy=None, compression=None)
        self.media[call_id] = media = await self._stack.enter_async_context(opening)
        phone = wire("twilio", call_id)
        for message in phone.opening():
            await media.send(message)
        await media.recv()
        for work in (self._read(media), self._stay(media, phone)):
            self._stack.callback(asyncio.create_task(work).cancel)
        return time.monotonic() - begun

    async def _read(self, media: ClientConnection) -> None:
        async for _ in media:
            pass

    async def _stay(self, media: ClientConnection, phone: Wire) -> None:
        """Some sound now and then: a line on which nothing comes is taken for dead after 15 s."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await media.send(phone.media(bytes(2 * 8 * phone.ptime_ms)))
                await asyncio.sleep(2)

    async def hang_up(self, call_id: str) -> None:
        if self.media[call_id].close_code is None:
            self.left.add(call_id)
        await self.media[call_id].close()

    def cut(self) -> set[str]:
        """Calls that did not end by their caller."""
        return {name for name, media in self.media.items() if media.close_code is not None} - self.left


@contextlib.asynccontextmanager
async def calling(count: int, *more: str) -> AsyncIterator[tuple[Calls, ProviderServer]]:
    """So many calls on two workers."""
    limits = {"BOTRUN_MAX_CALLS_PER_CALLER": "0", "BOTRUN_SHUTDOWN_SECS": "0"}
    with tempfile.TemporaryDirectory() as folder:
        async with (
            provider_server() as server,
            running(
                "twilio",
                server,
                Path(folder),
                "--workers",
                "2",
                "--capacity",
                "100",
                *more,
                verb="serve",
                then="stay",
                **limits,
            ) as run,
            contextlib.AsyncExitStack() as stack,
        ):
            await run.ready("accepts calls", 2)
            calls = Calls(run, server, stack)
            for number in range(count):
                await calls.place(f"C{number}")
            yield calls, server


async def kill(options: argparse.Namespace) -> None:
    """SIGKILL of one of two workers."""
    async with calling(options.calls) as (calls, server):
        pid = int(re.findall(r"pid (\d+)\) accepts calls", calls.run.output)[0])
        psutil.Process(pid).kill()
        at = time.monotonic()
        first = await calls.place("next")
        answered = time.monotonic() - at
        while calls.run.output.count("accepts calls") < 3:
            await asyncio.sleep(0.01)
        replaced = time.monotonic() - at
        lost, hung_up = calls.cut(), set[str]()
        while hung_up != lost and time.monotonic() - at < 30:
            await asyncio.sleep(0.05)
            hung_up = {call_id for call_id in lost if server.calls[call_id] == "completed"}
        all_at = time.monotonic() - at
        others = {call_id for call_id, state in server.calls.items() if state == "completed"} - lost
        print(
            f"SIGKILL of one of two workers under {options.calls} calls: {len(lost)} ended, {len(hung_up)} of"
            f" them hung up at the provider within {all_at:.1f} s, {len(others)} others; the next call was"
            f" answered after {answered:.3f} s (itself {first:.3f} s), the worker replaced after"
            f" {replaced:.3f} s"
        )


async def drain(options: argparse.Namespace) -> None:
    """SIGTERM under load: callers hang up within some seconds, new ones hear busy."""
    async with calling(options.calls, "--grace", "60") as (calls, _):
        draws = random.Random(7)

        async def talk(call_id: str) -> None:
            await asyncio.sleep(draws.uniform(2, 12))
            await calls.hang_up(call_id)

        talking = [asyncio.create_task(talk(call_id)) for call_id in calls.media]
        calls.run.process.send_signal(signal.SIGTERM)
        at, busy = time.monotonic(), 0
        await calls.run.ready("draining")
        for number in range(10):
            fields = call_fields("twilio", f"N{number}")
            request = signed("twilio", "/twilio/answer", fields, origin=calls.run.origin)
            with contextlib.suppress(httpx2.HTTPError):
                busy += "<Reject" in (await post(calls.run.origin, request)).text
        await asyncio.gather(*talking)
        status = await calls.run.ended()
        print(
            f"SIGTERM under {options.calls} calls of 2 to 12 s: {len(calls.cut())} cut, {len(calls.left)}"
            f" left by callers; {busy} of 10 new callers heard busy; exit status {status} after"
            f" {time.monotonic() - at:.1f} s"
        )


# ------------------------------------------------------------------ a process for each call


async def spin(port: int) -> ClientConnection:
    """Call from the number whose bot spins."""
    media = await connect(f"ws://127.0.0.1:{port}/ws", proxy=None, compression=None)
    phone = wire_for("twilio", call_id="SPIN", from_number="+15550000000", to_number="+15550000001")
    for message in phone.opening():
        await media.send(message)
    return media


async def isolate(options: argparse.Namespace) -> None:
    """Other calls beside a bot that spins, and what a process costs."""
    for words in ((), ("--isolate", "--spare", str(options.calls + 2))):
        async with serving(SPINNING, "--workers", "1", *words, ready=1) as (port, run):
            if words:
                while len(run.children(recursive=True)) < options.calls + 4:
                    await asyncio.sleep(0.1)
                await asyncio.sleep(3)
                costs(run)
            quiet = await load(port, run.pid, options.calls, options.secs)
            if words:
                await asyncio.sleep(6)
                await spin(port)
                spinning = await load(port, run.pid, options.calls, options.secs)
        name = "a process for each call" if words else "one worker"
        print(f"{name}: {figures(quiet)}", flush=True)
        if words:
            print(f"{name}, one spins: {figures(spinning)}", flush=True)


def figures(report: dict[str, Any]) -> str:
    echo, server = report["echo_ms"], report["server"]
    return (
        f"{report['up']}/{report['calls']} up, echo p50 {echo['p50']} p99 {echo['p99']} ms,"
        f" {server['cpu_ms_per_call_s']:.2f} ms of CPU a call-second, {report['other_cores']:.2f} other cores"
    )


def costs(run: psutil.Process) -> None:
    """Memory and CPU of processes that wait for a call."""
    processes = run.children(recursive=True)[1:]
    pss = [process.memory_full_info().pss / 1e6 for process in processes]
    spent = [sum(process.cpu_times()[:2]) for process in processes]
    print(
        f"a waiting process: {statistics.median(pss):.1f} MB (PSS), {statistics.median(spent) * 1000:.0f} ms"
        f" of CPU since its fork ({len(processes)} processes)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["cpu", "kill", "drain", "isolate"])
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=float, default=8.0)
    options = parser.parse_args()
    asyncio.run(globals()[options.what](options))


if __name__ == "__main__":
    main()
