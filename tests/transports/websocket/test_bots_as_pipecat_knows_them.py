"""`parse_telephony_websocket` and `create_transport`, as users of Pipecat write them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from phone_bots import PHONES, over_sockets, tone

from runner import WebSocketRunnerArguments, create_transport, parse_telephony_websocket
from runner.callers.call import new_wire
from runner.callers.memory_socket import MemorySocket
from runner.errors import UsageError
from runner.frames import Frame, FrameDirection, InputAudioRawFrame, OutputAudioRawFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.serializers.exotel import ExotelFrameSerializer
from runner.serializers.plivo import PlivoFrameSerializer
from runner.serializers.telnyx import TelnyxFrameSerializer
from runner.serializers.twilio import TwilioFrameSerializer
from runner.testing import run_virtual
from runner.transports.params import TransportParams
from runner.transports.websocket import FastAPIWebsocketParams, FastAPIWebsocketTransport


class Echo(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate)
        await self.push_frame(frame, direction)


def make_serializer(provider: str, data: Any) -> Any:
    match provider:
        case "twilio":
            return TwilioFrameSerializer(
                stream_sid=data["stream_id"], call_sid=data["call_id"], account_sid="", auth_token=""
            )
        case "telnyx":
            return TelnyxFrameSerializer(
                stream_id=data["stream_id"],
                call_control_id=data["call_control_id"],
                outbound_encoding=data["outbound_encoding"],
                inbound_encoding="PCMU",
            )
        case "plivo":
            return PlivoFrameSerializer(stream_id=data["stream_id"], call_id=data["call_id"])
        case _:
            return ExotelFrameSerializer(stream_sid=data["stream_id"], call_sid=data["call_id"])


@pytest.mark.parametrize("provider", PHONES)
async def test_a_bot_may_parse_the_socket_and_bring_its_own_serializer(provider: str) -> None:
    received: list[tuple[str, Any]] = []

    async def bot(runner_args: WebSocketRunnerArguments) -> None:
        transport_type, call_data = await parse_telephony_websocket(runner_args.websocket)
        assert runner_args.call_data is call_data
        received.append((transport_type, call_data))
        received.append(await parse_telephony_websocket(runner_args.websocket))
        serializer = make_serializer(transport_type, call_data)
        transport = FastAPIWebsocketTransport(
            websocket=runner_args.websocket,
            params=FastAPIWebsocketParams(
                audio_in_enabled=True, audio_out_enabled=True, add_wav_header=False, serializer=serializer
            ),
        )
        task = PipelineTask(Pipeline([transport.input(), Echo(), transport.output()]))

        @transport.event_handler("on_client_disconnected")
        async def gone(transport: Any, client: Any) -> None:
            await task.cancel()

        await PipelineRunner(handle_sigint=False).run(task)

    wire = new_wire(provider, {"key": "value"})
    async with over_sockets(bot) as served, served.phone(provider, wire=wire) as phone:
        utterance = phone.say(tone(0.3), 8000)
        assert await phone.until(lambda: utterance.done and phone.bot_has_spoken(), 5)
        await phone.until(lambda: phone.bot_quiet_s() > 0.3, 3)
    assert phone.log.violations == []
    assert phone.speech.spans[0].duration_s == pytest.approx(0.3, abs=0.1)
    (name, data), again = received
    assert name == provider
    assert again == (name, data)
    assert data["call_id"] == wire.facts.call_id
    assert data["body"]["key"] == "value"


async def test_a_bare_socket_is_read_under_a_deadline_and_parsed_once() -> None:
    from starlette.websockets import WebSocket

    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        found.append(await parse_telephony_websocket(websocket))
        found.append(await parse_telephony_websocket(websocket))

    wire = new_wire("plivo")
    socket = await MemorySocket(app, "ws://127.0.0.1/ws").open()
    for message in wire.opening():
        await socket.send(message)
    await asyncio.sleep(0)
    await socket.close()
    assert found[0] == found[1]
    assert found[0][0] == "plivo"
    assert found[0][1].call_id == wire.facts.call_id


def test_a_bare_socket_that_says_nothing_is_given_up() -> None:
    from starlette.websockets import WebSocket

    from runner.errors import ProtocolError

    async def run() -> float:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            websocket = WebSocket(scope, receive, send)
            await websocket.accept()
            with pytest.raises(ProtocolError, match="within 5 s"):
                await parse_telephony_websocket(websocket)

        socket = await MemorySocket(app, "ws://127.0.0.1/ws").open()
        async for _ in socket:
            pass
        return asyncio.get_running_loop().time()

    assert run_virtual(run(), 30) == pytest.approx(5, abs=0.01)


async def test_create_transport_names_what_is_missing() -> None:
    failures: list[str] = []

    async def bot(runner_args: WebSocketRunnerArguments) -> None:
        with pytest.raises(UsageError) as failure:
            await create_transport(runner_args, {"twilio": FastAPIWebsocketParams})
        failures.append(str(failure.value))

    async with over_sockets(bot) as served, served.phone("plivo") as phone:
        await phone.until(phone.ended.is_set, 5)
    assert failures == [
        "create_transport has no parameters for 'plivo': add 'plivo': lambda: TransportParams(…)"
        " (it has twilio)"
    ]


async def test_plain_transport_params_do_for_a_phone() -> None:
    async def bot(runner_args: WebSocketRunnerArguments) -> None:
        params = TransportParams(audio_in_enabled=True, audio_out_enabled=True, camera_out_width=320)
        transport = await create_transport(runner_args, {"twilio": lambda: params})
        assert transport.input().params.video_out_width == 320
        task = PipelineTask(Pipeline([transport.input(), Echo(), transport.output()]))
        await PipelineRunner().run(task)

    async with over_sockets(bot) as served, served.phone("twilio") as phone:
        utterance = phone.say(tone(0.3), 8000)
        assert await phone.until(lambda: utterance.done and phone.bot_has_spoken(), 5)
    assert phone.log.violations == []


async def test_parameters_that_serve_every_call_keep_nothing_of_one() -> None:
    params = FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True)
    serializers: list[object] = []

    async def bot(runner_args: WebSocketRunnerArguments) -> None:
        transport = await create_transport(runner_args, dict.fromkeys(PHONES, lambda: params))
        assert isinstance(transport, FastAPIWebsocketTransport)
        serializers.append(type(transport.serializer))

    for provider in ("twilio", "plivo"):
        async with over_sockets(bot) as served, served.phone(provider) as phone:
            await phone.until(phone.ended.is_set, 5)
    assert serializers == [TwilioFrameSerializer, PlivoFrameSerializer]
    assert params.serializer is None


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (lambda: None, "create_transport: the function for 'twilio' returned None: is its return missing?"),
        (
            TransportParams(),
            "create_transport: write 'twilio': lambda: TransportParams(…), not 'twilio': TransportParams(…)",
        ),
        (dict, "create_transport: the function for 'twilio' returned dict, not TransportParams"),
    ],
)
async def test_create_transport_says_what_is_wrong_with_the_parameters(factory: Any, sentence: str) -> None:
    failures: list[str] = []

    async def bot(runner_args: WebSocketRunnerArguments) -> None:
        with pytest.raises(UsageError) as failure:
            await create_transport(runner_args, {"twilio": factory})
        failures.append(str(failure.value))

    async with over_sockets(bot) as served, served.phone("twilio") as phone:
        await phone.until(phone.ended.is_set, 5)
    assert failures == [sentence]
