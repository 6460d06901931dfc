"""Converts between tracks and pcm.

The bot writes to `OutboundAudioTrack(sample_rate)`: `write`, `clear`, `buffered_secs`. `outbound.py` takes
due sound from it; aiortc's own sender (for a caller's microphone) uses `recv`.
`InboundAudio(track).attach(sample_rate, on_pcm)` reads an aiortc track; a server's sound comes through
`inbound.py`, which has the same methods.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from runner.audio.level import downmix
from runner.audio.resampler import Resampler
from runner.transports.webrtc.inbound import OnPcm
from runner.transports.webrtc.opus import (
    CHUNK_MS,
    RTP_CHUNK,
    RTP_CLOCK_HZ,
    OpusEncoder,
    check_rate,
    open_encoder,
)

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, Packet

CHUNK_SECS = CHUNK_MS / 1000
BYTES_PER_SAMPLE = 2
_RTP_TIME_BASE = Fraction(1, RTP_CLOCK_HZ)


class InboundAudio:
    """Reads the caller's track without ever waiting for the pipeline.

    Until a sink is attached, the last three seconds are kept, because the caller may speak while services
    connect. Without packets (a page without its microphone sends none) nothing is called; the transport's
    input then inserts silence so that a turn can end.
    """

    KEPT_CHUNKS = 150

    def __init__(self, track: MediaStreamTrack) -> None:
        self._track = track
        self._kept: deque[AudioFrame] = deque(maxlen=self.KEPT_CHUNKS)
        self._on_pcm: OnPcm | None = None
        self._resampler: Resampler | None = None
        self._rate = 0
        self._reader = asyncio.create_task(self._read(), name="webrtc-audio-in")

    def attach(self, sample_rate: int, on_pcm: OnPcm) -> None:
        """From now on the sound goes to `on_pcm`, beginning with what was kept."""
        self._rate, self._on_pcm, self._resampler = sample_rate, on_pcm, None
        while self._kept:
            self._deliver(self._kept.popleft())

    def detach(self) -> None:
        self._on_pcm = None

    async def aclose(self) -> None:
        self._on_pcm = None
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self) -> None:
        with contextlib.suppress(MediaStreamError):  # the track has ended
            while True:
                frame = cast("AudioFrame", await self._track.recv())
                if self._on_pcm is None:
                    self._kept.append(frame)
                else:
                    self._deliver(frame)

    def _deliver(self, frame: AudioFrame) -> None:
        if self._on_pcm is None:
            return
        if self._resampler is None:
            self._resampler = Resampler(frame.sample_rate, self._rate)
        pcm = self._resampler.process(_mono(frame))
        if pcm:
            self._on_pcm(pcm)


def _mono(frame: AudioFrame) -> bytes:
    """Mix down to mono; aiortc decodes Opus to interleaved stereo."""
    channels = len(frame.layout.channels)
    # The plane may be padded behind its samples.
    pcm = bytes(memoryview(frame.planes[0])[: frame.samples * channels * BYTES_PER_SAMPLE])
    return pcm if channels == 1 else downmix(pcm, channels)


class OutboundAudioTrack(MediaStreamTrack):
    """The bot's queued sound: at most two chunks of 20 ms, so that an interruption takes effect soon.

    `take` returns the next chunk. If aiortc's sender pulls with `recv`, that also sets the pace: packet n is
    due at `origin + n * 20 ms` on the loop's clock, so nothing drifts. After a stall of up to
    `CATCH_UP_SECS`, late packets are sent at once, for the listener's jitter buffer; after a longer one, the
    timeline and RTP time skip to now, and no sound is lost.
    """

    kind = "audio"
    BUFFERED_CHUNKS = 2
    CATCH_UP_SECS = 0.06

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.skipped = 0
        check_rate(sample_rate)
        self._encoder: OpusEncoder | None = None
        self._chunk_bytes = sample_rate * CHUNK_MS // 1000 * BYTES_PER_SAMPLE
        self.silence = bytes(self._chunk_bytes)
        self._chunks: deque[bytes] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self._generation = 0
        self._origin: float | None = None
        self._slot = 0

    async def write(self, pcm: bytes) -> None:
        """Queue one chunk of at most 20 ms; returns when there is room for it. Chunks are dropped once the
        track has ended."""
        if len(pcm) > self._chunk_bytes:
            raise ValueError(f"a chunk has at most {self._chunk_bytes} bytes (20 ms), not {len(pcm)}")
        generation = self._generation
        while not self._room.is_set():
            await self._room.wait()
        if generation != self._generation or self.readyState != "live":
            return  # cleared while waiting: it belongs to an interrupted reply
        self._chunks.append(pcm.ljust(self._chunk_bytes, b"\0"))
        if len(self._chunks) >= self.BUFFERED_CHUNKS:
            self._room.clear()

    def clear(self) -> None:
        """Drop all queued sound, including that of a waiting `write`."""
        self._generation += 1
        self._chunks.clear()
        self._room.set()

    @property
    def buffered_secs(self) -> float:
        """Queued sound (s)."""
        return len(self._chunks) * CHUNK_SECS

    def take(self) -> bytes | None:
        """The chunk that is due now; None if the bot is silent."""
        if not self._chunks:
            return None
        self._room.set()
        return self._chunks.popleft()

    def stop(self) -> None:
        super().stop()
        self.clear()

    async def recv(self) -> Packet[AudioStream]:
        """Called by aiortc's sender for the next packet; waits until it is due."""
        if self.readyState != "live":
            raise MediaStreamError
        if self._encoder is None:
            self._encoder = open_encoder(self.sample_rate)
        slot = await self._next_slot()
        packet = cast("Packet[AudioStream]", av.Packet(self._encoder.encode(self.take() or self.silence)))
        packet.pts, packet.time_base = slot * RTP_CHUNK, _RTP_TIME_BASE
        return packet

    async def _next_slot(self) -> int:
        now = asyncio.get_running_loop().time()
        if self._origin is None:
            self._origin = now
        late = now - (self._origin + self._slot * CHUNK_SECS)
        if late > self.CATCH_UP_SECS:
            missed = int(late / CHUNK_SECS)
            self._slot += missed
            self.skipped += missed
        elif late < 0:
            await asyncio.sleep(-late)
        self._slot += 1
        return self._slot - 1
