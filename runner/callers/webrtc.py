"""`WebRTCCaller`: a caller without a browser: speaks pcm into a botrun server, records what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)

from runner.audio.resampler import Resampler
from runner.errors import TransportError
from runner.transports.webrtc.aiortc_private import LOOPBACK, gathering_loopback
from runner.transports.webrtc.tracks import InboundAudio, OutboundAudioTrack

MICROPHONE_HZ = 48000
PING_SECS = 1.0
HTTP_TIMEOUT_SECS = 10.0


@dataclass(frozen=True, slots=True)
class HeardAudio:
    """Mono pcm that arrived at `at` (s on the loop's clock)."""

    at: float
    pcm: bytes


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A JSON value from the data channel, which arrived at `at` (s on the loop's clock)."""

    at: float
    value: Any


class WebRTCCaller:
    """One caller.

    ```python
    async with WebRTCCaller("http://127.0.0.1:7860") as caller:
        await caller.say(pcm, 16000)
        await caller.wait_for(lambda message: message.get("type") == "bot-stopped-speaking")
    ```

    Args:
        url: the server.
        body: what the bot finds in `runner_args.body`; passed by `/start`.
        sample_rate: of what is heard (Hz).
        http: another client than one of our own, as for a server inside this process.

    Attributes:
        heard: the sound that came back, with the time of its arrival.
        messages: the application's messages, signaling left out.
        signaling: the server's signaling messages (`peerLeft` …).
        timings: seconds from the offer's sending: "answered", "connected", "channel", "first_audio".
        ended: set when the connection is closed, by whichever side.
    """

    def __init__(
        self,
        url: str,
        *,
        body: Any = None,
        sample_rate: int = 16000,
        pings: bool = True,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.sample_rate = sample_rate
        self.heard: list[HeardAudio] = []
        self.messages: list[ReceivedMessage] = []
        self.signaling: list[Any] = []
        self.timings: dict[str, float] = {}
        self.pc_id: str | None = None
        self.session_id: str | None = None
        self.ended = asyncio.Event()
        self._body = body
        self._pings = pings
        self._http = http or httpx2.AsyncClient(timeout=HTTP_TIMEOUT_SECS, trust_env=False)
        self._owns_http = http is None
        self._connected = asyncio.Event()
        self._channel_open = asyncio.Event()
        self._arrived = asyncio.Condition()
        self._offered_at = 0.0
        self._audio: InboundAudio | None = None
        self._pinging: asyncio.Task[None] | None = None
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._microphone = OutboundAudioTrack(MICROPHONE_HZ)
        self._listen()

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.hang_up()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.hang_up()

    # ------------------------------------------------------------ the call

    async def connect(self, timeout_s: float = 10.0) -> None:
        """Offers, and returns when sound and messages can flow. Raises `TransportError`."""
        route = "/api/offer"
        if self._body is not None:
            self.session_id = (await self._post("/start", {"transport": "webrtc", "body": self._body}))[
                "sessionId"
            ]
            route = f"/sessions/{self.session_id}/api/offer"
        local = urlsplit(self.url).hostname in (LOOPBACK, "localhost", "::1")
        with gathering_loopback(local):
            await self._pc.setLocalDescription(await self._pc.createOffer())
        await self._offer(route)
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
                await self._channel_open.wait()
        except TimeoutError:
            raise TransportError(f"not connected to {self.url} within {timeout_s} s") from None

    async def say(self, pcm: bytes, sample_rate: int) -> None:
        """Speaks mono pcm into the microphone in real time; returns when the last of it has left."""
        if sample_rate != MICROPHONE_HZ:
            resampler = Resampler(sample_rate, MICROPHONE_HZ)
            pcm = resampler.process(pcm) + resampler.flush()
        chunk_bytes = MICROPHONE_HZ * 20 // 1000 * 2
        for start in range(0, len(pcm), chunk_bytes):
            await self._microphone.write(pcm[start : start + chunk_bytes])
        await asyncio.sleep(self._microphone.buffered_secs)

    def send_message(self, message: Any) -> None:
        """Sends a JSON value to the bot's application."""
        self._channel.send(json.dumps(message))

    async def wait_for(self, wanted: Callable[[Any], bool], timeout_s: float = 10.0) -> ReceivedMessage:
        """The first message, past or to come, that `wanted` says yes to. Raises `TransportError`."""
        try:
            async with asyncio.timeout(timeout_s), self._arrived:
                while True:
                    for message in self.messages:
                        if wanted(message.value):
                            return message
                    await self._arrived.wait()
        except TimeoutError:
            raise TransportError(f"no such message came within {timeout_s} s") from None

    def pcm_heard(self) -> bytes:
        """All the sound that came back so far."""
        return b"".join(part.pcm for part in self.heard)

    async def hang_up(self) -> None:
        """Ends the call. May be called more than once."""
        if self._pinging is not None:
            self._pinging.cancel()
        if self._audio is not None:
            await self._audio.aclose()
        await self._pc.close()
        self._microphone.stop()
        self.ended.set()
        if self._owns_http:
            await self._http.aclose()

    # ------------------------------------------------------------ inside

    def _listen(self) -> None:
        self._pc.addTransceiver(self._microphone, direction="sendrecv")
        self._channel: RTCDataChannel = self._pc.createDataChannel("chat", ordered=True)
        self._channel.on("open", self._on_open)
        self._channel.on("message", self._on_message)
        self._pc.on("connectionstatechange", self._on_state)

    async def _offer(self, route: str) -> None:
        offer = self._pc.localDescription
        self._offered_at = asyncio.get_running_loop().time()
        asked = {"sdp": offer.sdp, "type": offer.type, "pc_id": self.pc_id}
        answer = await self._post(route, asked)
        self._note("answered")
        self.pc_id = answer["pc_id"]
        await self._pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        receiver = self._pc.getTransceivers()[0].receiver
        self._audio = InboundAudio(receiver.track)
        self._audio.attach(self.sample_rate, self._on_pcm)

    async def _post(self, path: str, value: Any) -> dict[str, Any]:
        try:
            response = await self._http.post(self.url + path, json=value)
        except httpx2.HTTPError as error:
            raise TransportError(f"{self.url} cannot be reached: {error}") from error
        if response.status_code != 200:
            raise TransportError(f"{path} answered {response.status_code}: {response.text[:300]}")
        found: dict[str, Any] = response.json()
        return found

    def _note(self, what: str) -> None:
        self.timings.setdefault(what, asyncio.get_running_loop().time() - self._offered_at)

    def _on_state(self) -> None:
        if self._pc.connectionState == "connected":
            self._note("connected")
            self._connected.set()
        elif self._pc.connectionState in ("failed", "closed"):
            self.ended.set()

    def _on_open(self) -> None:
        self._note("channel")
        self._channel_open.set()
        if self._pings:
            self._pinging = asyncio.create_task(self._ping(), name="webrtc-caller-ping")

    async def _ping(self) -> None:
        while self._channel.readyState == "open":
            self._channel.send(f"ping: {round(asyncio.get_running_loop().time() * 1000)}")
            await asyncio.sleep(PING_SECS)

    def _on_pcm(self, pcm: bytes) -> None:
        self._note("first_audio")
        self.heard.append(HeardAudio(asyncio.get_running_loop().time(), pcm))

    async def _on_message(self, text: str) -> None:
        value = json.loads(text)
        if isinstance(value, dict) and value.get("type") == "signalling":
            self.signaling.append(value.get("message"))
            return
        async with self._arrived:
            self.messages.append(ReceivedMessage(asyncio.get_running_loop().time(), value))
            self._arrived.notify_all()
