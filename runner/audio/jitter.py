"""The jitter buffer: packets and `now` (s) in; packets in order, and gaps, out. Pure.

A bot has no loudspeaker to feed, so it can take audio as soon as it arrives: packets in order pass straight
through, and only packets behind a missing one are held. The buffer waits for a missing packet until the
*target* has passed since its expected arrival, which is the arrival at the least delay of late. The target
is 20 ms on a calm network and up to 60 ms if packets were seen to arrive that late. So on a calm network one
lost packet is concealed as soon as its successor arrives (with the successor's forward error correction), and
held packets are released at once: the buffer keeps no depth.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from runner.audio.rtp import RtpPacket, ahead16, ahead32

MIN_TARGET_SECS = 0.020
MAX_TARGET_SECS = 0.060
WINDOW_SECS = 2.0
"""The least and greatest delay are taken over the last one to two windows, so that they follow clock drift,
changed paths, and a network that calms down."""

MAX_JUMP = 3000
"""A larger jump in sequence numbers restarts the stream (RFC 3550 A.1, MAX_DROPOUT)."""

REMEMBERED = 256
_DEFAULT_PTIME_SECS = 0.020
_MAX_PTIME_SECS = 0.120


@dataclass(frozen=True, slots=True)
class Gap:
    """Packets that did not arrive in time.

    Attributes:
        packets: the number of packets.
        ticks: the length of their audio, in ticks of the RTP clock.
        following: the next payload, which may carry forward error correction for the last of them.
    """

    packets: int
    ticks: int
    following: bytes | None


Piece = RtpPacket | Gap


@dataclass(slots=True)
class JitterCounters:
    """Counters of a buffer.

    Attributes:
        received: packets added.
        released: packets released, in order.
        missing: packets given up, replaced by a `Gap`.
        late: packets given up that arrived later.
        duplicates: packets that had arrived before.
        restarts: restarts of the stream.
        waited_secs: total time that released packets were held.
    """

    received: int = 0
    released: int = 0
    missing: int = 0
    late: int = 0
    duplicates: int = 0
    restarts: int = 0
    waited_secs: float = 0.0


@dataclass(slots=True)
class _Delays:
    """The extremes of a window (s), relative to an arbitrary zero."""

    least: float
    most: float


DRIFT_WINDOW_SECS = 5.0
"""Length of the windows whose least delays are compared."""

DRIFT_TIME_CONSTANT_SECS = 20.0
MAX_DRIFT = 0.001
"""0.1 %: quartz clocks are off by 0.02 % at most, and the change of pitch is inaudible."""

MAX_STEP_SECS = MAX_DRIFT * DRIFT_WINDOW_SECS
"""A larger change from one window to the next is a new network path, not clock drift."""

MOST_GAINED_SECS = 1.0
"""A larger change means that a clock was reset."""


class DriftMeter:
    """Measures from packet arrivals how far the caller's clock has run ahead of ours.

    A clock that is 200 ppm fast delivers 0.3 s more audio in 25 minutes than a bot plays in that time, so the
    delay would grow. The least delay of a window follows the clock, however uneven the network is. A longer
    path is accepted as it is; a shorter one delivers surplus audio, which is taken out as drift is.

    Attributes:
        ahead_secs: surplus audio that has not been taken out yet; negative if the caller's clock is slow.
        share: the part (of 1) by which to shorten audio now; negative: lengthen.
    """

    def __init__(self) -> None:
        self.ahead_secs = self.share = 0.0
        self._least: float | None = None
        self._before: float | None = None
        self._until = 0.0

    def restart(self) -> None:
        """Start again for another source, which has its own clock."""
        self._least = self._before = None

    def add(self, delay: float, now: float) -> None:
        """Add a packet's delay (s): its arrival minus the caller's time, relative to an arbitrary zero."""
        if self._least is None:
            self._least, self._until = delay, now + DRIFT_WINDOW_SECS
        elif now < self._until:
            self._least = min(self._least, delay)
        else:
            self._close(self._least)
            self._least, self._until = delay, now + DRIFT_WINDOW_SECS

    def _close(self, least: float) -> None:
        if self._before is not None and -MAX_STEP_SECS < (gained := self._before - least) < MOST_GAINED_SECS:
            self.ahead_secs += gained
        self._before = least
        self._steer()

    def took_out(self, secs: float) -> None:
        """Record that this much audio (s) was taken out, or inserted if negative."""
        self.ahead_secs -= secs

    def _steer(self) -> None:
        self.share = max(-MAX_DRIFT, min(MAX_DRIFT, self.ahead_secs / DRIFT_TIME_CONSTANT_SECS))


class JitterBuffer:
    """Puts one source's packets in order.

    Attributes:
        counters: its counters.
        drift: the drift of the sender's clock against ours.
    """

    def __init__(self, clock_hz: int = 48000) -> None:
        self.counters = JitterCounters()
        self.drift = DriftMeter()
        self._clock_hz = clock_hz
        self._frame_ticks = round(_DEFAULT_PTIME_SECS * clock_hz)
        self._given_up: deque[int] = deque(maxlen=REMEMBERED)
        self._begin()

    def _begin(self) -> None:
        self._next: int | None = None
        self._held: dict[int, tuple[RtpPacket, float]] = {}
        self._last_timestamp = 0
        self._clock: int | None = None
        self._clock_of = 0
        self._before = self._lately = _Delays(0.0, 0.0)
        self._window_until = 0.0
        self._given_up.clear()
        self.drift.restart()

    # ------------------------------------------------------------ in and out

    def add(self, packet: RtpPacket, now: float) -> list[Piece]:
        """Take a packet; return what it releases."""
        self.counters.received += 1
        place = self._place(packet)
        self._measure(packet.timestamp, now)
        assert self._next is not None
        if place == self._next and not self._held:
            self._release(packet)
            return [packet]
        if place < self._next or place in self._held:
            self._note_old(place)
            return []
        self._held[place] = (packet, now)
        return self.poll(now)

    def poll(self, now: float) -> list[Piece]:
        """What is released because time has passed."""
        pieces: list[Piece] = []
        while self._held:
            assert self._next is not None
            if (entry := self._held.pop(self._next, None)) is not None:
                packet, came_at = entry
                self.counters.waited_secs += now - came_at
                self._release(packet)
                pieces.append(packet)
            elif (overdue := self._overdue(now)) > 0:
                pieces.append(self._give_up(overdue))
            else:
                break
        return pieces

    @property
    def due(self) -> float | None:
        """When to call `poll` at the latest (s); None if the buffer waits for nothing."""
        return self._deadline(self._next) if self._held and self._next is not None else None

    @property
    def target_secs(self) -> float:
        """How long (s) to wait for a missing packet after its expected arrival."""
        spread = max(self._before.most, self._lately.most) - self._floor
        return min(MAX_TARGET_SECS, max(MIN_TARGET_SECS, spread))

    @property
    def held(self) -> int:
        """Number of packets held behind a missing one."""
        return len(self._held)

    # ------------------------------------------------------------ order

    def _place(self, packet: RtpPacket) -> int:
        """The packet's sequence number, unwrapped. Too large a jump restarts the stream."""
        if self._next is not None:
            ahead = ahead16(packet.sequence, self._next & 0xFFFF)
            if abs(ahead) <= MAX_JUMP:
                return self._next + ahead
            self.counters.restarts += 1
            self._begin()
        # High enough that an older packet's number is positive too.
        self._next = packet.sequence + 0x10000
        self._last_timestamp = packet.timestamp
        return self._next

    def _release(self, packet: RtpPacket) -> None:
        assert self._next is not None
        step = ahead32(packet.timestamp, self._last_timestamp)
        if 0 < step <= _MAX_PTIME_SECS * self._clock_hz:
            self._frame_ticks = step
        self._last_timestamp = packet.timestamp
        self._next += 1
        self.counters.released += 1

    def _note_old(self, place: int) -> None:
        if place in self._given_up:
            self._given_up.remove(place)
            self.counters.late += 1
        else:
            self.counters.duplicates += 1

    # ------------------------------------------------------------ gaps

    def _overdue(self, now: float) -> int:
        """How many of the missing packets, from the first, are overdue."""
        assert self._next is not None
        first = min(self._held)
        for place in range(self._next, first):
            if self._deadline(place) > now:
                return place - self._next
        return first - self._next

    def _deadline(self, place: int) -> float:
        first = min(self._held)
        packet, came_at = self._held[first]
        ticks = self._clock_at(packet.timestamp) - (first - place) * self._frame_ticks
        turn = self._floor + ticks / self._clock_hz
        # Upper bound, independent of the clocks: time since the next packet arrived.
        return min(turn + self.target_secs, came_at + MAX_TARGET_SECS)

    def _give_up(self, packets: int) -> Gap:
        assert self._next is not None
        places = range(self._next, self._next + packets)
        self._given_up.extend(places[-REMEMBERED:])
        self.counters.missing += packets
        self._next += packets
        # The frame length must not be measured across a gap.
        ticks = packets * self._frame_ticks
        self._last_timestamp = (self._last_timestamp + ticks) & 0xFFFFFFFF
        entry = self._held.get(self._next)
        return Gap(packets, ticks, entry[0].payload if entry is not None else None)

    # ------------------------------------------------------------ time

    def _clock_at(self, timestamp: int) -> int:
        """RTP time since the first packet, unwrapped."""
        if self._clock is None:
            self._clock, self._clock_of = 0, timestamp
        return self._clock + ahead32(timestamp, self._clock_of)

    def _measure(self, timestamp: int, now: float) -> None:
        """Update the least and the greatest delay."""
        begins = self._clock is None
        clock = self._clock_at(timestamp)
        self._clock, self._clock_of = clock, timestamp
        delay = now - clock / self._clock_hz
        self.drift.add(delay, now)
        if begins:
            self._lately = _Delays(delay, delay)
        if begins or now >= self._window_until:
            self._before, self._lately = self._lately, _Delays(delay, delay)
            self._window_until = now + WINDOW_SECS
        elif delay < self._lately.least:
            self._lately.least = delay
        elif delay > self._lately.most:
            self._lately.most = delay

    @property
    def _floor(self) -> float:
        return min(self._before.least, self._lately.least)
