"""The only file that reaches into aiortc and aioice beyond what they document.

`missing_names()` says what a new version of theirs took away; a test calls it, so that an update fails there
with a sentence instead of in a call.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import aioice.ice

if TYPE_CHECKING:
    from aiortc import RTCIceTransport

LOOPBACK = "127.0.0.1"

# With a STUN or TURN server that does not answer, aioice holds the answer back for 5 s.
GATHERING_SECS = 1.5

_with_loopback: ContextVar[bool] = ContextVar("botrun_gather_loopback", default=False)
_marker = "_botrun_with_loopback"


def host_addresses_with_loopback() -> None:
    """Lets aioice gather 127.0.0.1, which it never does by itself.

    It is gathered inside `gathering_loopback(True)`, and where the machine has no other address. Whoever
    replaced `get_host_addresses` before us (the benchmarks do) keeps the last word on the other addresses.
    """
    original = aioice.ice.get_host_addresses
    if hasattr(original, _marker):
        return

    @functools.wraps(original)
    def host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        addresses = list(original(use_ipv4, use_ipv6))
        if use_ipv4 and LOOPBACK not in addresses and (_with_loopback.get() or not addresses):
            addresses.append(LOOPBACK)
        return addresses

    setattr(host_addresses, _marker, True)
    aioice.ice.get_host_addresses = host_addresses


@contextlib.contextmanager
def gathering_loopback(wanted: bool) -> Iterator[None]:
    """Whether candidates gathered inside include loopback: true for a peer on this machine."""
    host_addresses_with_loopback()
    token = _with_loopback.set(wanted)
    try:
        yield
    finally:
        _with_loopback.reset(token)


def bound_gathering(transport: RTCIceTransport) -> None:
    """Waits for STUN and TURN servers only `GATHERING_SECS`."""
    connection: Any = transport.iceGatherer._connection
    connection.get_component_candidates = functools.partial(
        connection.get_component_candidates, timeout=GATHERING_SECS
    )


def missing_names() -> list[str]:
    """What we use and these versions of aiortc and aioice do not have."""
    from aiortc import RTCIceGatherer

    found = {
        "aioice.ice.get_host_addresses": hasattr(aioice.ice, "get_host_addresses"),
        "aiortc.RTCIceGatherer._connection": hasattr(RTCIceGatherer(iceServers=[]), "_connection"),
        "aioice.Connection.get_component_candidates(timeout=)": "timeout"
        in _parameters(getattr(aioice.ice.Connection, "get_component_candidates", None)),
    }
    return [name for name, there in found.items() if not there]


def _parameters(function: Any) -> tuple[str, ...]:
    return tuple(function.__code__.co_varnames) if function is not None else ()
