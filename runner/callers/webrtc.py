"""`WebRTCCaller`: a caller without a browser: sends pcm to a botrun server, and records what comes back.

When the bot's code changes, it reconnects as the page does, and the call continues.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self
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
from runner.server.access import is_loopback, key_headers
from runner.server.wire.tls import trust_for
from runner.transports.webrtc.aiortc_private import gathering_loopback
from runner.transports.webrtc.tracks import InboundAudio, OutboundAudioTrack

MICROPHONE_HZ = 48000
PING_SECS = 1.0


class LineOwner(Protocol):
    """Receives the events of a line."""

    def line_connected(self, line: PeerLine) -> None: ...
    def line_opened(self, line: PeerLine) -> None: ...
    def line_ended(self, line: PeerLine) -> None: ...
    def line_heard(self, pcm: bytes) -> None: ...
    async def line_message(self, line: PeerLine, text: str) -> None: ...


class PeerLine:
    """A connection, from its offer to its end. A call that moves has several in turn.

    Args:
        owner: receives the line's events.
        sample_rate: sample rate of received audio (Hz).
        pings: whether it sends a ping every second.
    """

    def __init__(self, owner: LineOwner, sample_rate: int, *, pings: bool) -> None:
        self.microphone = OutboundAudioTrack(MICROPHONE_HZ)
        self._owner = owner
        self._sample_rate = sample_rate
        self._pings = pings
        self._connected = asyncio.Event()
        self._opened = asyncio.Event()
        self._audio: InboundAudio | None = None
        self._pinging: asyncio.Task[None] | None = None
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._pc.addTransceiver(self.microphone, direction="sendrecv")
        self._channel: RTCDataChannel = self._pc.createDataChannel("chat", ordered=True)
        self._channel.on("open", self._on_open)
        self._channel.on("message", self._on_message)
        self._pc.on("connectionstatechange", self._on_state)

    async def offer(self, *, local: bool) -> RTCSessionDescription:
        """Create the offer; `local`: for a server on this machine."""
        with gathering_loopback(local):
            await self._pc.setLocalDescription(await self._pc.createOffer())
        return self._pc.localDescription

    async def take_answer(self, sdp: str, type: str) -> None:
        """Apply the server's answer."""
        await self._pc.setRemoteDescription(RTCSessionDescription(sdp, type))
        self._audio = InboundAudio(self._pc.getTransceivers()[0].receiver.track)
        self._audio.attach(self._sample_rate, self._owner.line_heard)

    async def ready(self) -> None:
        """Wait until audio and messages can be sent."""
        await self._connected.wait()
        await self._opened.wait()

    def send(self, text: str) -> None:
        """Send a message; does nothing if the channel is closed."""
        if self._channel.readyState == "open":
            self._channel.send(text)

    async def aclose(self) -> None:
        """Close the connection. May be called more than once."""
        if self._pinging is not None:
            self._pinging.cancel()
        if self._audio is not None:
            await self._audio.aclose()
        await self._pc.close()
        self.microphone.stop()

    def _on_state(self) -> None:
        if self._pc.connectionState == "connected":
            self._connected.set()
            self._owner.line_connected(self)
        elif self._pc.connectionState in ("failed", "closed"):
            self._owner.line_ended(self)

    def _on_open(self) -> None:
        self._opened.set()
        self._owner.line_opened(self)
        if self._pings:
            self._pinging = asyncio.create_task(self._ping(), name="webrtc-caller-ping")

    async def _ping(self) -> None:
        while self._channel.readyState == "open":
            self._channel.send(f"ping: {round(asyncio.get_running_loop().time() * 1000)}")
            await asyncio.sleep(PING_SECS)

    async def _on_message(self, text: str) -> None:
        await self._owner.line_message(self, text)


HTTP_TIMEOUT_SECS = 10.0
CONNECT_SECS = 10.0


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
    """A simulated WebRTC caller.

    ```python
    async with WebRTCCaller("http://127.0.0.1:7860") as caller:
        await caller.say(pcm, 16000)
        await caller.wait_for(lambda message: message.get("type") == "bot-stopped-speaking")
    ```

    Args:
        url: URL of the server.
        body: the bot's `runner_args.body`; passed by `/start`.
        sample_rate: sample rate of received audio (Hz).
        http: an HTTP client to use, as for a server in this process.
        moves: whether it reconnects when the bot's code changes, as the page does.
        insecure: whether to accept any certificate; that of a botrun on this machine is always accepted.

    Attributes:
        heard: the received audio, with the time of its arrival.
        messages: the application's messages, without signaling.
        signaling: the server's signaling messages (`peerLeft` …).
        timings: seconds since the offer: "answered", "connected", "channel", "first_audio".
        moved: how often it has reconnected for new code.
        ended: set when the connection is closed by either side.
    """

    def __init__(
        self,
        url: str,
        *,
        body: Any = None,
        sample_rate: int = 16000,
        pings: bool = True,
        http: httpx2.AsyncClient | None = None,
        insecure: bool = False,
        moves: bool = True,
    ) -> None:
        self.url = url.rstrip("/")
        self.sample_rate = sample_rate
        self.heard: list[HeardAudio] = []
        self.messages: list[ReceivedMessage] = []
        self.signaling: list[Any] = []
        self.timings: dict[str, float] = {}
        self.pc_id: str | None = None
        self.session_id: str | None = None
        self.moved = 0
        self.ended = asyncio.Event()
        self._body = body
        self._pings = pings
        self._moves = moves
        self._http = http or httpx2.AsyncClient(
            timeout=HTTP_TIMEOUT_SECS, trust_env=False, verify=trust_for(url, insecure=insecure) or True
        )
        self._owns_http = http is None
        self._arrived = asyncio.Condition()
        self._offered_at = 0.0
        self._line = PeerLine(self, sample_rate, pings=pings)
        self._moving: asyncio.Task[None] | None = None
        self._holding = False
        self._held: list[str] = []

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

    async def connect(self, timeout_s: float = CONNECT_SECS) -> None:
        """Connect; return when audio and messages can be sent. Raises `TransportError`."""
        if self._body is not None:
            asked = {"transport": "webrtc", "body": self._body}
            self.session_id = (await self._post("/start", asked))["sessionId"]
        await self._connect(self._line, timeout_s)

    async def say(self, pcm: bytes, sample_rate: int) -> None:
        """Speak mono pcm in real time; return when all of it has been sent."""
        if sample_rate != MICROPHONE_HZ:
            resampler = Resampler(sample_rate, MICROPHONE_HZ)
            pcm = resampler.process(pcm) + resampler.flush()
        chunk_bytes = MICROPHONE_HZ * 20 // 1000 * 2
        for start in range(0, len(pcm), chunk_bytes):
            await self._line.microphone.write(pcm[start : start + chunk_bytes])
        await asyncio.sleep(self._line.microphone.buffered_secs)

    def send_message(self, message: Any) -> None:
        """Send a JSON value to the bot's application; while the call moves, hold it for the new code."""
        text = json.dumps(message)
        if self._holding:
            self._held.append(text)
            self._signal(self._line, {"type": "held", "waiting": True})
        else:
            self._line.send(text)

    async def wait_for(self, wanted: Callable[[Any], bool], timeout_s: float = 10.0) -> ReceivedMessage:
        """The first message, past or future, for which `wanted` is True. Raises `TransportError`."""
        try:
            async with asyncio.timeout(timeout_s), self._arrived:
                while True:
                    for message in self.messages:
                        if wanted(message.value):
                            return message
                    await self._arrived.wait()
        except TimeoutError:
            raise TransportError(f"no such message arrived within {timeout_s} s") from None

    def pcm_heard(self) -> bytes:
        """All audio received so far."""
        return b"".join(part.pcm for part in self.heard)

    async def hang_up(self) -> None:
        """End the call. May be called more than once."""
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.wait({self._moving})
        await self._line.aclose()
        self.ended.set()
        if self._owns_http:
            await self._http.aclose()

    # ------------------------------------------------------------ connecting

    async def _connect(self, line: PeerLine, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._negotiate(line)
                await line.ready()
        except TimeoutError:
            raise TransportError(f"not connected to {self.url} within {timeout_s} s") from None

    async def _negotiate(self, line: PeerLine) -> None:
        offer = await line.offer(local=is_loopback(urlsplit(self.url).hostname or ""))
        self._offered_at = asyncio.get_running_loop().time()
        asked = {"sdp": offer.sdp, "type": offer.type, "pc_id": None, "moves": self._moves}
        route = f"/sessions/{self.session_id}/api/offer" if self.session_id else "/api/offer"
        answer = await self._post(route, asked)
        self._note("answered")
        self.pc_id, self.session_id = answer["pc_id"], answer.get("session_id") or self.session_id
        await line.take_answer(answer["sdp"], answer["type"])

    async def _move(self) -> None:
        """Connect to the new code, then send the messages held meanwhile."""
        old, self._line = self._line, PeerLine(self, self.sample_rate, pings=self._pings)
        try:
            await self._connect(self._line, CONNECT_SECS)
            self.moved += 1
            self._holding = False
            for text in self._held:
                self._line.send(text)
            self._held.clear()
        except TransportError:
            self.ended.set()
        finally:
            await old.aclose()

    async def _post(self, path: str, value: Any) -> dict[str, Any]:
        try:
            response = await self._http.post(self.url + path, json=value, headers=key_headers(self.url))
        except httpx2.HTTPError as error:
            raise TransportError(f"{self.url} cannot be reached: {error}") from error
        if response.status_code != 200:
            raise TransportError(f"{path} answered {response.status_code}: {response.text[:300]}")
        found: dict[str, Any] = response.json()
        return found

    # ------------------------------------------------------------ events of its line (`LineOwner`)

    def line_connected(self, line: PeerLine) -> None:
        self._note("connected")

    def line_opened(self, line: PeerLine) -> None:
        self._note("channel")

    def line_ended(self, line: PeerLine) -> None:
        if line is self._line:
            self.ended.set()

    def line_heard(self, pcm: bytes) -> None:
        self._note("first_audio")
        self.heard.append(HeardAudio(asyncio.get_running_loop().time(), pcm))

    async def line_message(self, line: PeerLine, text: str) -> None:
        value = json.loads(text)
        if isinstance(value, dict) and value.get("type") == "signalling":
            self._signalled(line, value.get("message"))
            return
        async with self._arrived:
            self.messages.append(ReceivedMessage(asyncio.get_running_loop().time(), value))
            self._arrived.notify_all()

    def _signalled(self, line: PeerLine, message: Any) -> None:
        self.signaling.append(message)
        match message:
            case {"type": "hold"}:
                self._holding = True
                self._signal(line, {"type": "held"})
            case {"type": "moved"} if line is self._line:
                self._moving = asyncio.create_task(self._move(), name="webrtc-caller-moves")

    def _signal(self, line: PeerLine, message: Any) -> None:
        line.send(json.dumps({"type": "signalling", "message": message}))

    def _note(self, what: str) -> None:
        self.timings.setdefault(what, asyncio.get_running_loop().time() - self._offered_at)
