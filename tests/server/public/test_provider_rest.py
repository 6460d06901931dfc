"""REST against the tests' providers: once, within its bound, whatever is answered."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from provider_server import API, BEFORE, ProviderServer, provider_server
from public_world import CALLED, CALLER, CANARIES, KEYS, PHONES

from runner.errors import ProviderError, UsageError
from runner.providers import Provider, provider_named, rest
from runner.providers.base import DialRequest
from runner.providers.webhooks import MediaSocket

REST = ("twilio", "telnyx", "plivo")
CALL = "v3:call 1?"


def provider_at(name: str, server: ProviderServer) -> Provider:
    return provider_named(name, KEYS, server.url + API[name])


async def with_provider(name: str, use: Callable[[Provider, ProviderServer], Any]) -> None:
    async with provider_server() as server:
        provider = provider_at(name, server)
        try:
            await use(provider, server)
        finally:
            await provider.aclose()


@pytest.mark.parametrize("name", REST)
async def test_a_call_is_hung_up_once(name: str) -> None:
    async def use(provider: Provider, server: ProviderServer) -> None:
        server.calls[CALL] = "talking"
        await provider.hang_up(CALL)
        assert server.calls[CALL] in ("completed", "hangup")
        assert len(server.asked) == 1

    await with_provider(name, use)


@pytest.mark.parametrize("name", REST)
@pytest.mark.faults(21)
async def test_a_call_that_is_gone_already_is_fine(name: str) -> None:
    async def use(provider: Provider, server: ProviderServer) -> None:
        await provider.hang_up(CALL)
        assert [asked.status for asked in server.asked] in ([404], [422])

    await with_provider(name, use)


@pytest.mark.parametrize("name", REST)
@pytest.mark.parametrize("faults", [["429"], ["500"], ["503", "502"], ["429", "500"]])
async def test_a_fault_that_passes_is_tried_again(name: str, faults: list[str]) -> None:
    async def use(provider: Provider, server: ProviderServer) -> None:
        server.calls[CALL] = "talking"
        server.faults.extend(faults)
        await provider.hang_up(CALL)
        assert len(server.asked) == len(faults) + 1

    await with_provider(name, use)


@pytest.mark.parametrize("name", REST)
@pytest.mark.parametrize("fault", ["429", "500", "401", "403", "garbage"])
@pytest.mark.faults(21)
async def test_no_fault_is_tried_more_than_three_times_or_shows_a_secret(name: str, fault: str) -> None:
    async def use(provider: Provider, server: ProviderServer) -> None:
        server.calls[CALL] = "talking"
        server.faults.extend([fault] * 10)
        if fault == "garbage":  # 200 is 200
            await provider.hang_up(CALL)
            return
        with pytest.raises(ProviderError) as error:
            await provider.hang_up(CALL)
        assert len(server.asked) == (1 if fault in ("401", "403") else rest.TRIES)
        assert error.value.status == int(fault)
        assert not any(canary in str(error.value) for canary in CANARIES)

    await with_provider(name, use)


@pytest.mark.parametrize("name", REST)
@pytest.mark.faults(21)
@pytest.mark.usefixtures("short_deadlines")
async def test_a_provider_that_hangs_holds_nobody_for_five_seconds(name: str) -> None:
    async def use(provider: Provider, server: ProviderServer) -> None:
        server.faults.extend(["hang"] * 10)
        with pytest.raises(ProviderError, match="did not answer in time"):
            await provider.hang_up(CALL)
        assert 10 - len(server.faults) < rest.TRIES  # its deadline ended the tries

    assert rest.DEADLINE_S < 5
    await with_provider(name, use)


async def test_an_unreachable_provider_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    provider = provider_named("twilio", KEYS, f"http://127.0.0.1:{port}")
    with pytest.raises(ProviderError, match="Twilio: cannot reach http"):
        await provider.hang_up(CALL)
    await provider.aclose()


async def test_what_a_provider_says_in_an_error_is_reported_without_our_keys() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = f'{{"message": "no {KEYS["TWILIO_AUTH_TOKEN"]} here\\u001b[31m"}}'.encode()
        writer.write(b"HTTP/1.1 400 x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    provider = provider_named("twilio", KEYS, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(ProviderError) as error:
        await provider.hang_up(CALL)
    assert str(error.value) == "Twilio: it refused with 400 (no … here[31m)"
    await provider.aclose()
    server.close()


@pytest.mark.parametrize("name", REST)
async def test_a_caller_is_handed_to_another_number(name: str) -> None:
    async def use(provider: Provider, server: ProviderServer) -> None:
        server.calls["c1"] = "talking"
        await provider.transfer("c1", "+14150000009", "https://h/doc")
        assert server.calls["c1"] in ("transferred", "transfer")
        result = server.asked[0].fields
        assert "+14150000009" in str(result) or result["aleg_url"] == "https://h/doc"

    await with_provider(name, use)


def dial_request(**more: Any) -> DialRequest:
    facts = {"to": CALLER, "from_number": CALLED, "public": "https://h", "limit_s": 60, "ring_s": 20}
    return DialRequest(socket=MediaSocket(origin="wss://h", token="TOKEN"), **{**facts, **more})


FUSES = {
    "twilio": {"TimeLimit": "60", "Timeout": "20", "MachineDetection": "Enable"},
    "telnyx": {"time_limit_secs": 60, "timeout_secs": 20, "answering_machine_detection": "detect",
               "stream_bidirectional_mode": "rtp", "stream_auth_token": "TOKEN"},
    "plivo": {"time_limit": 60, "ring_timeout": 20, "machine_detection": "true"},
    "exotel": {"timelimit": "60", "streamtype": "bidirectional"},
}  # fmt: skip


@pytest.mark.parametrize("name", PHONES)
async def test_a_call_out_has_a_time_limit_and_voicemail_detection(name: str) -> None:
    async def use(provider: Provider, server: ProviderServer) -> None:
        call_id = await provider.dial(dial_request())
        assert server.calls[call_id] == "ringing"
        assert FUSES[name].items() <= server.asked[0].fields.items()

    await with_provider(name, use)


@pytest.mark.parametrize("name", PHONES)
@pytest.mark.parametrize("fault", ["500", "hang", "garbage"])
async def test_nobody_is_called_twice(name: str, fault: str, request: pytest.FixtureRequest) -> None:
    if fault == "hang":
        request.getfixturevalue("short_deadlines")

    async def use(provider: Provider, server: ProviderServer) -> None:
        server.faults.append(fault)
        with pytest.raises(ProviderError):
            await provider.dial(dial_request())
        await asyncio.sleep(0)
        assert len(server.asked) + (fault == "hang") == 1

    await with_provider(name, use)


@pytest.mark.parametrize("name", REST)
async def test_a_number_is_pointed_here_and_does_again_exactly_what_it_did(name: str) -> None:
    async def use(provider: Provider, server: ProviderServer) -> None:
        before = (dict(server.number), dict(server.application), dict(server.plivo_application))
        state = await provider.number_state(CALLED)
        await provider.point_number(state, "https://h/answer")
        assert server.address(name) == "https://h/answer"
        assert name != "twilio" or server.number["voice_application_sid"] == ""
        await provider.restore_number(state)
        assert server.address(name) == BEFORE
        assert (server.number, server.application, server.plivo_application) == before

    await with_provider(name, use)


@pytest.mark.parametrize("name", REST)
async def test_a_number_of_another_account_is_reported_masked(name: str) -> None:
    async def use(provider: Provider, server: ProviderServer) -> None:
        with pytest.raises(UsageError, match=r"has no number \+14•••99"):
            await provider.number_state("+14150000099")

    await with_provider(name, use)


@pytest.mark.parametrize("name", PHONES)
async def test_the_account_is_tried_with_its_keys(name: str) -> None:
    async def use(provider: Provider, server: ProviderServer) -> None:
        assert await provider.check_account()

    await with_provider(name, use)


async def test_exotel_says_what_to_do_by_hand() -> None:
    with pytest.raises(UsageError, match="Voicebot applet"):
        await provider_named("exotel", KEYS).number_state(CALLED)


async def test_the_client_is_made_outside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import and certificates take 0.2 s and more; every call of the process would hear that."""
    made_in: list[int] = []
    make = rest.Rest._make_client

    def noting(self: rest.Rest) -> Any:
        made_in.append(threading.get_ident())
        return make(self)

    monkeypatch.setattr(rest.Rest, "_make_client", noting)

    async def use(provider: Provider, server: ProviderServer) -> None:
        server.calls[CALL] = "talking"
        await provider.hang_up(CALL)

    await with_provider("twilio", use)
    assert made_in
    assert threading.get_ident() not in made_in
