"""A call of a Pipecat bot in this process: arguments, hang-up, the end, a Daily room."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
from typing import Any

import pytest

pytest.importorskip("pipecat", reason="pipecat is not installed: pip install 'botrun[pipecat]'")

from pipecat.runner import types
from pipecat.serializers.plivo import PlivoFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.base_transport import BaseTransport

from runner.arguments import DailyRunnerArguments
from runner.integrations.pipecat import adapter, patches
from runner.integrations.pipecat.arguments import translate
from runner.integrations.pipecat.call import PipecatCall
from runner.integrations.pipecat.transports.daily import follow_room
from runner.sessions.stats import CallFigures
from runner.transports.session_port import HangUpPolicy, SessionPort


@pytest.fixture
def call() -> PipecatCall:
    patches.apply()
    return PipecatCall(SessionPort(), CallFigures(), "twilio")


def test_arguments_are_pipecats_own_and_may_be_changed(call: PipecatCall) -> None:
    args = DailyRunnerArguments(
        room_url="https://x.daily.co/r",
        token="t",
        body={"n": 1},
        session_id="s1",
        pipeline_idle_timeout_secs=0,
    )
    theirs = translate(args, call, argparse.Namespace(transport="daily"))
    assert isinstance(theirs, types.DailyRunnerArguments)
    assert (theirs.room_url, theirs.token, theirs.body, theirs.session_id) == (
        args.room_url,
        "t",
        {"n": 1},
        "s1",
    )
    assert theirs.pipeline_idle_timeout_secs is None
    assert theirs.cli_args.transport == "daily"
    theirs.body = "changed"
    assert all(hasattr(theirs, field.name) for field in dataclasses.fields(theirs))


def test_no_credentials_are_needed_and_botrun_hangs_up(call: PipecatCall) -> None:
    with call.entered():
        TwilioFrameSerializer("MZ1", "CA1", account_sid="", auth_token="")
    assert call.port.hang_up == HangUpPolicy()


def test_the_bots_own_credentials_hang_up(call: PipecatCall) -> None:
    with call.entered():
        serializer = PlivoFrameSerializer("s", "c", "MA1", "secret")
    assert call.port.hang_up.credentials == {"auth_id": "MA1", "auth_token": "secret"}
    assert not serializer._params.auto_hang_up


def test_a_bot_that_does_not_want_to_hang_up_is_obeyed(call: PipecatCall) -> None:
    with call.entered():
        params = TwilioFrameSerializer.InputParams(auto_hang_up=False)
        TwilioFrameSerializer("MZ1", "CA1", params=params)
    assert not call.port.hang_up.auto_hang_up


def test_a_bot_for_the_browser_can_be_called_by_phone(call: PipecatCall) -> None:
    from pipecat.runner import utils
    from pipecat.transports.base_transport import TransportParams
    from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams

    browser = {"webrtc": lambda: TransportParams(audio_in_enabled=True, video_in_enabled=True)}
    with call.entered():
        params = utils._get_transport_params("twilio", browser)
        assert isinstance(utils._get_transport_params("webrtc", browser), TransportParams)
    assert isinstance(params, FastAPIWebsocketParams)
    assert (params.audio_in_enabled, params.video_in_enabled) == (True, False)
    with pytest.raises(ValueError, match="twilio"):
        utils._get_transport_params("twilio", browser)


def test_outside_of_a_call_pipecat_is_as_it_was(call: PipecatCall) -> None:
    with pytest.raises(ValueError, match="auto_hang_up"):
        TwilioFrameSerializer("MZ1", "CA1")


class Line:
    """A caller who hangs up when the test says so."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.caller_left = False

    async def played_out(self) -> None: ...


async def test_a_bot_may_finish_its_report_when_the_caller_has_left(call: PipecatCall) -> None:
    call.line = line = Line()
    finished = asyncio.Event()

    async def bot() -> None:
        await asyncio.sleep(0.05)
        finished.set()

    session = asyncio.create_task(adapter._until_over(bot(), call))
    await asyncio.sleep(0)
    line.caller_left = True
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
    assert not finished.is_set()
    async with asyncio.timeout(5):
        await finished.wait()


async def test_a_call_that_moves_ends_its_old_code_at_once(call: PipecatCall) -> None:
    call.line = Line()
    call.line.caller_left = call.port.moved = True
    ended = asyncio.Event()

    async def bot() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    session = asyncio.create_task(adapter._until_over(bot(), call))
    await asyncio.sleep(0.01)
    session.cancel()
    await asyncio.wait([session])
    assert ended.is_set()


async def test_what_the_bot_fails_with_is_the_sessions(call: PipecatCall) -> None:
    async def bot() -> None:
        raise KeyError("room")

    with pytest.raises(KeyError):
        await adapter._until_over(bot(), call)


class RoomTransport(BaseTransport):
    """Has the events of `DailyTransport`."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("on_participant_joined", "on_participant_left", "on_error"):
            self._register_event_handler(name)

    def input(self) -> Any: ...
    def output(self) -> Any: ...


async def test_the_session_learns_who_is_in_the_room(call: PipecatCall) -> None:
    happened: list[str] = []
    call.port.joined = lambda: happened.append("joined")
    call.port.left = lambda: happened.append("left")
    call.port.lost = lambda why: happened.append(why)
    transport = RoomTransport()

    class Input:
        _transport = transport

    follow_room(call, [Input()])
    for name, *args in (
        ("on_participant_joined", {"id": "1"}),
        ("on_participant_joined", {"id": "2"}),
        ("on_participant_left", {"id": "1"}, "leftCall"),
        ("on_participant_left", {"id": "2"}, "leftCall"),
        ("on_error", "the room was deleted"),
    ):
        await transport._call_event_handler(name, *args)
        await transport.cleanup()
    assert happened == ["joined", "joined", "left", "the room was deleted"]
