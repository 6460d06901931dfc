"""The public door lets in the provider, once per answered call, and nobody else."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from eventually import eventually
from public_world import (
    CALLED,
    CALLER,
    CANARIES,
    KEYS,
    ORIGIN,
    PHONES,
    Bot,
    Provided,
    call_fields,
    media_url,
    public_world,
    signed,
    socket_headers,
    wire,
)
from websockets.exceptions import ConnectionClosed, InvalidStatus

import runner.server.public.endpoints as public_endpoints
import runner.transports.websocket as websocket_module


async def refused(world: Any, provider: str, url: str, headers: dict[str, str] | None = None) -> int:
    """The HTTP status with which a media socket is refused."""
    with pytest.raises(InvalidStatus) as error:
        async with world.media(provider, url, headers):
            pass
    return int(error.value.response.status_code)


@pytest.mark.parametrize("provider", PHONES)
async def test_an_answered_call_comes_in_and_the_bot_knows_its_numbers(provider: str) -> None:
    bot = Bot()
    async with public_world(bot) as world:
        url = await world.answered(provider, "C1")
        assert url.startswith("wss://bot.example.com/ws")
        async with world.media(provider, url) as socket:
            for message in wire(provider, "C1").opening():
                await socket.send(message)
            async with asyncio.timeout(5):
                await bot.started.wait()
    args = bot.args[0]
    assert (args.provider, args.call_id) == (provider, "C1")
    assert (args.from_number, args.to_number) == (CALLER, CALLED)


@pytest.mark.parametrize("provider", PHONES)
@pytest.mark.faults(28)
async def test_a_token_is_good_for_one_socket(provider: str) -> None:
    bot = Bot()
    async with public_world(bot) as world:
        url = await world.answered(provider, "C1")
        async with world.media(provider, url) as socket:
            for message in wire(provider, "C1").opening():
                await socket.send(message)
            await bot.started.wait()
            if provider != "exotel":
                assert await refused(world, provider, url) == 403
        assert await refused(world, provider, url[:-1] + ("A" if url[-1] != "A" else "B")) == 403
        assert await refused(world, provider, "wss://bot.example.com/ws") == 403
    assert len(bot.args) == 1


async def test_exotel_s_second_socket_goes_on_with_its_call_and_is_no_new_one() -> None:
    bot = Bot()
    async with public_world(bot) as world:
        url = await world.answered("exotel", "C1")
        async with world.media("exotel", url) as socket:
            for message in wire("exotel", "C1").opening():
                await socket.send(message)
            await bot.started.wait()
            socket.transport.abort()
        async with world.media("exotel", url) as again:
            for message in wire("exotel", "C1").opening():
                await again.send(message)
            await asyncio.sleep(0.1)
            assert len(world.host.sessions.active) == 1
        await eventually(lambda: not world.host.sessions.active)
        assert await refused(world, "exotel", url) == 403
    assert len(bot.args) == 1


async def test_a_token_of_one_call_or_provider_is_none_for_another() -> None:
    bot = Bot()
    async with public_world(bot) as world:
        for provider, speaks, call_id in (("twilio", "twilio", "C2"), ("plivo", "twilio", "C1")):
            url = await world.answered(provider, "C1")
            async with world.media(provider, url) as socket:
                for message in wire(speaks, call_id).opening():
                    await socket.send(message)
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
    assert bot.args == []


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
async def test_a_replayed_webhook_starts_one_bot_and_ends_no_call(provider: str) -> None:
    bot = Bot()
    async with public_world(bot) as world:
        request = signed(provider, f"/{provider}/answer", call_fields(provider, "C1"))
        urls = {media_url(provider, (await world.send(request)).text) for _ in range(5)}
        assert len(urls) == 1
        url = urls.pop()
        async with world.media(provider, url) as socket:
            for message in wire(provider, "C1").opening():
                await socket.send(message)
            await bot.started.wait()
            assert [(await world.send(request)).status_code for _ in range(20)] == [403] * 20
            assert await refused(world, provider, url) == 403
            assert len(world.host.sessions.active) == 1
            await asyncio.wait_for(await socket.ping(), 2)
        await eventually(lambda: not world.host.sessions.active)
        assert (await world.send(request)).status_code == 403
    assert len(bot.args) == 1


@pytest.mark.parametrize("says", [["not JSON"], None])
async def test_a_socket_that_is_not_the_call_s_does_not_end_it(
    says: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from provider_server import API, provider_server

    monkeypatch.setattr(public_endpoints, "GIVE_UP_S", 0.7)
    bot = Bot()
    async with provider_server() as server, public_world(bot, api=server.url + API["plivo"]) as world:
        server.calls["C1"] = "in-progress"
        url = await world.answered("plivo", "C1")
        async with world.media("plivo", url) as stranger:
            for message in says or wire("plivo", "another").opening():
                await stranger.send(message)
            with pytest.raises(ConnectionClosed):
                await stranger.recv()
        async with world.media("plivo", url) as socket:
            for message in wire("plivo", "C1").opening():
                await socket.send(message)
            await bot.started.wait()
            await asyncio.sleep(public_endpoints.GIVE_UP_S + 0.2)
            assert server.calls["C1"] == "in-progress"
            assert len(world.host.sessions.active) == 1


async def test_twilio_s_socket_must_be_signed_for_the_very_address() -> None:
    async with public_world(Bot()) as world:
        for headers in (
            {},
            {"x-twilio-signature": "AAAA"},
            socket_headers("twilio", "https://bot.example.com/ws"),
            socket_headers("twilio", "wss://bot.example.com/ws"),
        ):
            url = await world.answered("twilio", "C1")
            assert await refused(world, "twilio", url, headers) == 403
        url = await world.answered("twilio", "C1")
        assert await refused(world, "twilio", url, socket_headers("twilio", url + "/")) == 403


async def test_telnyx_brings_the_token_of_a_dialled_call_in_a_header() -> None:
    bot = Bot()
    async with public_world(bot) as world:
        url = await world.answered("telnyx", "C1")
        token = url.rpartition("/")[2]
        headers = {"x-telnyx-streaming-auth-token": token}
        async with world.media("telnyx", "wss://bot.example.com/ws", headers) as socket:
            for message in wire("telnyx", "C1").opening():
                await socket.send(message)
            await bot.started.wait()
    assert len(bot.args) == 1


async def test_exotel_s_applet_may_have_the_socket_s_own_address_with_user_and_password() -> None:
    bot = Bot()
    login = signed("exotel", "/", {}).headers["authorization"]
    async with public_world(bot) as world:
        assert await refused(world, "exotel", "wss://h/ws", {"authorization": "Basic dTpw"}) == 403
        async with world.media("exotel", "wss://h/ws", {"authorization": login}) as socket:
            for message in wire("exotel", "C1").opening():
                await socket.send(message)
            await bot.started.wait()
    assert bot.args[0].from_number == CALLER


async def test_a_socket_without_a_start_message_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert websocket_module.HANDSHAKE_S == 5.0
    monkeypatch.setattr(websocket_module.read_handshake, "__defaults__", (0.05,))
    bot = Bot()
    async with public_world(bot) as world:
        url = await world.answered("plivo", "C1")
        async with world.media("plivo", url) as socket:
            with pytest.raises(ConnectionClosed):
                await socket.recv()
    assert bot.args == []


# ------------------------------------------------------------------ webhooks


def forged(provider: str, number: int) -> Provided:
    """A request that differs from a right one in one thing."""
    path = f"/{provider}/answer"
    right = signed(provider, path, call_fields(provider, f"C{number}"))
    proof = next(n for n in right.headers if "signature" in n or n == "authorization")
    kinds: list[Provided] = [
        Provided("POST", path, {n: v for n, v in right.headers.items() if n != proof}, right.body),
        Provided("POST", path, {**right.headers, proof: "Basic " + "A" * (number % 90)}, right.body),
        signed(provider, path, call_fields(provider, "C"), keys={**KEYS, **WRONG}),
        signed(provider, path, call_fields(provider, "C"), origin="https://evil.example", keys=KEYS | WRONG),
    ]
    if provider != "exotel":
        kinds += [
            Provided("POST", path, right.headers, right.body + b"&x=1"),
            Provided("POST", path, right.headers, right.body.replace(b"C", b"D", 1)),
            Provided("GET", path, right.headers),
        ]
    if provider in ("twilio", "plivo"):
        kinds += [
            signed(provider, path, call_fields(provider, "C"), origin="https://evil.example"),
            Provided("POST", path + "?a=1", right.headers, right.body),
        ]
    if provider == "telnyx":
        kinds[2:4] = []
    return kinds[number % len(kinds)]


WRONG = {"TWILIO_AUTH_TOKEN": "x" * 12, "PLIVO_AUTH_TOKEN": "x" * 12, "EXOTEL_WEBHOOK_AUTH": "user:other"}


@pytest.mark.long
@pytest.mark.faults(28)
async def test_five_hundred_forged_requests_start_nothing_and_are_logged_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    bot, bodies = Bot(), ""
    async with public_world(bot) as world:
        requests = [forged(PHONES[number % 4], number // 4) for number in range(500)]
        for request in requests:
            request.headers |= {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"}
        for at in range(0, 500, 25):
            answers = await asyncio.gather(*(world.send(request) for request in requests[at : at + 25]))
            assert {answer.status_code for answer in answers} == {403}
            bodies += "".join(answer.text for answer in answers)
        assert not world.ledger.tickets._out
    assert bot.args == []
    lines = [r.getMessage() for r in caplog.records if r.name == "runner.server.public.endpoints"]
    assert 5 <= len(lines) <= 30
    output = caplog.text + bodies
    assert "webhook was refused" in output
    assert not any(canary in output for canary in CANARIES)
    assert CALLER not in output


@pytest.mark.faults(27)
async def test_forwarded_hosts_change_nothing() -> None:
    async with public_world(Bot()) as world:
        for headers in (
            {"host": "127.0.0.1:1"},
            {"x-forwarded-host": "evil.example", "x-forwarded-proto": "http"},
            {"forwarded": "host=evil.example"},
        ):
            request = signed("twilio", "/twilio/answer", call_fields("twilio", "C1"))
            request.headers |= headers
            assert (await world.send(request)).status_code == 200


async def test_the_plain_address_is_the_default_provider_s() -> None:
    async with public_world(Bot()) as world:
        answer = await world.send(signed("twilio", "/", call_fields("twilio", "C1")))
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/xml")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", "/status"), ("GET", "/metrics"), ("POST", "/start"), ("POST", "/api/offer"),
        ("GET", "/page/a.js"), ("GET", "/docs"), ("GET", "/openapi.json"), ("POST", "/dial"),
        ("GET", "/sessions/x/events"), ("POST", "/twilio/answer/"), ("POST", "/nobody/answer"),
        ("GET", "/%2e%2e/etc/passwd"),
    ],
)  # fmt: skip
async def test_there_is_nothing_else_behind_the_public_door(method: str, path: str) -> None:
    async with public_world(Bot()) as world:
        status = (await world.send(Provided(method, path))).status_code
    assert status in (404, 405)


async def test_the_sockets_of_this_machine_are_not_behind_the_public_door() -> None:
    async with public_world(Bot()) as world:
        for path in ("/ws-client", "/sessions/x/events"):
            assert await refused(world, "plivo", f"wss://h{path}") in (403, 404)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://bot.example.com.evil.example"])
async def test_pages_of_other_sites_are_refused(origin: str) -> None:
    async with public_world(Bot()) as world:
        request = signed("twilio", "/twilio/answer", call_fields("twilio", "C1"))
        request.headers["origin"] = origin
        assert (await world.send(request)).status_code == 403
        url = await world.answered("plivo", "C1")
        assert await refused(world, "plivo", url, {"origin": origin}) == 403


async def test_switched_off_by_its_flag_unsigned_webhooks_are_answered() -> None:
    async with public_world(Bot(), accept_unsigned_webhooks=True) as world:
        request = signed("twilio", "/twilio/answer", call_fields("twilio", "C1"))
        request.headers.pop("x-twilio-signature")
        assert (await world.send(request)).status_code == 200


# ------------------------------------------------------------------ limits


@pytest.mark.parametrize("provider", PHONES)
async def test_a_caller_beyond_the_limit_hears_the_provider_s_busy_answer(provider: str) -> None:
    async with public_world(Bot(), max_public_calls=1, max_calls_per_caller=0) as world:
        path = f"/{provider}/answer"
        await world.answered(provider, "C1")
        await world.answered(provider, "C1")  # sent twice, it is one call
        busy = await world.send(signed(provider, path, call_fields(provider, "C2")))
    if provider == "exotel":
        assert busy.status_code == 503
    else:
        assert 'reason="busy"' in busy.text


async def test_calls_per_caller_and_starts_per_minute_are_bounded() -> None:
    async with public_world(Bot(), max_calls_per_caller=2) as world:
        answers = [await world.send(signed("twilio", "/", call_fields("twilio", f"C{n}"))) for n in range(3)]
        assert ["busy" in answer.text for answer in answers] == [False, False, True]
    async with public_world(Bot(), max_starts_per_min=2, max_calls_per_caller=0) as world:
        answers = [await world.send(signed("twilio", "/", call_fields("twilio", f"C{n}"))) for n in range(3)]
        assert ["busy" in answer.text for answer in answers] == [False, False, True]


async def test_a_call_that_has_ended_makes_room() -> None:
    bot = Bot()
    async with public_world(bot, max_public_calls=1) as world:
        for call_id in ("C1", "C2"):
            url = await world.answered("plivo", call_id)
            async with world.media("plivo", url) as socket:
                for message in wire("plivo", call_id).opening():
                    await socket.send(message)
                await bot.started.wait()
            await eventually(lambda: not world.ledger.limits._open)
    assert len(bot.args) == 2


@pytest.mark.faults(30)
async def test_a_bot_that_never_hangs_up_is_ended_at_the_longest_call() -> None:
    bot = Bot()
    async with public_world(bot, max_public_call_secs=0.2) as world:
        url = await world.answered("exotel", "C1")
        async with world.media("exotel", url) as socket:
            for message in wire("exotel", "C1").opening():
                await socket.send(message)
            with pytest.raises(ConnectionClosed):
                await socket.recv()


# ------------------------------------------------------------------ odd requests


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"%", "application/x-www-form-urlencoded"),
        (b"&&&===&%zz=%", "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % n for n in range(10_000)), "application/x-www-form-urlencoded"),
        (b"CallSid=1&CallSid=2", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "multipart/form-data"),
        (b'{"data":', "application/json"),
        (b"[" * 50_000, "application/json"),
        (b"a" * 70_000, "text/plain"),
    ],
)
@pytest.mark.parametrize("provider", PHONES)
async def test_odd_bodies_are_refused_and_no_error_of_ours(
    provider: str, body: bytes, content_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with public_world(Bot()) as world:
        request = signed(provider, f"/{provider}/answer", {})
        request.body, request.headers["content-type"] = body, content_type
        status = (await world.send(request)).status_code
        # Exotel signs nothing: with the right login, a call is a call.
        known = (200,) if provider == "exotel" and body.startswith(b"CallSid") else ()
        assert status in (400, 403, 413, *known), status
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_the_default_origin_is_the_one_that_requests_are_signed_for() -> None:
    assert ORIGIN == "https://bot.example.com"


@pytest.mark.faults(30)
@pytest.mark.processes
async def test_three_hundred_strangers_at_once_do_not_disturb_a_call() -> None:
    bot = Bot()
    async with public_world(bot) as world:
        url = await world.answered("plivo", "C1")
        async with world.media("plivo", url) as call:
            for message in wire("plivo", "C1").opening():
                await call.send(message)
            await bot.started.wait()
            idle = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(100)]
            tries = (refused(world, "plivo", f"wss://h/ws/{number}") for number in range(300))
            assert set(await asyncio.gather(*tries)) == {403}
            async with world.media("exotel", await world.answered("exotel", "C2")) as large:
                await large.send("x" * (1 << 20))
                with pytest.raises(ConnectionClosed):
                    await large.recv()
            await asyncio.wait_for(await call.ping(), 2)
            assert len(world.host.sessions.active) == 1
            for _, writer in idle:
                writer.close()
    assert len(bot.args) == 1


# ------------------------------------------------------------------ what becomes of calls that we make


def event(kind: str, path: str = "/telnyx/status", event_id: str = "e1", **payload: str) -> Provided:
    """A Call Control event as Telnyx signs it."""
    import base64
    import json
    import time

    from public_world import SIGNING_KEY

    facts = {"call_control_id": "v3:out", "from": CALLED, "to": CALLER, "direction": "outgoing", **payload}
    body = json.dumps({"data": {"event_type": kind, "id": event_id, "payload": facts}}).encode()
    stamp = str(int(time.time()))
    signature = base64.b64encode(SIGNING_KEY.sign(f"{stamp}|".encode() + body)).decode()
    headers = {"telnyx-signature-ed25519": signature, "telnyx-timestamp": stamp}
    return Provided("POST", path, {"content-type": "application/json", **headers}, body)


async def test_a_machine_that_telnyx_detects_is_hung_up_and_its_events_are_followed() -> None:
    from provider_server import API, provider_server

    async with provider_server() as server, public_world(Bot(), api=server.url + API["telnyx"]) as world:
        world.ledger.outgoing.rings("v3:out")
        server.calls["v3:out"] = "ringing"
        await world.send(event("call.answered"))
        assert world.ledger.outgoing.state("v3:out") == "call.answered"
        await world.send(event("call.machine.detection.ended", result="machine"))
        assert server.calls["v3:out"] == "hangup"
        await world.send(event("call.hangup"))
        assert world.ledger.outgoing.state("v3:out") == "over: voicemail"


@pytest.mark.parametrize(("word", "over"), [("in-progress", False), ("completed", True), ("busy", True)])
async def test_a_status_callback_reports_the_state_of_a_dialled_call(word: str, over: bool) -> None:
    async with public_world(Bot()) as world:
        world.ledger.outgoing.rings("C1")
        fields = call_fields("twilio", "C1", CallStatus=word)
        assert (await world.send(signed("twilio", "/twilio/status", fields))).status_code == 200
        assert world.ledger.outgoing.is_over("C1") is over


async def test_a_forged_status_ends_no_call() -> None:
    async with public_world(Bot()) as world:
        world.ledger.outgoing.rings("C1")
        request = signed("twilio", "/twilio/status", call_fields("twilio", "C1", CallStatus="completed"))
        request.headers["x-twilio-signature"] = "AAAA"
        assert (await world.send(request)).status_code == 403
        assert world.ledger.outgoing.state("C1") == "ringing"


def rings(call_id: str, event_id: str = "e1") -> Provided:
    return event(
        "call.initiated",
        "/telnyx/answer",
        event_id,
        call_control_id=call_id,
        direction="incoming",
        **{"from": CALLER, "to": CALLED},
    )


async def test_a_call_control_application_s_call_is_picked_up_once_by_command() -> None:
    from provider_server import API, provider_server

    bot = Bot()
    async with provider_server() as server, public_world(bot, api=server.url + API["telnyx"]) as world:
        server.calls["v3:in"] = "ringing"
        for _ in range(3):  # sent again, it is the same event
            assert (await world.send(rings("v3:in"))).status_code == 200
        assert len(server.asked) == 1
        order = server.asked[0].fields
        assert server.asked[0].path.endswith("/actions/answer")
        assert (order["command_id"], order["stream_bidirectional_mode"]) == ("e1", "rtp")
        headers = {"x-telnyx-streaming-auth-token": order["stream_auth_token"]}
        async with world.media("telnyx", order["stream_url"], headers) as socket:
            for message in wire("telnyx", "v3:in").opening():
                await socket.send(message)
            await bot.started.wait()
        await world.send(event("call.hangup", "/telnyx/answer", "e2"))
    assert bot.args[0].from_number == CALLER


async def test_a_call_control_application_s_call_beyond_the_limit_is_turned_away() -> None:
    from provider_server import API, provider_server

    async with provider_server() as server:
        async with public_world(Bot(), api=server.url + API["telnyx"], max_public_calls=1) as world:
            for number in (1, 2):
                server.calls[f"v3:{number}"] = "ringing"
                await world.send(rings(f"v3:{number}", f"e{number}"))
        assert server.asked[1].path.endswith("/actions/reject")
        assert server.asked[1].fields["cause"] == "USER_BUSY"


async def test_a_missing_key_is_reported_and_no_internal_error() -> None:
    async with public_world(Bot()) as world:
        world.public_calls.providers["telnyx"]._keys.clear()
        answer = await world.send(signed("telnyx", "/telnyx/answer", call_fields("telnyx", "C1")))
        assert (answer.status_code, answer.text) == (503, "not ready\n")
