"""Bots in a Daily room, by the arguments that the runner gives."""

from __future__ import annotations

import pytest

from runner import DailyRunnerArguments, create_transport
from runner.errors import UsageError
from runner.transports.daily import DailyDialinSettings, DailyParams, DailyTransport
from runner.transports.params import TransportParams
from runner.transports.websocket import FastAPIWebsocketParams
from runner.vad import SileroVADAnalyzer

WAITING = {"call_id": "c", "call_domain": "d"}
ROOM = "https://house.daily.co/room"


async def test_create_transport_takes_plain_parameters_for_daily() -> None:
    vad = SileroVADAnalyzer()
    params = TransportParams(audio_in_enabled=True, vad_analyzer=vad, camera_out_width=320)
    args = DailyRunnerArguments(room_url=ROOM, token="t")
    transport = await create_transport(args, {"daily": lambda: params})
    assert isinstance(transport, DailyTransport)
    given = transport._params
    assert (given.audio_in_enabled, given.vad_analyzer, given.video_out_width) == (True, vad, 320)
    assert given.audio_in_user_tracks


async def test_one_object_of_parameters_serves_every_call() -> None:
    params = DailyParams(audio_in_enabled=True)
    for body, waits in ({"dialin_settings": WAITING}, DailyDialinSettings(**WAITING)), ({}, None):
        args = DailyRunnerArguments(room_url=ROOM, token="t", body=body)
        transport = await create_transport(args, {"daily": lambda: params})
        assert isinstance(transport, DailyTransport)
        assert transport._params.dialin_settings == waits


@pytest.mark.parametrize(
    ("body", "waits"),
    [
        ({"dialin_settings": WAITING}, DailyDialinSettings(**WAITING)),
        ({"dialin_settings": {"call_id": "c"}}, None),
        ({}, None),
        ("text", None),
        (None, None),
    ],
)  # fmt: skip
async def test_a_caller_who_waits_is_in_the_body(body: object, waits: DailyDialinSettings | None) -> None:
    args = DailyRunnerArguments(room_url=ROOM, token="t", body=body)
    transport = await create_transport(args, {"daily": lambda: DailyParams(audio_in_enabled=True)})
    assert isinstance(transport, DailyTransport)
    assert transport._params.dialin_settings == waits


async def test_parameters_that_serve_every_call_keep_no_caller_who_waits() -> None:
    params = DailyParams(audio_in_enabled=True)
    for body, waits in (({"dialin_settings": WAITING}, True), ({}, False)):
        args = DailyRunnerArguments(room_url=ROOM, token="t", body=body)
        transport = await create_transport(args, {"daily": lambda: params})
        assert isinstance(transport, DailyTransport)
        assert (transport._params.dialin_settings is not None) is waits


async def test_a_phone_s_parameters_do_for_a_room() -> None:
    phone = FastAPIWebsocketParams(audio_in_enabled=True, add_wav_header=True)
    transport = await create_transport(
        DailyRunnerArguments(room_url=ROOM, token="t"), {"daily": lambda: phone}
    )
    assert isinstance(transport, DailyTransport)
    assert transport._params.audio_in_enabled


def test_an_analyzer_without_its_parentheses_is_reported() -> None:
    with pytest.raises(
        UsageError, match=r"vad_analyzer is the class SileroVADAnalyzer: write SileroVADAnalyzer\(\)"
    ):
        TransportParams(vad_analyzer=SileroVADAnalyzer)  # type: ignore[arg-type]
