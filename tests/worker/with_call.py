"""Run a bot as botrun does, with a call open from the beginning; prints `ready` when the call has started."""

from __future__ import annotations

import asyncio
import sys

from runner.arguments import RunnerArguments
from runner.botcode.loader import parse_target
from runner.cli.listen import open_listener
from runner.server.host import Host
from runner.settings import Settings
from runner.worker.standalone import run_worker


def open_a_call(host: Host) -> None:
    host.sessions.start("test", RunnerArguments(session_id="a-call"))
    # After the bot has had its first step; a bot that blocks the loop never lets this run.
    print("ready", flush=True)
    asyncio.get_running_loop().call_soon(print, "running")


if __name__ == "__main__":
    with open_listener("127.0.0.1", 0) as listener:
        sys.exit(run_worker(listener, parse_target(sys.argv[1]), Settings(), {}, announce=open_a_call))
