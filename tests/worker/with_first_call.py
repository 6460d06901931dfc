"""Run a bot as botrun does on a free port, which is printed; then the modules that its first call loaded."""

from __future__ import annotations

import asyncio
import sys

from runner.botcode.loader import parse_target
from runner.cli.listen import address_of, open_listener
from runner.server.host import Host
from runner.settings import Settings
from runner.worker.standalone import run_worker


async def tell_what_comes(host: Host) -> None:
    before = set(sys.modules)
    print("ready", flush=True)
    while not host.sessions.figures.ended:
        await asyncio.sleep(0.02)
    print("loaded:", *sorted(set(sys.modules) - before), flush=True)


def watch(host: Host) -> None:
    global watching
    watching = asyncio.get_running_loop().create_task(tell_what_comes(host))


watching: asyncio.Task[None]

if __name__ == "__main__":
    with open_listener("127.0.0.1", 0) as listener:
        print(address_of(listener)[1], flush=True)
        settings = Settings(transports=("twilio",))
        sys.exit(run_worker(listener, parse_target(sys.argv[1]), settings, {}, announce=watch))
