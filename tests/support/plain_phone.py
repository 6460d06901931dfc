#!/usr/bin/env python3
"""A phone that talks until it is stopped, and says each second what it has heard.

    plain_phone.py URL PROVIDER CALL_ID SECONDS

Prints "connected", then {"bytes": heard in this second} each second, and at the end {"closed": code}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from runner.callers.wires import BotMark, BotSound, wire_for

PTIME_S = 0.02


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def main(url: str, provider: str, call_id: str, seconds: float) -> None:
    wire, heard, loop = wire_for(provider, call_id=call_id), [0], asyncio.get_running_loop()
    # Pings of its own would end the call from this side.
    async with connect(url, compression=None, proxy=None, ping_interval=None, open_timeout=20) as socket:
        for message in wire.opening():
            await socket.send(message)
        print("connected", flush=True)

        async def listen() -> None:
            async for message in socket:
                for event in wire.receive(message):
                    if isinstance(event, BotSound):
                        heard[0] += len(event.pcm)
                    elif isinstance(event, BotMark):
                        await socket.send(wire.mark_reached(event.name))

        async def report() -> None:
            while True:
                await asyncio.sleep(1)
                tell(bytes=heard[0])
                heard[0] = 0

        tasks = [asyncio.create_task(listen()), asyncio.create_task(report())]
        began = loop.time()
        try:
            for number in range(int(seconds / PTIME_S)):
                await asyncio.sleep(max(0.0, began + number * PTIME_S - loop.time()))
                await socket.send(wire.media(b"\x10\x27\xf0\xd8" * 80, time.time()))
        except ConnectionClosed:
            pass
        finally:
            for task in tasks:
                task.cancel()
    tell(closed=socket.close_code)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], float(sys.argv[4])))
