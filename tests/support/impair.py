#!/usr/bin/env python3
"""A bad network between two namespaces: two TUN devices, and this process relays the packets between them.

    impair.py NS_A NS_B [--loss 5] [--burst 3] [--delay 50] [--jitter 20] [--dup 0] [--reorder] [--seed 1]

For kernels without `tc ... netem`. Loss in percent of packets (with --burst N: so many in a row are lost, as
many as that in all), delay and jitter in ms each way. A is 10.212.0.1, B is 10.212.0.2. Prints "ready".
SIGUSR1 turns all traffic off and on again, SIGUSR2 that from B to A; SIGTERM prints counters and ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import random
import signal
import struct
import subprocess

# include/uapi/linux/if_tun.h
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000


def open_tun(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def make_end(namespace: str, device: str, address: str) -> int:
    """A TUN device that was moved into a namespace; what is sent there is read here."""
    fd = open_tun(device)
    ip("link", "set", device, "netns", namespace)
    ip("-n", namespace, "addr", "add", address, "dev", device)
    ip("-n", namespace, "link", "set", device, "mtu", "1400", "up")
    ip("-n", namespace, "link", "set", "lo", "up")
    return fd


class Relay:
    """Packets from one end to the other, each with its fate."""

    def __init__(self, options: argparse.Namespace, ends: tuple[int, int]) -> None:
        self.options, self.ends = options, ends
        self.counts = {"forwarded": 0, "lost": 0, "doubled": 0, "blackholed": 0}
        self.off = self.off_from_b = False
        self._chance = random.Random(options.seed)
        self._last = [0.0, 0.0]
        self._still_losing = [0, 0]

    def readable(self, end: int) -> None:
        while True:
            try:
                packet = os.read(self.ends[end], 65535)
            except BlockingIOError:
                return
            self._take(end, packet)

    def _take(self, end: int, packet: bytes) -> None:
        if self.off or (self.off_from_b and end == 1):
            self.counts["blackholed"] += 1
        elif self._is_lost(end):
            self.counts["lost"] += 1
        else:
            self._schedule(end, packet)

    def _is_lost(self, end: int) -> bool:
        if self._still_losing[end]:
            self._still_losing[end] -= 1
            return True
        if self._chance.random() * 100 >= self.options.loss / self.options.burst:
            return False
        self._still_losing[end] = self.options.burst - 1
        return True

    def _schedule(self, end: int, packet: bytes) -> None:
        loop, options = asyncio.get_running_loop(), self.options
        delay_ms = self._chance.uniform(options.delay - options.jitter, options.delay + options.jitter)
        at = loop.time() + max(0.0, delay_ms) / 1000
        if not options.reorder:
            at = max(at, self._last[end] + 1e-5)
        self._last[end] = at
        loop.call_at(at, self._put, 1 - end, packet)
        if self._chance.random() * 100 < options.dup:
            self.counts["doubled"] += 1
            loop.call_at(at + 0.001, self._put, 1 - end, packet)

    def _put(self, end: int, packet: bytes) -> None:
        try:
            os.write(self.ends[end], packet)
            self.counts["forwarded"] += 1
        except OSError:
            self.counts["lost"] += 1

    def toggle(self, name: str) -> None:
        setattr(self, name, not getattr(self, name))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("a")
    parser.add_argument("b")
    for name in ("loss", "delay", "jitter", "dup"):
        parser.add_argument(f"--{name}", type=float, default=0)
    parser.add_argument("--burst", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reorder", action="store_true")
    return parser.parse_args()


async def main() -> None:
    options = read_options()
    mine = os.getpid()  # a device is made outside of its namespace, where another relay may make its own
    ends = (
        make_end(options.a, f"a{mine}", "10.212.0.1/24"),
        make_end(options.b, f"b{mine}", "10.212.0.2/24"),
    )
    relay, loop, stop = Relay(options, ends), asyncio.get_running_loop(), asyncio.Event()
    for end, fd in enumerate(ends):
        loop.add_reader(fd, relay.readable, end)
    loop.add_signal_handler(signal.SIGUSR1, relay.toggle, "off")
    loop.add_signal_handler(signal.SIGUSR2, relay.toggle, "off_from_b")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    print("ready", flush=True)
    await stop.wait()
    print(json.dumps(relay.counts), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
