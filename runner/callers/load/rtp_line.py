"""A low-cost WebRTC caller: sends packets encoded beforehand, and only timestamps those that come back."""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import cache
from urllib.parse import urlsplit

import httpx2
import numpy as np
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from runner.audio.rtp import RtpPacket, ahead16, build_rtp
from runner.callers.load import ANSWER_TIMEOUT_S
from runner.callers.load.probe import Heard, probe_sound
from runner.callers.load.websocket_line import EchoLine
from runner.errors import TransportError
from runner.server.access import is_loopback, key_headers
from runner.transports.webrtc.aiortc_private import MediaLink, gathering_loopback
from runner.transports.webrtc.opus import CHUNK_MS, RTP_CHUNK, open_decoder, open_encoder

SAMPLE_RATE = 16000


@cache
def encoded(seed: int) -> tuple[bytes, ...]:
    """The probe sound as Opus packets."""
    probe, encoder = probe_sound(seed, SAMPLE_RATE), open_encoder(SAMPLE_RATE)
    piece = SAMPLE_RATE * CHUNK_MS // 1000
    return tuple(encoder.encode(probe.piece(index, piece)) for index in range(probe.samples // piece))


class RtpLine(EchoLine):
    """One peer connection that bypasses aiortc's media path, as the bot's connections do."""

    def __init__(self, url: str, seed: int, http: httpx2.AsyncClient) -> None:
        super().__init__()
        self.probe, self.ptime_s = probe_sound(seed, SAMPLE_RATE), CHUNK_MS / 1000
        self._packets = encoded(seed)
        self._url = url.rstrip("/")
        self._http = http
        self._came: list[tuple[float, RtpPacket]] = []
        self._sequence, self._origin = secrets.randbits(15), secrets.randbits(31)
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._link = MediaLink(self._pc.addTransceiver("audio", direction="sendrecv"))
        self._link.on_rtp = self._on_rtp
        self._pc.createDataChannel("load")
        self._connected = asyncio.Event()
        self._pc.on("connectionstatechange", self._on_state)

    async def open(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._negotiate()
                await self._connected.wait()
        except TimeoutError:
            raise TransportError(f"not connected within {ANSWER_TIMEOUT_S:g} s") from None
        if self.gone.is_set():
            raise TransportError(self.why)

    async def _negotiate(self) -> None:
        with gathering_loopback(is_loopback(urlsplit(self._url).hostname or "")):
            await self._pc.setLocalDescription(await self._pc.createOffer())
        offer = self._pc.localDescription
        try:
            answer = await self._http.post(
                f"{self._url}/api/offer",
                json={"sdp": offer.sdp, "type": offer.type},
                headers=key_headers(self._url),
                timeout=ANSWER_TIMEOUT_S,
            )
        except httpx2.HTTPError as error:
            raise TransportError(f"{self._url} cannot be reached: {error or type(error).__name__}") from None
        if answer.status_code != 200:
            raise TransportError(f"/api/offer answered {answer.status_code}: {answer.text[:200]}")
        found = answer.json()
        await self._pc.setRemoteDescription(RTCSessionDescription(found["sdp"], found["type"]))

    def _on_state(self) -> None:
        if self._pc.connectionState == "connected":
            self._connected.set()
        elif self._pc.connectionState in ("failed", "closed"):
            self.over("the connection was lost")
            self._connected.set()

    def _on_rtp(self, packet: RtpPacket) -> bool:
        self._came.append((time.monotonic(), packet))
        return len(self._came) == 1

    def send(self, index: int) -> None:
        if self._link.payload_type is None:
            return
        payload = self._packets[index % len(self._packets)]
        timestamp = (self._origin + index * RTP_CHUNK) & 0xFFFFFFFF
        sequence = (self._sequence + index) & 0xFFFF
        packet = RtpPacket(self._link.payload_type, sequence, timestamp, self._link.ssrc, payload, index == 0)
        self._link.send_rtp(build_rtp(packet), timestamp, len(payload))

    def heard(self) -> list[Heard]:
        """The decoded audio, without packets that arrived out of order: there is no jitter buffer here."""
        found, last = [], None
        decoder = open_decoder(SAMPLE_RATE)
        for at, packet in self._came:
            if last is not None and ahead16(packet.sequence, last) <= 0:
                continue
            last = packet.sequence
            if packet.payload:
                found.append(Heard(at, np.frombuffer(decoder.decode(packet.payload), "<i2") / 32768))
        return found

    @property
    def received(self) -> int:
        return len(self._came)

    async def hang_up(self) -> None:
        self._pc.remove_all_listeners()
        await self._pc.close()
