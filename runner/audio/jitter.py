"""The jitter buffer: packets and `now` (s) in; packets in order, and gaps, out. Pure.

A bot is no loudspeaker: it can take sound as soon as it is there. So a packet that comes in order goes
straight through, and nothing is held back but what stands behind a missing packet. That one is waited for
until its turn is over by the *target*: 20 ms on a calm network, up to 60 ms as far as packets were seen to
come late. Its turn is when it would have come at the least delay seen lately. So one lost packet on a calm
network is concealed as soon as its successor is there (whose forward error correction serves for it), and
what has piled up is handed over at once: there is no depth that could stay.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from runner.audio.rtp import RtpPacket, ahead16, ahead32

MIN_TARGET_SECS = 0.020
MAX_TARGET_SECS = 0.060
WINDOW_SECS = 2.0
"""The least and the greatest delay are looked for over the last one to two such windows, so that they follow
clocks that drift, paths that change, and a network that calms down."""

MAX_JUMP = 3000
"""A sequence number further off restarts the stream (RFC 3550 A.1, MAX_DROPOUT)."""

REMEMBERED = 256
_DEFAULT_PTIME_SECS = 0.020
_MAX_PTIME_SECS = 0.120


@dataclass(frozen=True, slots=True)
class Gap:
    """Packets that did not come in time.

    Attributes:
        packets: how many.
        ticks: their sound, in ticks of the RTP clock.
        following: the payload right behind, in which forward error correction may stand for the last of them.
    """

    packets: int
    ticks: int
    following: bytes | None


Piece = RtpPacket | Gap


@dataclass(slots=True)
class JitterCounters:
    """What a buffer has done so far.

    Attributes:
        received: packets that came in.
        released: packets that went out, in order.
        missing: packets that were given up, so that a `Gap` stands for them.
        late: of those, how many came after all.
        duplicates: packets that were there already.
        restarts: how often the stream restarted.
        waited_secs: the sum of the time that released packets spent here.
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
    """The extremes of a window, on a scale of its own (s)."""

    least: float
    most: float


DRIFT_WINDOW_SECS = 5.0
"""The least delay is compared over windows of this length."""

DRIFT_TIME_CONSTANT_SECS = 20.0
MAX_DRIFT = 0.001
"""A tenth of a percent: quartz clocks are off by 0.02 % at most, and no ear hears the change of pitch."""

MAX_STEP_SECS = MAX_DRIFT * DRIFT_WINDOW_SECS
"""A change from one window to the next above this is another path, not a clock."""

MOST_GAINED_SECS = 1.0
"""A larger change is a clock that was reset."""


class DriftMeter:
    """By how much the caller's clock has run ahead of ours, from when packets arrive.

    A clock that is fast by 200 ppm delivers 0.3 s of sound more in 25 minutes than a bot plays in that time,
    and that would wait, longer and longer. The least delay of a window follows the clock, however uneven the
    network is. A path that has become longer is taken as it is; one that has become shorter has brought sound
    together, which is worked off as drift is.

    Attributes:
        ahead_secs: sound that has come beyond what our clock allows, and was not taken out yet; negative if
            the caller's clock is slow.
        share: by what part (of 1) sound is to be shortened now; negative: lengthened.
    """

    def __init__(self) -> None:
        self.ahead_secs = self.share = 0.0
        self._least: float | None = None
        self._before: float | None = None
        self._until = 0.0

    def restart(self) -> None:
        """Another source, with a clock of its own."""
        self._least = self._before = None

    def add(self, delay: float, now: float) -> None:
        """A packet's delay (s) on a scale of its own: arrival less the caller's time."""
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
        """So much sound (s) was taken out, or put in if negative."""
        self.ahead_secs -= secs

    def _steer(self) -> None:
        self.share = max(-MAX_DRIFT, min(MAX_DRIFT, self.ahead_secs / DRIFT_TIME_CONSTANT_SECS))


class JitterBuffer:
    """One source's packets, put in order.

    Attributes:
        counters: what it has done.
        drift: how the sender's clock runs against ours.
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
        """Takes a packet; returns what can go on by it."""
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
        """What can go on because time has passed."""
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
        """When `poll` should be called at the latest (s); None if nothing is waited for."""
        return self._deadline(self._next) if self._held and self._next is not None else None

    @property
    def target_secs(self) -> float:
        """How long after its turn a missing packet is waited for."""
        spread = max(self._before.most, self._lately.most) - self._floor
        return min(MAX_TARGET_SECS, max(MIN_TARGET_SECS, spread))

    @property
    def held(self) -> int:
        """Packets that wait for a missing one."""
        return len(self._held)

    # ------------------------------------------------------------ order

    def _place(self, packet: RtpPacket) -> int:
        """The packet's number, unwrapped. A jump too far restarts the stream."""
        if self._next is not None:
            ahead = ahead16(packet.sequence, self._next & 0xFFFF)
            if abs(ahead) <= MAX_JUMP:
                return self._next + ahead
            self.counters.restarts += 1
            self._begin()
        # So far above zero that an older packet's number is above zero too.
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
        """How many of the missing packets, from the first, need not be waited for any longer."""
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
        # Whatever the clocks say: never longer behind a packet that is there.
        return min(turn + self.target_secs, came_at + MAX_TARGET_SECS)

    def _give_up(self, packets: int) -> Gap:
        assert self._next is not None
        places = range(self._next, self._next + packets)
        self._given_up.extend(places[-REMEMBERED:])
        self.counters.missing += packets
        self._next += packets
        # What follows starts a new step: the length of one frame is not learnt across a gap.
        ticks = packets * self._frame_ticks
        self._last_timestamp = (self._last_timestamp + ticks) & 0xFFFFFFFF
        entry = self._held.get(self._next)
        return Gap(packets, ticks, entry[0].payload if entry is not None else None)

    # ------------------------------------------------------------ time

    def _clock_at(self, timestamp: int) -> int:
        """RTP time, unwrapped, from the first packet on."""
        if self._clock is None:
            self._clock, self._clock_of = 0, timestamp
        return self._clock + ahead32(timestamp, self._clock_of)

    def _measure(self, timestamp: int, now: float) -> None:
        """Follows the least delay, and how far packets come behind it."""
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
