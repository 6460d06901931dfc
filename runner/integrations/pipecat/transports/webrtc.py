"""botrun's WebRTC connection in the shape of Pipecat's, so that its transport runs over botrun's media path.

`BridgedConnection` is a `SmallWebRTCConnection` of Pipecat's that has no peer connection of its own. Sound
that Pipecat's transport would queue for aiortc goes straight into botrun's outbound track.
"""

from __future__ import annotations

import asyncio
import fractions
import logging
from collections.abc import Awaitable
from typing import Any

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection

from runner.audio.level import downmix
from runner.audio.resampler import Resampler
from runner.integrations.pipecat.transports.pictures import BotPictures, CallerPictures
from runner.transports.webrtc import connection as ours
from runner.transports.webrtc.opus import CHUNK_MS, nearest_rate
from runner.transports.webrtc.stats import SessionStats
from runner.transports.webrtc.tracks import OutboundAudioTrack

logger = logging.getLogger(__name__)

INBOUND_HZ = 16000
"""Pipecat's default; its transport resamples for other rates."""

KEPT_CHUNKS = 150
"""Number of chunks (20 ms) kept for a pipeline that does not read."""

RAGGED_S = 0.06
"""Sound that fills no chunk is sent when no more has come for so long (s)."""

GOODBYE_S = 1.0
"""How long (s) a leaving bot waits for its last sound to be heard."""

EVENTS = (
    "app-message", "track-started", "track-ended", "track-status",
    "connecting", "connected", "disconnected", "closed", "failed", "new",
)  # fmt: skip


class BridgedConnection(SmallWebRTCConnection):  # type: ignore[misc]
    """One caller. `connection`: botrun's."""

    def __init__(self, connection: ours.SmallWebRTCConnection) -> None:
        # Not `SmallWebRTCConnection.__init__`, which makes a peer connection.
        super(SmallWebRTCConnection, self).__init__()
        for name in EVENTS:
            self._register_event_handler(name)
        self._ours = connection
        self.closed = asyncio.Event()
        self._wanted = False
        self._ears = CallerSound(connection)
        self._mouth: BotSound | None = None
        self._seen = CallerPictures(connection)
        self._shown = BotPictures(connection, self._seen)
        connection.event_handler("connected")(self._relay("connected"))
        # Pipecat's transport takes "closed" for the caller's leaving; botrun's "disconnected" is not emitted
        # where the call continues with newer code.
        connection.event_handler("disconnected")(self._relay("closed"))
        connection.event_handler("app-message")(self._relay("app-message"))

    def _relay(self, name: str) -> Any:
        async def relay(connection: ours.SmallWebRTCConnection, *args: Any) -> None:
            await self._call_event_handler(name, *args)

        return relay

    # ------------------------------------------------------------ the connection

    @property
    def pc(self) -> None:
        """There is none: botrun has the peer connection."""
        return None

    @property
    def pc_id(self) -> str:
        return self._ours.pc_id

    def is_connected(self) -> bool:
        return self._wanted and self._ours.is_connected()

    async def connect(self) -> None:
        self._wanted = True
        await self._ours.connect()

    async def disconnect(self) -> None:
        await self.played_out()
        await self._ours.disconnect()
        self.closed.set()

    def get_answer(self) -> dict[str, str]:
        return self._ours.get_answer()

    def send_app_message(self, message: Any) -> None:
        self._ours.send_app_message(message)

    def ask_to_renegotiate(self) -> None:
        self._ours.ask_to_renegotiate()

    def read_stats(self) -> SessionStats | None:
        """How the sound fares, where somebody is connected."""
        return self._ours.read_stats() if self.is_connected() else None

    # ------------------------------------------------------------ in

    def audio_input_track(self) -> CallerSound:
        return self._ears

    def video_input_track(self) -> CallerPictures:
        return self._seen

    def screen_video_input_track(self) -> None:
        """The page shares no screen."""
        return

    # ------------------------------------------------------------ out

    def replace_audio_track(self, track: Any) -> None:
        if self._mouth is not None:
            self._mouth.stop()
        self._mouth = BotSound(self._ours, track)

    def replace_video_track(self, track: Any) -> None:
        track.add_video_frame = self._shown.show

    def replace_screen_video_track(self, track: Any) -> None:
        logger.warning("the page shows no second picture of the bot")

    def clear_audio(self) -> None:
        """The bot is interrupted: drop what has not left yet."""
        if self._mouth is not None:
            self._mouth.clear()

    @property
    def caller_left(self) -> bool:
        """Whether the connection has ended."""
        return self._ours.close_reason is not None

    async def played_out(self) -> None:
        """Wait until the caller has heard what was written."""
        if self._mouth is not None and self._ours.is_connected() and not self._ours.moved:
            await self._mouth.played_out(self._ours.listener_delay())


class CallerSound:
    """What Pipecat's transport reads as its input track: frames of mono pcm at `INBOUND_HZ`."""

    kind = "audio"

    def __init__(self, connection: ours.SmallWebRTCConnection) -> None:
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._pts = 0
        self._enabled = True
        connection.receive_audio(INBOUND_HZ, self._take)

    def _take(self, pcm: bytes) -> None:
        if self._chunks.qsize() >= KEPT_CHUNKS:
            self._chunks.get_nowait()
        self._chunks.put_nowait(pcm)

    async def recv(self) -> av.AudioFrame:
        pcm = await self._chunks.get()
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, np.int16)[None, :], layout="mono")
        frame.sample_rate, frame.pts = INBOUND_HZ, self._pts
        frame.time_base = fractions.Fraction(1, INBOUND_HZ)
        self._pts += frame.samples
        return frame

    async def discard_old_frames(self) -> None:
        while not self._chunks.empty():
            self._chunks.get_nowait()

    def is_enabled(self) -> bool:
        return self._enabled

    def set_enabled(self, enabled: bool) -> None:
        self._enabled = enabled

    def stop(self) -> None:
        """The connection ends by itself."""


class BotSound:
    """Sends what is written to a track of Pipecat's, at any sample rate.

    Args:
        connection: where to.
        track: Pipecat's `RawAudioTrack`; its `add_audio_bytes` writes here from now on. Of another track,
            what its `recv` returns is sent.
    """

    def __init__(self, connection: ours.SmallWebRTCConnection, track: Any) -> None:
        self._pump: asyncio.Task[None] | None = None
        self._ragged = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._connection = connection
        self._track: OutboundAudioTrack | None = None
        self._resampler: Resampler | None = None
        rate = getattr(track, "_sample_rate", None)
        if rate is not None and hasattr(track, "add_audio_bytes"):
            self._open(rate)
            track.add_audio_bytes = self.write
        else:
            self._pump = asyncio.get_running_loop().create_task(self._read(track), name="pipecat audio out")

    def _open(self, rate: int) -> OutboundAudioTrack:
        wire = nearest_rate(rate)
        self._resampler = Resampler(rate, wire) if wire != rate else None
        self._chunk_bytes = wire * CHUNK_MS // 1000 * 2
        self._track = OutboundAudioTrack(wire)
        self._connection.send_audio(self._track)
        return self._track

    def write(self, pcm: bytes) -> Awaitable[None]:
        """Send pcm; what is returned is done when there is room for more."""
        return self._write(pcm)

    async def _write(self, pcm: bytes) -> None:
        track = self._track
        if track is None:
            return
        if self._resampler is not None:
            pcm = self._resampler.process(pcm)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        size = self._chunk_bytes
        if not self._ragged and len(pcm) % size == 0:
            for start in range(0, len(pcm), size):
                await track.write(pcm[start : start + size])
            return
        self._ragged += pcm
        while len(self._ragged) >= size:
            chunk = bytes(self._ragged[:size])
            del self._ragged[:size]
            await track.write(chunk)
        if self._ragged:
            self._timer = asyncio.get_running_loop().call_later(RAGGED_S, self._flush_ragged)

    def _flush_ragged(self) -> None:
        rest, self._ragged = bytes(self._ragged), bytearray()
        if rest and self._track is not None:
            loop = asyncio.get_running_loop()
            self._flushing = loop.create_task(self._track.write(rest), name="pipecat audio end")

    async def _read(self, track: Any) -> None:
        rate = 0
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if rate != frame.sample_rate:
                rate = frame.sample_rate
                self._open(rate)
            channels = len(frame.layout.channels)
            pcm = bytes(memoryview(frame.planes[0])[: frame.samples * channels * 2])
            await self._write(pcm if channels == 1 else downmix(pcm, channels))

    def clear(self) -> None:
        self._ragged.clear()
        if self._track is not None:
            self._track.clear()

    async def played_out(self, listener_delay_s: float) -> None:
        """Wait until what was written has been heard."""
        self._flush_ragged()
        try:
            async with asyncio.timeout(GOODBYE_S):
                while self._track is not None and self._track.buffered_secs:
                    await asyncio.sleep(CHUNK_MS / 1000)
                await asyncio.sleep(listener_delay_s)
        except TimeoutError:
            logger.debug("the last sound was not played in time")

    def stop(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
