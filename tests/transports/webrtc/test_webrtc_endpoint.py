"""The WebRTC endpoint: real HTTP on loopback, real sessions, and the Python caller as the peer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from eventually import eventually

from runner.arguments import SmallWebRTCRunnerArguments
from runner.callers.webrtc import WebRTCCaller
from runner.errors import TransportError, UsageError
from runner.frames import Frame, FrameDirection, InputAudioRawFrame, OutputAudioRawFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.server.endpoints import webrtc as door
from runner.sessions.session import EndReason
from runner.settings.parsing import IceServer
from runner.transports.params import TransportParams
from runner.transports.webrtc import SmallWebRTCTransport, peer_watch
from runner.transports.webrtc import connection as connection_module

CHROMIUM = (Path(__file__).parent / "offers" / "chromium.sdp").read_bytes().decode()


class Echo(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate)
        await self.push_frame(frame, direction)


class EchoBot:
    """Sends sound back, and notes what its transport tells it."""

    __name__ = "bot"

    def __init__(self, leaves: bool = True) -> None:
        self.events: list[Any] = []
        self.bodies: list[Any] = []
        self._leaves = leaves

    async def __call__(self, args: SmallWebRTCRunnerArguments) -> None:
        self.bodies.append(args.body)
        params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)
        transport = SmallWebRTCTransport(webrtc_connection=args.webrtc_connection, params=params)
        task = PipelineTask(Pipeline([transport.input(), Echo(), transport.output()]))

        @transport.event_handler("on_client_connected")
        async def connected(_: SmallWebRTCTransport, connection: Any) -> None:
            self.events.append("connected")

        @transport.event_handler("on_client_disconnected")
        async def disconnected(_: SmallWebRTCTransport, connection: Any) -> None:
            self.events.append("disconnected")
            if self._leaves:
                await task.cancel()

        @transport.event_handler("on_app_message")
        async def message(_: SmallWebRTCTransport, message: Any, sender: Any) -> None:
            self.events.append(message)
            if message == "bye":
                await task.stop_when_done()
            else:
                args.webrtc_connection.send_app_message({"echo": message})

        await PipelineRunner().run(task)


def tone(secs: float, rate: int = 16000, hertz: float = 440.0) -> bytes:
    t = np.arange(round(rate * secs)) / rate
    return bytes((np.sin(2 * np.pi * hertz * t) * 10000).astype("<i2").tobytes())


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        yield client


# ------------------------------------------------------------------ calls


async def test_a_caller_hears_itself_from_an_echo_bot(serve: Any) -> None:
    bot = EchoBot()
    async with serve(bot) as served:
        async with WebRTCCaller(served.url) as caller:
            await caller.say(tone(1.0), 16000)

            def heard() -> np.ndarray[Any, Any]:
                return np.frombuffer(caller.pcm_heard(), "<i2").astype(float)

            await eventually(lambda: np.count_nonzero(np.abs(heard()) > 500) > 10000)
            pcm = heard()
        spectrum = np.abs(np.fft.rfft(pcm))
        assert np.argmax(spectrum) * 16000 / len(pcm) == pytest.approx(440, abs=3)
        await eventually(lambda: not served.sessions.active)
        assert served.seen[0].end_reason is EndReason.CLIENT_LEFT
        assert bot.events == ["connected", "disconnected"]
        assert set(caller.timings) == {"answered", "connected", "channel", "first_audio"}


async def test_messages_go_both_ways(serve: Any) -> None:
    bot = EchoBot()
    async with serve(bot) as served, WebRTCCaller(served.url) as caller:
        for number in range(20):
            caller.send_message({"number": number})
        await caller.wait_for(lambda message: message.get("echo") == {"number": 19})
        echoes = [m.value["echo"]["number"] for m in caller.messages if "echo" in m.value]
        assert echoes == list(range(20))


async def test_a_bot_that_ends_says_goodbye_to_the_page(serve: Any) -> None:
    async with serve(EchoBot()) as served, WebRTCCaller(served.url) as caller:
        caller.send_message("bye")
        await asyncio.wait_for(caller.ended.wait(), 5)
        assert caller.signaling[-1]["type"] == "peerLeft"
        await eventually(lambda: not served.sessions.active)
        assert served.seen[0].end_reason is EndReason.BOT_FINISHED


async def test_a_caller_who_leaves_a_bot_that_does_not_care_still_ends_the_call(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "LEAVE_GRACE_SECS", 0.1)
    bot = EchoBot(leaves=False)
    async with serve(bot) as served:
        async with WebRTCCaller(served.url):
            pass
        await eventually(lambda: not served.sessions.active)
        assert served.seen[0].end_reason is EndReason.CLIENT_LEFT
        assert bot.events.count("disconnected") == 1


async def test_a_bot_that_fails_is_reported_to_the_page_with_its_line(serve: Any) -> None:
    async def bot(args: Any) -> None:
        raise ValueError("no voice today")

    async with serve(bot) as served, WebRTCCaller(served.url) as caller:
        response = await caller.wait_for(lambda message: message.get("type") == "error")
        assert response.value["label"] == "rtvi-ai"
        assert response.value["data"]["fatal"] is True
        assert (
            "conftest.py" in response.value["data"]["error"]
            or "test_webrtc_endpoint.py" in response.value["data"]["error"]
        )
        assert "no voice today" in response.value["data"]["error"]
        await asyncio.wait_for(caller.ended.wait(), 5)
        assert caller.signaling[-1]["error"]["message"] == "ValueError: no voice today"
        assert caller.signaling[-1]["error"]["line"]
        assert served.seen[0].end_reason is EndReason.BOT_FAILED


async def test_a_bot_that_returns_at_once_is_reported_to_the_page(serve: Any) -> None:
    async def bot(args: Any) -> None:
        """Forgets its pipeline."""

    async with serve(bot) as served, WebRTCCaller(served.url) as caller:
        response = await caller.wait_for(lambda message: message.get("type") == "error")
        assert "returned at once and ran no pipeline" in response.value["data"]["error"]
        await asyncio.wait_for(caller.ended.wait(), 5)
        assert "ran no pipeline" in caller.signaling[-1]["error"]["message"]
        await eventually(lambda: not served.sessions.active)
        assert served.seen[0].end_reason is EndReason.BOT_FINISHED


async def test_a_key_in_what_the_bot_fails_with_does_not_reach_the_page(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-of-the-environment")

    async def bot(args: Any) -> None:
        raise UsageError("the server refused canary-of-the-environment")

    async with serve(bot) as served, WebRTCCaller(served.url) as caller:
        await caller.wait_for(lambda message: message.get("type") == "error")
        await asyncio.wait_for(caller.ended.wait(), 5)
        heard = str([message.value for message in caller.messages]) + str(caller.signaling)
    assert "the server refused" in heard
    assert "canary" not in heard


async def test_an_offer_without_ice_is_forgotten(
    serve: Any, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connection_module.CONNECTION_TIMEOUT_SECS + peer_watch.WATCH_SECS + 1 < 15
    init = connection_module.SmallWebRTCConnection.__init__

    def impatient(self: Any, ice_servers: Any = (), **options: Any) -> None:
        init(self, ice_servers, 0.2, **options)

    monkeypatch.setattr(connection_module.SmallWebRTCConnection, "__init__", impatient)
    bot = EchoBot()
    async with serve(bot) as served:
        answer = await http.post(f"{served.url}/api/offer", json={"sdp": CHROMIUM, "type": "offer"})
        assert answer.status_code == 200
        await eventually(lambda: not served.sessions.active, 5)
        assert served.seen[0].end_reason is EndReason.NEVER_CONNECTED
        assert bot.events == []


@pytest.mark.faults(3)
async def test_at_the_limit_a_further_caller_is_refused(serve: Any) -> None:
    async with serve(EchoBot(), max_sessions=1) as served:
        async with WebRTCCaller(served.url):
            with pytest.raises(TransportError, match=r"503.*limit"):
                async with WebRTCCaller(served.url):
                    pass
        await eventually(lambda: not served.sessions.active)
        async with WebRTCCaller(served.url):
            assert len(served.sessions.active) == 1


# ------------------------------------------------------------------ sessions and bodies


async def test_start_announces_a_session_and_its_body(serve: Any) -> None:
    bot = EchoBot()
    async with serve(bot, body={"from": "--body"}) as served:
        async with WebRTCCaller(served.url, body={"name": "Ada"}) as caller:
            assert list(served.sessions.active) == [caller.session_id]
        async with WebRTCCaller(served.url):
            pass
        assert bot.bodies == [{"name": "Ada"}, {"from": "--body"}]


@pytest.mark.parametrize("name", ["request_data", "requestData"])
async def test_the_offer_may_carry_the_body(serve: Any, http: httpx2.AsyncClient, name: str) -> None:
    bot = EchoBot()
    async with serve(bot) as served:
        asked = {"sdp": CHROMIUM, "type": "offer", "pc_id": None, name: {"x": 1}}
        await http.post(f"{served.url}/api/offer", json=asked)
        await eventually(lambda: bot.bodies)
        assert bot.bodies == [{"x": 1}]


async def test_ice_servers_are_sent_only_where_they_were_asked_for(
    serve: Any, http: httpx2.AsyncClient
) -> None:
    turn = IceServer(("turn:10.0.0.1:3478",), "ada", "secret")
    async with serve(EchoBot()) as served:
        asked = {"transport": "webrtc", "body": {}}
        answer = (await http.post(f"{served.url}/start", json=asked)).json()
        assert set(answer) == {"sessionId"}
        answer = (
            await http.post(f"{served.url}/start", json={**asked, "enableDefaultIceServers": True})
        ).json()
        assert [list(server) for server in answer["iceConfig"]["iceServers"]] == [["urls"]]
    async with serve(EchoBot(), ice_servers=(turn,)) as served:
        answer = (await http.post(f"{served.url}/start", json={})).json()
        assert answer["iceConfig"] == {
            "iceServers": [{"urls": ["turn:10.0.0.1:3478"], "username": "ada", "credential": "secret"}]
        }


async def test_an_announced_session_is_forgotten_if_nobody_comes(
    serve: Any, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "START_KEPT_SECS", 0.0)
    async with serve(EchoBot()) as served:
        session_id = (await http.post(f"{served.url}/start", json={})).json()["sessionId"]
        await asyncio.sleep(0.01)
        route = f"{served.url}/sessions/{session_id}/api/offer"
        answer = await http.post(route, json={"sdp": CHROMIUM, "type": "offer"})
        assert answer.status_code == 404
        assert "/start" in answer.json()["error"]


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/api/offer", b"{", 400, "JSON"),
        ("POST", "/api/offer", b"[" * 100000, 400, "JSON"),
        ("POST", "/api/offer", b"[]", 400, "object"),
        ("POST", "/api/offer", b"{}", 400, "offer"),
        ("POST", "/api/offer", b'{"sdp": "v=0\\r\\n", "type": "offer"}', 400, "no audio"),
        ("POST", "/api/offer", b'{"sdp": ["v=0"], "type": {}}', 400, "type"),
        ("POST", "/sessions/unknown/api/offer", b'{"sdp": "v=0", "type": "offer"}', 404, "announced"),
        ("PATCH", "/api/offer", b'{"pc_id": "nobody", "candidates": []}', 404, "pc_id"),
        ("PATCH", "/api/offer", b'{"pc_id": ["x"]}', 404, "pc_id"),
        ("POST", "/start", b'{"transport": "pigeon"}', 400, "pigeon"),
    ],
)
async def test_what_cannot_be_is_refused_in_one_sentence(
    serve: Any, http: httpx2.AsyncClient, method: str, path: str, body: bytes, status: int, said: str
) -> None:
    bot = EchoBot()
    async with serve(bot) as served:
        answer = await http.request(method, served.url + path, content=body)
        assert answer.status_code == status
        assert said in answer.json()["error"]
        assert not served.seen
        assert not bot.bodies


@pytest.mark.parametrize(
    "candidates",
    [
        None,
        "x",
        ["x"],
        [{}] * 65,
        [{"candidate": "candidate:1 1 udp 1 10.0.0.1 5 typ host", "sdp_mid": "77"}],
        [{"candidate": 5, "sdp_mid": "0"}],
    ],
)
async def test_bad_candidates_are_refused_and_the_call_goes_on(
    serve: Any, http: httpx2.AsyncClient, candidates: Any
) -> None:
    async with serve(EchoBot()) as served, WebRTCCaller(served.url) as caller:
        patch = {"pc_id": caller.pc_id, "candidates": candidates}
        answer = await http.patch(f"{served.url}/api/offer", json=patch)
        assert answer.status_code == 400
        assert answer.json()["error"]
        caller.send_message("still here")
        await caller.wait_for(lambda message: message.get("echo") == "still here")


async def test_candidates_and_their_end_are_taken(serve: Any, http: httpx2.AsyncClient) -> None:
    async with serve(EchoBot()) as served, WebRTCCaller(served.url) as caller:
        line = "candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host"
        candidates = [
            {"candidate": line, "sdp_mid": "0", "sdp_mline_index": 0},
            {"candidate": "", "sdp_mid": "0", "sdp_mline_index": 0},
        ]
        patch = {"pc_id": caller.pc_id, "candidates": candidates}
        answer = await http.patch(f"{served.url}/api/offer", json=patch)
        assert (answer.status_code, answer.json()) == (200, {"status": "success"})


async def test_an_error_is_json_and_short(serve: Any, http: httpx2.AsyncClient) -> None:
    async with serve(EchoBot()) as served:
        offer = {"sdp": CHROMIUM + "m=" + "x" * 5000 + "\r\n", "type": "offer"}
        answer = await http.post(f"{served.url}/api/offer", content=json.dumps(offer).encode())
        assert answer.status_code == 400
        assert len(answer.content) < 300
