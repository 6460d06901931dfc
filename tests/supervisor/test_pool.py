"""`botrun serve` in processes of its own: workers share the calls, die, are replaced, and drain."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import psutil
import pytest
from carrier_calls import post
from eventually import eventually
from provider_server import ProviderServer, provider_server
from public_world import call_fields, media_url, signed, socket_headers, wire
from run_process import Run, running
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

CALLS = 6


@contextlib.asynccontextmanager
async def served(server: ProviderServer, folder: Path, *more: str, **env: str) -> AsyncIterator[Run]:
    """Two workers that accept calls."""
    env = {"BOTRUN_MAX_CALLS_PER_CALLER": "0", "BOTRUN_SHUTDOWN_SECS": "0", "BOTRUN_GRACE_SECS": "20", **env}
    flags = ("--workers", "2", *more)
    async with running("twilio", server, folder, *flags, verb="serve", then="stay", **env) as run:
        await run.ready("accepts calls", 2)
        yield run


async def answered(run: Run, call_id: str) -> str:
    """The answer document of a call."""
    fields = call_fields("twilio", call_id)
    answer = await post(run.origin, signed("twilio", "/twilio/answer", fields, origin=run.origin))
    assert answer.status_code == 200, answer.text
    return answer.text


class Calls:
    """Callers who stay, and are counted when they are hung up."""

    def __init__(self, run: Run, server: ProviderServer) -> None:
        self._run = run
        self._server = server
        self._stack = contextlib.AsyncExitStack()
        self.media: dict[str, ClientConnection] = {}

    async def place(self, call_id: str) -> None:
        self._server.calls[call_id] = "talking"
        url = media_url("twilio", await answered(self._run, call_id))
        opening = connect(
            url,
            additional_headers=socket_headers("twilio", url),
            proxy=None,
            compression=None,
            max_queue=None,
        )
        self.media[call_id] = media = await self._stack.enter_async_context(opening)
        for message in wire("twilio", call_id).opening():
            await media.send(message)
        await self._run.ready(f"answers {call_id}")

    async def hang_up(self, call_id: str) -> None:
        await self.media.pop(call_id).close()

    def ended(self) -> set[str]:
        return {call_id for call_id, media in self.media.items() if media.close_code is not None}

    async def __aenter__(self) -> Calls:
        return self

    async def __aexit__(self, *error: object) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._stack.aclose()


def workers(run: Run) -> dict[int, str]:
    """Workers' ids by their pids, those that accepted so far."""
    found = re.findall(r"worker (\d+) \(pid (\d+)\) accepts calls", run.output)
    return {int(pid): worker for worker, pid in found}


async def get(run: Run, path: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://127.0.0.1:{run.port}{path}")


async def gauges(run: Run) -> dict[str, float]:
    """Of `/metrics`, which needs no key from inside."""
    text = (await get(run, "/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^(botrun_\w+) ([\d.e+-]+)$", text, re.M)}


async def uses(run: Run, share: float) -> bool:
    return (await gauges(run))["botrun_capacity_used"] == share


@pytest.mark.faults(31)
async def test_a_killed_worker_takes_only_its_calls_and_each_is_hung_up(tmp_path: Path) -> None:
    async with provider_server() as server, served(server, tmp_path) as run, Calls(run, server) as calls:
        for number in range(CALLS):
            await calls.place(f"C{number}")
        victim = next(iter(workers(run)))
        psutil.Process(victim).kill()
        await eventually(lambda: len(calls.ended()) == CALLS // 2, what="half of the calls end")
        lost = calls.ended()
        hung_up = lambda: {call for call in calls.media if server.calls.get(call) == "completed"}  # noqa: E731
        await eventually(lambda: hung_up() == lost, what="each call that ended is hung up")
        await run.ready("accepts calls", 3)
        await calls.place("C9")
        for call_id in calls.media.keys() - lost:
            await calls.media[call_id].ping()
        assert calls.ended() == lost
        assert len(workers(run)) == 3
        assert run.output.count("botrun replaces it") == 1


@pytest.mark.faults(32)
async def test_a_drain_refuses_new_calls_and_cuts_none(tmp_path: Path) -> None:
    async with provider_server() as server, served(server, tmp_path) as run, Calls(run, server) as calls:
        for number in range(4):
            await calls.place(f"C{number}")
        assert (await get(run, "/readyz")).status_code == 200
        promised = media_url("twilio", await answered(run, "C5"))
        run.process.send_signal(signal.SIGTERM)
        await run.ready("draining: 4 calls")
        await run.ready("draining")
        ready = await get(run, "/readyz")
        assert (ready.status_code, ready.headers["retry-after"]) == (503, "10")
        assert (await get(run, "/healthz")).status_code == 200
        assert '<Reject reason="busy"' in await answered(run, "C6")
        async with connect(
            promised, additional_headers=socket_headers("twilio", promised), proxy=None, compression=None
        ) as media:
            for message in wire("twilio", "C5").opening():
                await media.send(message)
            await run.ready("answers C5")
            for call_id in list(calls.media):
                await calls.media[call_id].ping()
                await calls.hang_up(call_id)
            assert run.process.returncode is None, "the promised call goes on"
        assert await run.ended() == 0
        assert "0 calls are ended" in run.output


async def test_grace_that_is_over_ends_calls_properly(tmp_path: Path) -> None:
    async with (
        provider_server() as server,
        served(server, tmp_path, BOTRUN_GRACE_SECS="0.5", BOTRUN_SHUTDOWN_SECS="1") as run,
        Calls(run, server) as calls,
    ):
        await calls.place("C1")
        assert await run.end(signal.SIGTERM) == 0
        assert server.calls["C1"] == "completed"
        assert run.output.count("was left by C1") == 1


@pytest.mark.faults(33)
async def test_at_capacity_callers_hear_busy_at_once_and_the_gauge_says_so(tmp_path: Path) -> None:
    async with (
        provider_server() as server,
        served(server, tmp_path, "--capacity", "2") as run,
        Calls(run, server) as calls,
    ):
        for number in range(4):
            await calls.place(f"C{number}")
        assert '<Reject reason="busy"' in await answered(run, "C5")
        await eventually(lambda: uses(run, 1.0), what="the gauge is at 1")
        found = await gauges(run)
        assert (found["botrun_capacity_calls"], found["botrun_workers"]) == (4.0, 2.0)
        await calls.hang_up("C0")
        await eventually(lambda: uses(run, 0.75), what="the gauge goes down")
        await calls.place("C6")


async def test_a_worker_that_takes_too_much_memory_finishes_its_calls_and_is_replaced(tmp_path: Path) -> None:
    async with (
        provider_server() as server,
        served(server, tmp_path, "--worker-memory", "1") as run,
        Calls(run, server) as calls,
    ):
        await run.ready("botrun replaces it, and its calls finish there", 2)
        await calls.place("C1")
        await run.ready("has finished its calls and ended", 2)
        await calls.media["C1"].ping()


async def test_a_crash_loop_is_reported_once(tmp_path: Path) -> None:
    bot = tmp_path / "crashing.py"
    bot.write_text(
        "import os, sys, pathlib\n"
        "marks = pathlib.Path(__file__).with_name('starts')\n"
        "starts = len(marks.read_text()) if marks.exists() else 0\n"
        "marks.write_text('x' * (starts + 1))\n"
        "if starts >= 2:\n"
        "    os._exit(9)\n"
        "async def bot(runner_args):\n"
        "    pass\n"
    )
    async with (
        provider_server() as server,
        running(
            "twilio", server, tmp_path, "--workers", "2", verb="serve", bot=bot, BOTRUN_SHUTDOWN_SECS="0"
        ) as run,
    ):
        await run.ready("accepts calls", 2)
        psutil.Process(next(iter(workers(run)))).kill()
        await run.ready("crash loop")
        await eventually(
            lambda: len((tmp_path / "starts").read_text()) >= 6, 30, what="it is tried again and again"
        )
        assert run.output.count("crash loop") == 1
        assert (await get(run, "/healthz")).status_code == 200, "the other worker answers"


async def test_a_process_for_each_call_leaves_the_others_alone(tmp_path: Path) -> None:
    bot = tmp_path / "spinning.py"
    bot.write_text(
        "import os\n"
        "async def bot(runner_args):\n"
        "    print(f'process {os.getpid()} answers {runner_args.call_id}', flush=True)\n"
        "    if runner_args.call_id == 'C2':\n"
        "        while True:\n"
        "            pass\n"
        "    while (await runner_args.websocket.receive())['type'] != 'websocket.disconnect':\n"
        "        pass\n"
    )
    isolated = {"BOTRUN_MAX_CALLS_PER_CALLER": "0", "BOTRUN_SHUTDOWN_SECS": "0", "BOTRUN_SPARE": "2"}
    async with (
        provider_server() as server,
        running("twilio", server, tmp_path, "--isolate", verb="serve", bot=bot, **isolated) as run,
        Calls(run, server) as calls,
    ):
        for number in range(4):
            await calls.place(f"C{number}")
        pids = {call: int(pid) for pid, call in re.findall(r"process (\d+) answers (C\d)", run.output)}
        assert len(set(pids.values())) == 4, "each call has its own"
        await calls.media["C1"].ping()
        psutil.Process(pids["C2"]).kill()
        await eventually(lambda: calls.ended() == {"C2"}, what="only the killed call ends")
        await eventually(lambda: server.calls["C2"] == "completed", what="it is hung up")
        await calls.hang_up("C0")
        await eventually(lambda: not psutil.pid_exists(pids["C0"]), what="the process ends with its call")
        await calls.place("C5")
