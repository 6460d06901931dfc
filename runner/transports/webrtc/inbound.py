"""Converts the caller's packets to pcm: ordering, decoding, concealment. Runs on the loop; nothing blocks."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from runner.audio.jitter import Gap, JitterBuffer, Piece
from runner.audio.resampler import with_samples
from runner.audio.rtp import Reception, RtpPacket
from runner.transports.tape import Tape
from runner.transports.webrtc.opus import CHUNK_MS, RTP_CLOCK_HZ, OpusDecoder, open_decoder
from runner.transports.webrtc.stats import MediaCounters

logger = logging.getLogger(__name__)

OnPcm = Callable[[bytes], None]
"""Called with mono pcm at the requested rate, on the loop, about every 20 ms; must not block."""

KEPT_PIECES = 150
"""Three seconds, because the caller may speak while services connect."""

MAX_CONCEALED = 5
"""Maximum number of packets (100 ms) concealed in a row."""

DTX_BYTES = 2
"""Maximum size of a packet that announces silence without packets (RFC 6716 §2.1.9)."""

FILLED_SECS = 1.0
"""Time (s) for which such silence is passed on as sound, so that the VAD detects the end of speech."""


@dataclass(slots=True)
class Decoded:
    """Counts of packets.

    Attributes:
        packets: decoded.
        recovered: lost, but restored by forward error correction.
        concealed: lost, and concealed by the decoder.
        skipped: lost in a run too long to conceal.
        longest_run: longest run of lost packets that were not recovered.
        unusable: refused by the decoder.
    """

    packets: int = 0
    recovered: int = 0
    concealed: int = 0
    skipped: int = 0
    longest_run: int = 0
    unusable: int = 0


class InboundRtp:
    """One caller's sound. It has no task, only a timer for gaps, so a muted or silent caller costs nothing.

    Attributes:
        reception: statistics for RTCP reports; restarts with each source.
        decoded: counts of packets.
        tape: gets the packets for the call's record; None if it is not recorded.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.reception = Reception(RTP_CLOCK_HZ)
        self.decoded = Decoded()
        self.tape: Tape | None = None
        self._loop = loop
        self._buffer = JitterBuffer(RTP_CLOCK_HZ)
        self._kept: deque[Piece] = deque(maxlen=KEPT_PIECES)
        self._on_pcm: OnPcm | None = None
        self._decoder: OpusDecoder | None = None
        self._rate = 0
        self._source: int | None = None
        self._run = 0
        self._failed = False
        self._due_out = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._filling: asyncio.TimerHandle | None = None

    @property
    def buffer(self) -> JitterBuffer:
        return self._buffer

    # ------------------------------------------------------------ the receiver

    def counters(self) -> MediaCounters:
        """All counts so far."""
        decoded, buffer, reception = self.decoded, self._buffer, self.reception
        made_up = decoded.concealed + decoded.skipped
        return MediaCounters(
            expected=reception.packets_expected,
            lost=reception.packets_lost,
            late=buffer.counters.late,
            concealed=made_up,
            handed_on=made_up + decoded.packets + decoded.recovered,
            released=buffer.counters.released,
            waited_secs=buffer.counters.waited_secs,
            jitter_secs=reception.jitter_secs,
            target_secs=buffer.target_secs,
        )

    def attach(self, sample_rate: int, on_pcm: OnPcm) -> None:
        """Pass the sound to `on_pcm` from now on, beginning with what was kept."""
        self._rate, self._on_pcm, self._decoder = sample_rate, on_pcm, open_decoder(sample_rate)
        while self._kept:
            self._decode(self._kept.popleft())

    def detach(self) -> None:
        self._on_pcm = None

    async def aclose(self) -> None:
        self._on_pcm = None
        for timer in (self._timer, self._filling):
            if timer is not None:
                timer.cancel()
        self._timer = self._filling = None

    # ------------------------------------------------------------ from the network

    def receive(self, packet: RtpPacket) -> bool:
        """Process one Opus packet. Returns True if it is the first of a new source."""
        now = self._loop.time()
        if self.tape is not None:
            self.tape.rtp(packet, inbound=True)
        is_new = packet.ssrc != self._source
        if is_new:
            self._source = packet.ssrc
            self.reception = Reception(RTP_CLOCK_HZ)
        self.reception.add(packet, now)
        if self._filling is not None:
            self._filling.cancel()
            self._filling = None
        self._hand_on(self._buffer.add(packet, now))
        if self._buffer.held:
            self._wait()
        return is_new

    def _wait(self) -> None:
        if self._timer is None and (due := self._buffer.due) is not None:
            self._timer = self._loop.call_at(due, self._overdue)

    def _overdue(self) -> None:
        self._timer = None
        self._hand_on(self._buffer.poll(self._loop.time()))
        self._wait()

    def _hand_on(self, pieces: list[Piece]) -> None:
        if self._on_pcm is None:
            self._kept.extend(pieces)
            return
        for piece in pieces:
            self._decode(piece)

    # ------------------------------------------------------------ to pcm

    def _decode(self, piece: Piece) -> None:
        if isinstance(piece, Gap):
            self._bridge(piece)
            return
        self._run = 0
        if not piece.payload:
            return  # a bandwidth probe: it has a sequence number but no sound
        if self._emit(lambda decoder: decoder.decode(piece.payload)):
            self.decoded.packets += 1
        if len(piece.payload) <= DTX_BYTES:
            self._fill(self._loop.time() + FILLED_SECS)

    def _bridge(self, gap: Gap) -> None:
        assert self._decoder is not None
        samples = gap.ticks // gap.packets * self._rate // RTP_CLOCK_HZ
        following = gap.following
        corrected = following is not None and self._decoder.can_recover(following)
        for _ in range(gap.packets - corrected):
            self._conceal(samples)
        if corrected and following is not None:
            self.decoded.recovered += 1
            self._emit(lambda decoder: decoder.recover(following, samples))

    def _conceal(self, samples: int) -> None:
        self._run += 1
        self.decoded.longest_run = max(self.decoded.longest_run, self._run)
        if self._run > MAX_CONCEALED:
            self.decoded.skipped += 1
            return
        self.decoded.concealed += 1
        self._emit(lambda decoder: decoder.conceal(samples))

    def _emit(self, make: Callable[[OpusDecoder], bytes]) -> bool:
        if self._decoder is None or self._on_pcm is None:
            return False
        try:
            pcm = make(self._decoder)
        except Exception as error:  # a bad packet must not end the call
            self.decoded.unusable += 1
            logger.debug("a packet of Opus cannot be decoded: %s", error)
            return False
        self._give(self._at_our_pace(pcm))
        return True

    def _at_our_pace(self, pcm: bytes) -> bytes:
        """Compensate the drift of the caller's clock by removing or inserting single samples."""
        drift, samples = self._buffer.drift, len(pcm) // 2
        self._due_out += drift.share * samples
        if -1 < self._due_out < 1 or samples < 2:
            return pcm
        count = int(self._due_out)
        self._due_out -= count
        drift.took_out(count / self._rate)
        return with_samples(pcm, samples - count)

    def _give(self, pcm: bytes) -> None:
        """Pass pcm on; exceptions must not reach the socket's protocol, which would close."""
        try:
            if pcm and self._on_pcm is not None:
                self._on_pcm(pcm)
        except Exception:  # the call continues
            if not self._failed:
                self._failed = True
                logger.exception("passing sound to the pipeline failed")

    # ------------------------------------------------------------ silence that is not sent

    def _fill(self, until: float) -> None:
        now = self._loop.time()
        self._filling = None
        if now < until:
            self._filling = self._loop.call_at(now + CHUNK_MS / 1000, self._fill_one, until)

    def _fill_one(self, until: float) -> None:
        self._give(bytes(self._rate * CHUNK_MS // 1000 * 2))
        self._fill(until)
