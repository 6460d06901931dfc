"""Where WebRTC receives media: a range of UDP ports, and the public address of a NAT.

Both are for servers in containers and clouds behind a firewall or NAT.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import random
import re
from collections.abc import Callable, Coroutine
from typing import Any

_HOST_CANDIDATE = re.compile(
    r"^a=candidate:(?P<id>\S+) (?P<middle>\d+ udp \d+) \d+\.\d+\.\d+\.\d+ (?P<port>\d+) typ host",
    re.MULTILINE | re.IGNORECASE,
)

_Endpoint = Callable[..., Coroutine[Any, Any, Any]]


def restrict_ports(loop: asyncio.AbstractEventLoop, first: int, last: int) -> None:
    """From now on, UDP sockets of this loop that request any port get one from this range."""
    create = loop.create_datagram_endpoint
    loop.create_datagram_endpoint = functools.partial(  # type: ignore[method-assign]
        _create_in_range, create, range(first, last + 1)
    )


async def _create_in_range(
    create: _Endpoint,
    ports: range,
    factory: Callable[[], asyncio.BaseProtocol],
    local_addr: tuple[str, int] | None = None,
    **more: Any,
) -> Any:
    if local_addr is None or local_addr[1]:
        return await create(factory, local_addr=local_addr, **more)
    start = random.randrange(len(ports))
    for port in (*ports[start:], *ports[:start]):
        try:
            return await create(factory, local_addr=(local_addr[0], port), **more)
        except OSError as error:
            # uvloop wraps the system's error.
            if errno.EADDRINUSE not in {error.errno, getattr(error.__cause__, "errno", None)}:
                raise
    raise OSError(
        errno.EADDRINUSE, f"all UDP ports from {ports[0]} to {ports[-1]} are in use (--media-ports)"
    )


def with_address(sdp: str, address: str) -> str:
    """The answer with candidates for this address added for each IPv4 socket, for a NAT that maps the ports
    1:1."""
    if not address:
        return sdp

    def twice(found: re.Match[str]) -> str:
        mapped = f"a=candidate:m{found['id']} {found['middle']} {address} {found['port']} typ host"
        return f"{mapped}\r\n{found[0]}"

    return _HOST_CANDIDATE.sub(twice, sdp)
