"""What we take from aiortc and aioice beyond their documentation is still there."""

from __future__ import annotations

import aioice.ice
import pytest

from runner.transports.webrtc import aiortc_private


async def test_aiortc_still_has_what_we_reach_into() -> None:
    missing = aiortc_private.missing_names()
    assert not missing, (
        f"this aiortc or aioice lacks {', '.join(missing)}: adapt runner/transports/webrtc/aiortc_private.py"
    )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that aioice finds; our wrapper is put over it again."""
    addresses: list[str] = []
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: list(addresses))
    aiortc_private.host_addresses_with_loopback()
    return addresses


def test_loopback_is_gathered_where_there_is_no_other_address(machine: list[str]) -> None:
    assert aioice.ice.get_host_addresses(True, True) == ["127.0.0.1"]


def test_loopback_is_gathered_for_a_peer_on_this_machine(machine: list[str]) -> None:
    machine.append("10.0.0.2")
    with aiortc_private.gathering_loopback(True):
        assert aioice.ice.get_host_addresses(True, True) == ["10.0.0.2", "127.0.0.1"]
    assert aioice.ice.get_host_addresses(True, True) == ["10.0.0.2"]


def test_who_replaced_the_function_before_us_keeps_the_last_word(machine: list[str]) -> None:
    machine.append("127.0.0.1")
    with aiortc_private.gathering_loopback(True):
        assert aioice.ice.get_host_addresses(True, True) == ["127.0.0.1"]


def test_the_wrapper_is_put_on_once(machine: list[str]) -> None:
    wrapper = aioice.ice.get_host_addresses
    aiortc_private.host_addresses_with_loopback()
    assert aioice.ice.get_host_addresses is wrapper
