"""One peer connection of the WebRTC caller: microphone, data channel, and the sound that comes back."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)

from runner.transports.webrtc.aiortc_private import gathering_loopback
from runner.transports.webrtc.tracks import InboundAudio, OutboundAudioTrack

MICROPHONE_HZ = 48000
PING_SECS = 1.0


class LineOwner(Protocol):
    """Who is told what happens on a line."""

    def line_connected(self, line: PeerLine) -> None: ...
    def line_opened(self, line: PeerLine) -> None: ...
    def line_ended(self, line: PeerLine) -> None: ...
    def line_heard(self, pcm: bytes) -> None: ...
    async def line_message(self, line: PeerLine, text: str) -> None: ...


class PeerLine:
    """A connection, from its offer to its end. A call that moves has one after the other.

    Args:
        owner: told what happens.
        sample_rate: of what is heard (Hz).
        pings: whether it says every second that it is there.
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
        """What is offered; `local`: to a server on this machine."""
        with gathering_loopback(local):
            await self._pc.setLocalDescription(await self._pc.createOffer())
        return self._pc.localDescription

    async def take_answer(self, sdp: str, type: str) -> None:
        """The server's answer."""
        await self._pc.setRemoteDescription(RTCSessionDescription(sdp, type))
        self._audio = InboundAudio(self._pc.getTransceivers()[0].receiver.track)
        self._audio.attach(self._sample_rate, self._owner.line_heard)

    async def ready(self) -> None:
        """Returns when sound and messages can flow."""
        await self._connected.wait()
        await self._opened.wait()

    def send(self, text: str) -> None:
        """A message; nobody is told where the channel is closed."""
        if self._channel.readyState == "open":
            self._channel.send(text)

    async def aclose(self) -> None:
        """End it. May be called more than once."""
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
