"""`--media-ports` and `--media-address`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest
import uvloop
from free_port import free_port

from runner.transports.webrtc.media_ports import restrict_ports, with_address

HOST = "a=candidate:abc 1 udp 2130706431 10.0.0.7 40001 typ host\r\n"
OTHERS = (
    "a=candidate:v6 1 udp 2130706431 fd00::7 40002 typ host\r\n"
    "a=candidate:srx 1 udp 1694498815 203.0.113.9 50000 typ srflx raddr 10.0.0.7 rport 40001\r\n"
)


def test_the_answer_names_the_public_address_before_each_of_this_machine() -> None:
    answer = with_address("v=0\r\n" + HOST + OTHERS, "203.0.113.5")
    assert answer == (
        "v=0\r\na=candidate:mabc 1 udp 2130706431 203.0.113.5 40001 typ host\r\n" + HOST + OTHERS
    )
    assert with_address(HOST, "") == HOST


@contextlib.contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        yield


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_sockets_get_a_free_port_of_the_range(new_loop: object) -> None:
    first = free_port()

    async def bind() -> int:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        port: int = transport.get_extra_info("sockname")[1]
        transport.close()
        await asyncio.sleep(0.001)  # it is closed by the loop
        return port

    async def main() -> None:
        restrict_ports(asyncio.get_running_loop(), first, first + 1)
        assert {await bind() for _ in range(30)} <= {first, first + 1}
        with taken(first):
            assert {await bind() for _ in range(5)} == {first + 1}
            with taken(first + 1), pytest.raises(OSError, match="--media-ports"):
                await bind()

    with asyncio.Runner(loop_factory=new_loop) as runner:  # type: ignore[arg-type]
        runner.run(main())
