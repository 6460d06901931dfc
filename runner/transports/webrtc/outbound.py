"""Sends the bot's sound: one RTP packet every 20 ms.

All senders of a loop share one clock. 20 ms are divided into phases; the members of a phase share a timer,
and an empty phase has none. So forty calls wake the loop 200 times a second instead of 2,000.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from runner.audio.rtp import RtpPacket, build_rtp
from runner.eventloop.waiting import of_loop
from runner.transports.tape import Tape
from runner.transports.webrtc.opus import CHUNK_MS, RTP_CHUNK, OpusEncoder, open_encoder

if TYPE_CHECKING:
    from runner.transports.webrtc.tracks import OutboundAudioTrack

logger = logging.getLogger(__name__)

TICK_SECS = 0.020
PHASES = 4
CATCH_UP_SECS = 0.06

OnTick = Callable[[int], None]
"""Called with the number of the tick, counted from the beginning of the loop's clock. After a stall of up to
`CATCH_UP_SECS` the late ticks follow at once (the listener's jitter buffer wants them); after a longer one
the numbers skip to now."""


def ticker_of(loop: asyncio.AbstractEventLoop) -> Ticker:
    """The one ticker of a loop."""
    return of_loop(loop, Ticker, Ticker)


class _Phase:
    """The members that tick together: the n-th time at `offset + n * 20 ms`, so nothing drifts."""

    def __init__(self, offset_secs: float) -> None:
        self.members: list[OnTick] = []
        self._offset_secs = offset_secs
        self._timer: asyncio.TimerHandle | None = None
        self._tick = 0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._tick = int(loop.time() / TICK_SECS) + 1
        self._timer = loop.call_at(self._due, self._run, loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        mine = self._timer
        late = loop.time() - self._due
        if late > CATCH_UP_SECS:
            self._tick += int(late / TICK_SECS)
        # A loop rounds its timers; the half millisecond keeps a tick from waiting for its own time again.
        while self._timer is mine and loop.time() >= self._due - 0.0005:
            tick, self._tick = self._tick, self._tick + 1
            for member in list(self.members):
                self._call(member, tick)
        if self._timer is mine:  # the phase was not emptied or refilled meanwhile
            self._timer = loop.call_at(self._due, self._run, loop)

    def _call(self, member: OnTick, tick: int) -> None:
        try:
            member(tick)
        except Exception:  # an error in one call must not stop others
            logger.exception("the audio sender of a WebRTC call failed; this call gets no more sound")
            if member in self.members:
                self.members.remove(member)

    @property
    def _due(self) -> float:
        return self._offset_secs + self._tick * TICK_SECS


class Ticker:
    """Calls its members every 20 ms until they leave."""

    def __init__(self) -> None:
        self._phases = [_Phase(TICK_SECS * index / PHASES) for index in range(PHASES)]

    def join(self, member: OnTick) -> None:
        phase = min(self._phases, key=lambda phase: len(phase.members))
        phase.members.append(member)
        if len(phase.members) == 1:
            phase.start(asyncio.get_running_loop())

    def leave(self, member: OnTick) -> None:
        """Remove a member, also from inside a tick; ignores unknown members."""
        for phase in self._phases:
            if member in phase.members:
                phase.members.remove(member)
                if not phase.members:
                    phase.stop()


DTX_BYTES = 2
DTX_REFRESH_TICKS = 400 // CHUNK_MS
"""While silent, a packet every 400 ms (RFC 7587 §3.1.3)."""

LEAD_PACKETS = 2
"""Number of silent packets sent together with the first one, to fill the listener's jitter buffer. A browser
plays its first packet at once with an empty buffer, and only stretches sound to fill it (libwebrtc's NetEq:
2.5 ms per 100 ms, up to 80 ms), so any stall of 10 ms in the first second would be audible. Later packets are
on time, and the buffer shrinks to what the network needs."""

SETTLED_TICKS = 25
"""Number of silent packets after which all further ones are equal and are not encoded again."""


class RtpWire(Protocol):
    """Sends packets."""

    payload_type: int | None
    ssrc: int

    def send_rtp(self, data: bytes, timestamp: int, payload_bytes: int) -> None: ...


class OutboundRtp:
    """Sends one track to one peer.

    RTP time follows the clock even if no packets are sent, so a pause is a pause for the listener, too.

    Args:
        lead_packets: number of silent packets sent with the first one; 0 for a peer without a jitter buffer,
            such as a bot, where they would delay all sound.

    Attributes:
        dtx: whether the caller wants no packets while the bot is silent.
        on_hold: whether the caller accepts no sound now; due sound is dropped.
        packets: sent so far.
        reported_loss: share (0 to 1) of our packets lost, as last reported; None before.
        tape: takes the packets, for the call's record; None if it is not recorded.
    """

    def __init__(self, wire: RtpWire, lead_packets: int = LEAD_PACKETS) -> None:
        self.dtx = False
        self.on_hold = False
        self.packets = 0
        self.reported_loss: float | None = None
        self.tape: Tape | None = None
        self._wire = wire
        self._lead_packets = lead_packets
        self._track: OutboundAudioTrack | None = None
        self._encoder: OpusEncoder | None = None
        self._sequence = secrets.randbits(15)  # the lower half: no wrap comes early (RFC 3711 §3.3.1)
        self._time_origin = secrets.randbits(32)
        self._first_tick: int | None = None
        self._silent_ticks = 0
        self._paused_ticks: int | None = None
        self._hush: bytes | None = None
        self._ticker = ticker_of(asyncio.get_running_loop())

    def play(self, track: OutboundAudioTrack | None) -> None:
        """Send this track from now on; None: nothing."""
        self._ticker.leave(self._tick)
        self._track = track
        if track is not None:
            self._encoder, self._hush = open_encoder(track.sample_rate), None
            self._ticker.join(self._tick)

    def expect_loss(self, share: float) -> None:
        """The peer has reported this share (0 to 1) of our packets as lost."""
        self.reported_loss = share
        if self._encoder is not None:
            self._encoder.expect_loss(share)
            self._hush = None

    # ------------------------------------------------------------ every 20 ms

    def _tick(self, tick: int) -> None:
        track, wire = self._track, self._wire
        if self.on_hold and track is not None:
            track.take()
            return
        if track is None or self._encoder is None or wire.payload_type is None:
            return
        if self._first_tick is None:
            self._first_tick = tick - self._lead_packets
            for ahead in range(self._lead_packets):
                self._send(self._encoder.encode(track.silence), ahead * RTP_CHUNK)
        pcm = track.take()
        payload = self._silence(track.silence) if pcm is None else self._sound(pcm)
        if payload is not None:
            self._send(payload, (tick - self._first_tick) * RTP_CHUNK)

    def _sound(self, pcm: bytes) -> bytes:
        assert self._encoder is not None
        self._silent_ticks, self._paused_ticks, self._hush = 0, None, None
        return self._encoder.encode(pcm)

    def _silence(self, pcm: bytes) -> bytes | None:
        assert self._encoder is not None
        self._silent_ticks += 1
        if self._paused_ticks is not None:
            self._paused_ticks += 1
            if self._paused_ticks % DTX_REFRESH_TICKS:
                return None
        elif self._hush is not None:
            return self._hush
        payload = self._encoder.encode(pcm, silence=self.dtx)
        if self.dtx and len(payload) <= DTX_BYTES:
            self._paused_ticks = self._paused_ticks or 0
        elif not self.dtx and self._silent_ticks >= SETTLED_TICKS:
            self._hush = payload
        return payload

    def _send(self, payload: bytes, clock: int) -> None:
        wire = self._wire
        assert wire.payload_type is not None
        timestamp = (self._time_origin + clock) & 0xFFFFFFFF
        begins = self.packets == 0
        packet = RtpPacket(wire.payload_type, self._sequence, timestamp, wire.ssrc, payload, begins)
        wire.send_rtp(build_rtp(packet), timestamp, len(payload))
        if self.tape is not None:
            self.tape.rtp(packet, inbound=False)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.packets += 1
