"""A caller with a camera: answers `renegotiate` with an offer that has pictures.

Its pictures are aiortc's own; its sound goes our way, so that what they cost it does not count as the bot's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from fractions import Fraction
from typing import Any

import httpx2
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from runner.transports.webrtc.aiortc_private import MediaLink, gathering_loopback
from runner.transports.webrtc.inbound import InboundRtp
from runner.transports.webrtc.outbound import OutboundRtp
from runner.transports.webrtc.tracks import OutboundAudioTrack


class Scene(MediaStreamTrack):
    """Pictures of one colour, or of noise, at a steady rate."""

    kind = "video"

    def __init__(self, size: tuple[int, int], rate: int, colour: tuple[int, int, int] | None) -> None:
        super().__init__()
        self.sent = 0
        self._rate = rate
        self._began: float | None = None
        width, height = size
        noise = np.random.default_rng(7).integers(0, 255, (8, height, width, 3), np.uint8)
        self._pixels = [np.full((height, width, 3), colour, np.uint8)] if colour else list(noise)

    async def recv(self) -> VideoFrame:
        loop = asyncio.get_running_loop()
        self._began = self._began if self._began is not None else loop.time()
        await asyncio.sleep(max(0.0, self._began + self.sent / self._rate - loop.time()))
        frame = VideoFrame.from_ndarray(self._pixels[self.sent % len(self._pixels)], format="rgb24")
        frame.pts, frame.time_base = self.sent, Fraction(1, self._rate)
        self.sent += 1
        return frame


class PictureCaller:
    """Speaks by `microphone`, shows `scene`, and notes what comes back.

    Attributes:
        seen: the bot's pictures, as (time, frame); at most the last 300.
        heard: the bot's sound, as (time, pcm at 16 kHz).
    """

    def __init__(
        self,
        url: str,
        scene: MediaStreamTrack | None = None,
        *,
        video_first: bool = False,
        muted: bool = False,
    ) -> None:
        self.seen: list[tuple[float, VideoFrame]] = []
        self.heard: list[tuple[float, bytes]] = []
        self.microphone = OutboundAudioTrack(16000)
        self.negotiations = 0
        self._url, self._scene, self._muted = url, scene, muted
        self._pc_id: str | None = None
        self._http = httpx2.AsyncClient(timeout=10, trust_env=False)
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        loop = asyncio.get_running_loop()
        link = MediaLink(self._pc.addTransceiver("audio", direction="sendrecv"))
        self._ears, mouth = InboundRtp(loop), OutboundRtp(link, lead_packets=0)
        self._ears.attach(16000, lambda pcm: self.heard.append((loop.time(), pcm)))
        link.on_rtp = self._ears.receive
        link.reception = lambda: self._ears.reception
        self._mouth = mouth
        self._tasks: list[asyncio.Task[None]] = []
        self._has_video = False
        if video_first:
            self._add_video()
        self._channel = self._pc.createDataChannel("chat")
        self._channel.on("message", self._message)
        self._pc.on("track", self._track)

    async def __aenter__(self) -> PictureCaller:
        await self._negotiate()
        if not self._muted:
            self.open_microphone()
        return self

    async def __aexit__(self, *_: Any) -> None:
        for task in self._tasks:
            task.cancel()
        self._mouth.play(None)
        await self._ears.aclose()
        await self._pc.close()
        await self._http.aclose()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def open_microphone(self) -> None:
        self._mouth.play(self.microphone)

    def _add_video(self) -> None:
        self._has_video = True
        self._pc.addTransceiver(self._scene or "video", direction="sendrecv" if self._scene else "recvonly")

    async def _negotiate(self) -> None:
        with gathering_loopback(True):
            await self._pc.setLocalDescription(await self._pc.createOffer())
        offer = {"sdp": self._pc.localDescription.sdp, "type": "offer", "pc_id": self._pc_id}
        answer = (await self._http.post(f"{self._url}/api/offer", json=offer)).json()
        self._pc_id = answer["pc_id"]
        await self._pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        self.negotiations += 1

    def _message(self, text: str) -> None:
        with contextlib.suppress(ValueError):
            if json.loads(text).get("message") == {"type": "renegotiate"}:
                if not self._has_video:
                    self._add_video()
                self._tasks.append(asyncio.create_task(self._negotiate()))

    def _track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            self._tasks.append(asyncio.create_task(self._watch(track)))

    async def _watch(self, track: MediaStreamTrack) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(MediaStreamError):
            while True:
                self.seen.append((loop.time(), await track.recv()))  # type: ignore[arg-type]
                del self.seen[:-300]
