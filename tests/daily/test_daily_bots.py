"""Bots in a Daily room, by the arguments that the runner gives."""

from __future__ import annotations

import pytest

from runner import DailyRunnerArguments, create_transport
from runner.transports.base import TransportParams
from runner.transports.daily import DailyDialinSettings, DailyParams, DailyTransport
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
