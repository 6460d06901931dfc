"""The sound of a record: its media put where it was spoken, and where the caller heard it.

Pure: lines and media in, pcm out. Times are seconds of the call, pcm is s16le mono.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runner.audio.g711 import alaw_decode, ulaw_decode
from runner.audio.resampler import Resampler
from runner.records.wire import WireLine, clears
from runner.serializers.protobuf import SOUND_FIELD, Kind, is_frame, parse_frame
from runner.transports.webrtc.opus import RTP_CLOCK_HZ, OpusError, open_decoder

Samples = npt.NDArray[np.int16]

SETTLE_S = 2.0
"""A packet may be so late (s) before its place counts as moved: the earliest of the next ones decides."""

OPUS_HZ = 48000
MOST_GAP_S = 0.5
"""Of a longer gap (s) in Opus packets, nothing is made up."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Media of one message. `t`: when it crossed the wire; `media_s`: its place on the sender's own clock."""

    t: float
    media_s: float
    pcm: Samples


def decode(
    lines: Iterable[WireLine], media: bytes, encoding: str, sample_rate: int, *, inbound: bool
) -> tuple[list[Piece | float], int]:
    """The pieces of one direction in their order, with the times (s) of messages that took sound back among
    them; and their sample rate (Hz).

    Raises:
        ValueError: the encoding is unknown.
    """
    mine = [line for line in lines if line.inbound is inbound and (line.has_media or clears(line))]
    if encoding == "opus":
        return list(_opus(mine, media)), OPUS_HZ
    decoders = {"ulaw": ulaw_decode, "alaw": alaw_decode, "pcm": _plain}
    if encoding not in decoders:
        raise ValueError(f"the encoding {encoding!r} is unknown")
    to_pcm, done = decoders[encoding], 0
    pieces: list[Piece | float] = []
    for line in mine:
        if line.at is None:
            pieces.append(line.t)
            continue
        pcm = np.frombuffer(to_pcm(media[line.at : line.at + line.n]), dtype="<i2")
        pieces.append(Piece(line.t, done / sample_rate, pcm))
        done += len(pcm)
    return pieces, sample_rate


def _plain(data: bytes) -> bytes:
    if data[:4] == b"RIFF":  # a chunk with a header of its own
        data = data[44:]
    elif is_frame(data):  # a client of Pipecat's: a frame with sound, or with something else
        kind, fields = parse_frame(data)
        pcm = fields.get(SOUND_FIELD, b"") if kind == Kind.AUDIO else b""
        data = pcm if isinstance(pcm, bytes) else b""
    return data[: len(data) // 2 * 2]


def _opus(lines: Sequence[WireLine], media: bytes) -> Iterator[Piece | float]:
    """Packets by their RTP time; lost ones are concealed, or restored from the packet behind them."""
    decoder = open_decoder(OPUS_HZ)
    clock = _RtpClock()
    expected: tuple[int, int] | None = None  # sequence and ticks of the packet that should follow
    for line in _in_order(lines, clock):
        assert line.at is not None
        assert line.seq is not None
        ticks, payload = clock.ticks(line), media[line.at : line.at + line.n]
        if not payload:
            continue
        try:
            if (
                expected is not None
                and expected[0] != line.seq
                and 0 < ticks - expected[1] <= MOST_GAP_S * RTP_CLOCK_HZ
            ):
                yield _concealed(decoder, line.t, expected[1], ticks - expected[1], payload)
            pcm = np.frombuffer(decoder.decode(payload), dtype="<i2")
        except OpusError:
            continue
        yield Piece(line.t, ticks / RTP_CLOCK_HZ, pcm)
        expected = ((line.seq + 1) & 0xFFFF, ticks + len(pcm) * RTP_CLOCK_HZ // OPUS_HZ)


def _concealed(decoder: object, t: float, ticks: int, missing: int, following: bytes) -> Piece:
    made = []
    step = RTP_CLOCK_HZ // 50
    for left in range(missing, 0, -step):
        samples = min(step, left)
        if left <= step and samples == step and decoder.can_recover(following):  # type: ignore[attr-defined]
            made.append(decoder.recover(following, samples))  # type: ignore[attr-defined]
        elif samples % 120 == 0:  # whole steps of 2.5 ms
            made.append(decoder.conceal(samples))  # type: ignore[attr-defined]
    return Piece(t, ticks / RTP_CLOCK_HZ, np.frombuffer(b"".join(made), dtype="<i2"))


class _RtpClock:
    """RTP timestamps as ticks that never wrap. Another source begins where the time of arrival puts it."""

    def __init__(self) -> None:
        self._source: int | None = None
        self._last = 0
        self._ticks = 0

    def ticks(self, line: WireLine) -> int:
        assert line.ts is not None
        if line.ssrc != self._source:
            self._source, self._last, self._ticks = line.ssrc, line.ts, round(line.t * RTP_CLOCK_HZ)
        self._ticks += ((line.ts - self._last + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        self._last = line.ts
        return self._ticks


def _in_order(lines: Sequence[WireLine], clock: _RtpClock) -> list[WireLine]:
    """By their sequence numbers, where packets overtook each other."""
    last, unwrapped, keys = 0, 0, []
    source: int | None = None
    for line in lines:
        if line.seq is None or line.ts is None:
            continue
        if line.ssrc != source:
            source, last = line.ssrc, line.seq
            unwrapped += 1 << 20
        unwrapped += ((line.seq - last + 0x8000) & 0xFFFF) - 0x8000
        last = line.seq
        keys.append((unwrapped, line))
    return [line for _, line in sorted(keys, key=lambda pair: pair[0])]


# ------------------------------------------------------------------ placing


def place_arriving(pieces: Iterable[Piece | float], sample_rate: int, *, at_end: bool = True) -> Samples:
    """Sound that came in as it was spoken. Jitter and stalls move nothing: of the packets of the next
    seconds, the earliest one decides what the sender's clock says. `at_end`: a packet is sent when its sound
    is complete."""
    found = [piece for piece in pieces if isinstance(piece, Piece) and len(piece.pcm)]
    lateness = [
        piece.t - piece.media_s - (len(piece.pcm) / sample_rate if at_end else 0.0) for piece in found
    ]
    track = Track(sample_rate)
    for piece, shift in zip(found, _earliest(found, lateness), strict=True):
        track.put(piece.media_s + shift, piece.pcm)
    return track.samples()


def _earliest(pieces: Sequence[Piece], lateness: Sequence[float]) -> list[float]:
    """For each piece the smallest lateness of those within `SETTLE_S` from it on."""
    shifts, window = [0.0] * len(pieces), deque[int]()
    last = len(pieces)
    for index in range(len(pieces) - 1, -1, -1):
        while window and lateness[window[-1]] >= lateness[index]:
            window.pop()
        window.append(index)
        while window[0] < last and pieces[window[0]].t > pieces[index].t + SETTLE_S:
            window.popleft()
        shifts[index] = lateness[window[0]]
    return shifts


def place_played(pieces: Iterable[Piece | float], sample_rate: int, delay_s: float = 0.0) -> Samples:
    """Sound that was sent ahead: a chunk plays behind the one before it, or when it comes. A time among the
    pieces takes back what has not been played then. `delay_s`: from the wire to the listener."""
    track, end = Track(sample_rate), 0.0
    for piece in pieces:
        if isinstance(piece, Piece):
            begin = max(end, piece.t)
            track.put(begin + delay_s, piece.pcm)
            end = begin + len(piece.pcm) / sample_rate
        else:
            track.cut(piece + delay_s)
            end = min(end, piece)
    return track.samples()


class Track:
    """One channel of the call from its start on. What nobody put anything into is silence."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._samples = np.zeros(sample_rate * 10, dtype=np.int16)
        self._end = 0

    def put(self, at_s: float, pcm: Samples) -> None:
        """Put sound at this time (s); what stands there is replaced."""
        begin = round(at_s * self._rate)
        if begin < 0:
            begin, pcm = 0, pcm[-begin:]
        end = begin + len(pcm)
        if end > len(self._samples):
            self._samples = np.concatenate([self._samples, np.zeros(max(end, len(self._samples)), np.int16)])
        self._samples[begin:end] = pcm
        self._end = max(self._end, end)

    def cut(self, at_s: float) -> None:
        """Nothing sounds from this time (s) on."""
        begin = max(0, round(at_s * self._rate))
        if begin < self._end:
            self._samples[begin : self._end] = 0
            self._end = begin

    def samples(self) -> Samples:
        return self._samples[: self._end]


# ------------------------------------------------------------------ both channels


@dataclass(frozen=True, slots=True)
class CallSound:
    """Both channels from the call's start on, at one rate (Hz); of the same length."""

    sample_rate: int
    caller: Samples
    bot: Samples

    @property
    def duration_s(self) -> float:
        return len(self.caller) / self.sample_rate

    def part(self, from_s: float = 0.0, to_s: float | None = None) -> CallSound:
        """The sound between two times (s)."""
        begin = max(0, round(from_s * self.sample_rate))
        end = len(self.caller) if to_s is None else max(begin, round(to_s * self.sample_rate))
        return CallSound(self.sample_rate, self.caller[begin:end], self.bot[begin:end])


def together(
    caller: tuple[Samples, int], bot: tuple[Samples, int], duration_s: float | None = None
) -> CallSound:
    """Two channels, each with its rate (Hz), at the higher rate."""
    rate = max(caller[1], bot[1])
    channels = [_at_rate(samples, own, rate) for samples, own in (caller, bot)]
    length = max(*map(len, channels), round((duration_s or 0.0) * rate))
    padded = [np.concatenate([each, np.zeros(length - len(each), np.int16)]) for each in channels]
    return CallSound(rate, padded[0], padded[1])


def _at_rate(samples: Samples, own: int, rate: int) -> Samples:
    if own == rate or not len(samples):
        return samples
    resampler = Resampler(own, rate)
    pcm = resampler.process(samples.tobytes()) + resampler.flush()
    return np.frombuffer(pcm, dtype="<i2")
