"""Two namespaces with a bad network between them, and a call across it. Needs root and Linux."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

TOOLS = Path(__file__).parent
CALLER, BOT = "botrun-a", "botrun-b"


@dataclass
class BadNetwork:
    """`caller` and `bot` are namespaces' names; `relay` is the process between them."""

    caller: str
    bot: str
    relay: subprocess.Popen[str]


@contextlib.contextmanager
def bad_network(*options: str) -> Iterator[BadNetwork]:
    """The options are those of `impair.py`."""
    names = [f"{name}-{os.getpid()}" for name in (CALLER, BOT)]
    for name in names:
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        relay = python("impair.py", *names, *options)
        try:
            if line_of(relay) != "ready":
                raise RuntimeError("the relay between the namespaces did not start")
            yield BadNetwork(names[0], names[1], relay)
        finally:
            relay.terminate()
            relay.communicate(timeout=5)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


def python(tool: str, *words: str, inside: str | None = None) -> subprocess.Popen[str]:
    """Starts one of the tools, in a namespace if one is named."""
    prefix = ["ip", "netns", "exec", inside] if inside else []
    command = [*prefix, sys.executable, str(TOOLS / tool), *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def call(network: BadNetwork, answerer: str, secs: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the caller and the answerer ("botrun" or "aiortc") counted."""
    ends = begin_call(network, answerer, secs)
    try:
        return json.loads(line_of(ends[0])), json.loads(line_of(ends[1]))
    finally:
        for end in ends:
            end.kill()
            end.communicate()


def begin_call(
    network: BadNetwork, answerer: str, secs: float
) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """Both ends, with the offer and its answer exchanged. The caller ends the call after `secs`."""
    caller = python("webrtc_ends.py", "caller", str(secs), inside=network.caller)
    bot = python("webrtc_ends.py", answerer, str(secs), inside=network.bot)
    hand_over(caller, bot)
    hand_over(bot, caller)
    return caller, bot


def hand_over(giver: subprocess.Popen[str], taker: subprocess.Popen[str]) -> None:
    line = line_of(giver)
    if not line:
        raise RuntimeError("an end of the call ended before it had an offer or an answer")
    stream: IO[str] | None = taker.stdin
    assert stream is not None
    stream.write(line + "\n")
    stream.flush()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
