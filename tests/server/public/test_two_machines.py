"""Two machines' stand-ins, each a network namespace, share one Redis: a token is redeemed once."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from redis_server import redis_server
from two_links import BOT_ADDRESS, two_links

pytestmark = [pytest.mark.processes, pytest.mark.root, pytest.mark.timeout(120)]

MACHINE = """
import asyncio, sys
from runner.providers.webhooks import RefusedError
from runner.server.public.ledger_client import make_store
from runner.settings import Settings

async def main():
    store = make_store(Settings(state=sys.argv[1], max_calls_per_caller=1))
    await store.start()
    for line in iter(sys.stdin.readline, ""):
        what, *args = line.split()
        if what == "issue":
            args = ["twilio", {"call_id": args[0]}, 60.0]
        try:
            print(await store.ask(what, *args) or "yes", flush=True)
        except RefusedError as error:
            print("refused:", error, flush=True)
    await store.aclose()

asyncio.run(main())
"""


class Machine:
    """A process in a namespace that asks the ledger."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def begin(cls, namespace: str, url: str) -> Machine:
        words = ("ip", "netns", "exec", namespace, sys.executable, "-c", MACHINE, url)
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe))

    async def ask(self, *words: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write((" ".join(words) + "\n").encode())
        return (await self._process.stdout.readline()).decode().strip()

    async def end(self) -> None:
        self._process.kill()
        await self._process.wait()


async def test_what_one_machine_answers_the_other_redeems_once(tmp_path: Path) -> None:
    with two_links() as net:
        inside = ("ip", "netns", "exec", net.bot)
        async with redis_server(tmp_path, BOT_ADDRESS, inside=inside) as url:
            machines = [await Machine.begin(namespace, url) for namespace in (net.caller, net.bot)]
            first, second = machines
            token = await first.ask("issue", "C1")
            assert await second.ask("issue", "C1") == token, "a copy of the webhook, at the other machine"
            answers = await asyncio.gather(*(machine.ask("redeem", token) for machine in machines))
            assert (
                sum(answer.startswith("refused: its token is unknown or used up") for answer in answers) == 1
            )
            assert "copy of an earlier one" in await second.ask("issue", "C1")
            assert await first.ask("admit", "C2", "+1") == "yes"
            assert "BOTRUN_MAX_CALLS_PER_CALLER" in await second.ask("admit", "C3", "+1")
            for machine in machines:
                await machine.end()
