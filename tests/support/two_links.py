"""A caller and a bot with two networks between them, one after the other. Needs root and Linux.

The bot's address is on neither link, as a server's is not: signaling takes whichever way there is.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

BOT_ADDRESS = "10.77.9.1"


@dataclass
class TwoLinks:
    """`caller` and `bot` are namespaces' names."""

    caller: str
    bot: str

    def change(self) -> None:
        """As from Wi-Fi to mobile: the first interface goes down with its route, then the second is there."""
        _ip("-n", self.caller, "link", "set", "link1", "down")
        _raise_link(self, 2)


@contextlib.contextmanager
def two_links() -> Iterator[TwoLinks]:
    made = TwoLinks(f"botrun-c-{os.getpid()}", f"botrun-d-{os.getpid()}")
    for name in (made.caller, made.bot):
        _ip("netns", "add", name)
    try:
        for name in (made.caller, made.bot):
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", made.bot, "addr", "add", f"{BOT_ADDRESS}/32", "dev", "lo")
        _raise_link(made, 1)
        yield made
    finally:
        for name in (made.caller, made.bot):
            subprocess.run(["ip", "netns", "del", name], check=False)


def _raise_link(between: TwoLinks, number: int) -> None:
    name = f"link{number}"
    _ip("-n", between.caller, "link", "add", name, "type", "veth", "peer", name, "netns", between.bot)
    for namespace, last in ((between.bot, 1), (between.caller, 2)):
        _ip("-n", namespace, "addr", "add", f"10.77.{number}.{last}/24", "dev", name)
        _ip("-n", namespace, "link", "set", name, "up")
    way = ("via", f"10.77.{number}.1", "dev", name, "metric", str(number))
    _ip("-n", between.caller, "route", "add", "default", *way)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
