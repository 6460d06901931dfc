"""A WebRTC page in this process: a real aiortc peer that calls a `SmallWebRTCConnection`, without HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from runner.transports.webrtc import SmallWebRTCConnection
from runner.transports.webrtc.aiortc_private import gathering_loopback
from runner.transports.webrtc.tracks import OutboundAudioTrack


class Page:
    """The caller's side of a call."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = OutboundAudioTrack(48000)
        self.pc.addTransceiver(self.microphone, direction="sendrecv")
        self.channel: RTCDataChannel = self.pc.createDataChannel("chat")
        self.got: list[str] = []
        self.channel.on("message", self.got.append)

    async def offer(self) -> dict[str, str]:
        with gathering_loopback(True):
            await self.pc.setLocalDescription(await self.pc.createOffer())
        return {"sdp": self.pc.localDescription.sdp, "type": "offer"}

    async def take(self, answer: dict[str, str]) -> None:
        await self.pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))

    async def aclose(self) -> None:
        await self.pc.close()
        await asyncio.sleep(0.04)  # until aioice's checks, if they still run, see that they are over


class Log:
    """The events of a connection, in order."""

    def __init__(self, connection: SmallWebRTCConnection) -> None:
        self.names: list[str] = []
        self.messages: list[Any] = []
        for name in ("connected", "disconnected", "closed", "restarted"):
            connection.event_handler(name)(self._note(name))
        connection.event_handler("app-message")(self._message)

    def _note(self, name: str) -> Callable[..., Any]:
        async def note(_: SmallWebRTCConnection) -> None:
            self.names.append(name)

        return note

    async def _message(self, _: SmallWebRTCConnection, message: Any) -> None:
        self.messages.append(message)


@contextlib.asynccontextmanager
async def call(**options: Any) -> AsyncIterator[tuple[SmallWebRTCConnection, Page, Log]]:
    page, connection = Page(), SmallWebRTCConnection(peer_is_local=True, **options)
    log = Log(connection)
    try:
        offer = await page.offer()
        await connection.initialize(**offer)
        await page.take(connection.get_answer())
        yield connection, page, log
    finally:
        await connection.disconnect()
        await connection.events.aclose()
        await page.aclose()
