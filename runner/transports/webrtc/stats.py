"""Statistics of a call's sound over the last seconds, from counters that only grow. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from runner.frames import SystemFrame

STATS_EVERY_SECS = 5.0


@dataclass(frozen=True, slots=True)
class SessionStats(SystemFrame):
    """Statistics of the sound since the last such frame. Shares are from 0 to 1; None: not known yet.

    Attributes:
        round_trip_ms: round-trip time, from the caller's reports.
        jitter_ms: jitter of the caller's packets (RFC 3550).
        loss: share of the caller's packets that were lost.
        late: share that came too late to be used.
        concealed: share of the sound that was concealed, because it was neither received nor recovered.
        buffer_ms: average time that packets waited for reordering.
        target_ms: current time to wait for a missing packet.
        outbound_loss: share of sent packets that the caller reports as lost.
        packets: number of packets that the caller sent, as far as known.
    """

    round_trip_ms: float | None = None
    jitter_ms: float = 0.0
    loss: float | None = None
    late: float | None = None
    concealed: float | None = None
    buffer_ms: float | None = None
    target_ms: float = 0.0
    outbound_loss: float | None = None
    packets: int = 0

    def as_message(self) -> dict[str, float | int | None]:
        """For a JSON message: rounded, without unknown values."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: round(value, 4) for name, value in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaCounters:
    """Counters since the peer connected; the last five are current values."""

    expected: int = 0
    lost: int = 0
    late: int = 0
    concealed: int = 0
    handed_on: int = 0
    released: int = 0
    waited_secs: float = 0.0
    jitter_secs: float = 0.0
    target_secs: float = 0.0
    round_trip_secs: float | None = None
    outbound_loss: float | None = None


class StatsMeter:
    """Computes statistics from the difference of successive readings."""

    def __init__(self) -> None:
        self._before = MediaCounters()

    def read(self, now: MediaCounters) -> SessionStats:
        before, self._before = self._before, now
        if now.expected < before.expected:  # another source, or another peer: counted from zero
            before = MediaCounters()
        expected = now.expected - before.expected
        waited = _share(now.waited_secs - before.waited_secs, now.released - before.released)
        round_trip = now.round_trip_secs
        return SessionStats(
            round_trip_ms=round_trip * 1000 if round_trip is not None else None,
            jitter_ms=now.jitter_secs * 1000,
            loss=_share(max(0, now.lost - before.lost), expected),
            late=_share(now.late - before.late, expected),
            concealed=_share(now.concealed - before.concealed, now.handed_on - before.handed_on),
            buffer_ms=waited * 1000 if waited is not None else None,
            target_ms=now.target_secs * 1000,
            outbound_loss=now.outbound_loss,
            packets=expected,
        )


class SoundFigures:
    """Statistics of one call's sound, for `/status` and logs.

    Args:
        read_counters: returns the counters; None without a peer.
    """

    def __init__(self, read_counters: Callable[[], MediaCounters | None]) -> None:
        self._read_counters = read_counters
        self._meter = StatsMeter()
        self._latest: SessionStats | None = None

    def read(self) -> SessionStats | None:
        """Statistics since the last call of this method; None without a peer."""
        counters = self._read_counters()
        if counters is None:
            return None
        self._latest = self._meter.read(counters)
        return self._latest

    def latest(self) -> dict[str, float | int | None]:
        """The last reading, for a JSON answer; the whole call so far if nothing reads regularly."""
        if self._latest is not None:
            return self._latest.as_message()
        counters = self._read_counters()
        return StatsMeter().read(counters).as_message() if counters is not None else {}

    def sentence(self) -> str:
        """A summary of the whole call for its last log line; "" if no sound came."""
        counters = self._read_counters()
        return summary(counters) if counters is not None and counters.expected else ""


def summary(counters: MediaCounters) -> str:
    """A whole call in a sentence or two; normal figures are left out."""
    lost = _percent(_share(max(0, counters.lost), counters.expected))
    made_up = _percent(_share(counters.concealed, counters.handed_on))
    if lost == made_up == NOTHING:
        summary = "The caller's sound came whole"
    else:
        waited_ms = 1000 * (_share(counters.waited_secs, counters.released) or 0.0)
        summary = f"Of the caller's sound {lost} was lost and {made_up} made up"
        summary += f"; it came {counters.jitter_secs * 1000:.0f} ms uneven and waited {waited_ms:.0f} ms here"
    if (bots_lost := _percent(counters.outbound_loss)) != NOTHING:
        summary += f". Of the bot's, {bots_lost} was lost lately"
    if counters.round_trip_secs is not None:
        summary += f"; round trip {counters.round_trip_secs * 1000:.0f} ms"
    return f"{summary}."


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0.0):.1f} %"


NOTHING = _percent(0)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
