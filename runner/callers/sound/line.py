"""A simulated bad line: noise, loss and jitter, reproducible by seed."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from runner.audio.g711 import alaw_encode, ulaw_decode
from runner.serializers.wire import Encoding

SPEECH_DBFS = -23.0
"""Assumed level of a caller's voice."""

ROOM_DBFS = -62.0
"""Level of the room's background noise. Recognisers handle digital silence badly: of 27 commands the local
STT understood 13 after digital silence, 24 after this."""

TOGETHER_S = 0.0199
"""Messages sent within this time (s) of each other have the same delay."""

_NOISE_LOOP_S = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The quality of the line.

    Attributes:
        room_dbfs: level of the background noise in the caller's room; None = digital silence.
        noise_db: level of street noise in dB below the caller's voice; None = no street noise.
        loss_pct: percentage of the caller's audio messages that are lost.
        jitter_ms: maximum random delay (ms) of each message, both ways.
        bad_mic: a dull, quiet, crackling microphone.
        lose_marks: whether the provider acknowledges no marks.
        wrong_codec: whether the caller's audio is in another codec than announced.
        seed: seed of all random choices.
    """

    room_dbfs: float | None = None
    noise_db: float | None = None
    loss_pct: float = 0.0
    jitter_ms: float = 0.0
    bad_mic: bool = False
    lose_marks: bool = False
    wrong_codec: bool = False
    seed: int = 1


class LineSound:
    """Applies the line's effects to the caller's audio."""

    def __init__(self, line: Line, sample_rate: int, encoding: Encoding) -> None:
        self._line = line
        self._encoding = encoding
        self._rng = np.random.default_rng(line.seed)
        self._rate = sample_rate
        self._at = 0
        self._noise = self._all_noise()

    def worsen(self, pcm: bytes) -> bytes:
        """The next pcm, as the bot receives it."""
        line = self._line
        if not line.bad_mic and self._noise is None:
            return mistaken(pcm, self._encoding) if line.wrong_codec else pcm
        sound = np.frombuffer(pcm, "<i2").astype(np.float64)
        if line.bad_mic:
            sound = self._through_bad_mic(sound)
        if self._noise is not None:
            sound = sound + self._noise.take(np.arange(self._at, self._at + len(sound)), mode="wrap")
        self._at += len(sound)
        worse = np.rint(sound).clip(-32768, 32767).astype("<i2").tobytes()
        return mistaken(worse, self._encoding) if line.wrong_codec else worse

    def _all_noise(self) -> npt.NDArray[np.float64] | None:
        """A loop of all background noise; None if there is none."""
        line, found = self._line, None
        if line.room_dbfs is not None:
            hush = self._rng.standard_normal(self._rate * _NOISE_LOOP_S)
            found = hush * 32768 * 10 ** (line.room_dbfs / 20)
        if line.noise_db is not None:
            street = street_noise(self._rng, self._rate, SPEECH_DBFS - line.noise_db)
            found = street if found is None else found + street
        return found

    def _through_bad_mic(self, sound: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The voice clipped, at a fifth of its level, with hum; one chunk in fifty is dropped."""
        time = (self._at + np.arange(len(sound))) / self._rate
        hum = 60 * np.sin(2 * np.pi * 50 * time)
        if self._rng.random() < 0.02:
            return hum
        return np.asarray(np.clip(sound, -9000, 9000) * 0.2 + hum)


def street_noise(rng: np.random.Generator, sample_rate: int, level_dbfs: float) -> npt.NDArray[np.float64]:
    """A loop of low-frequency noise like traffic, with slowly varying level."""
    count = sample_rate * _NOISE_LOOP_S
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / sample_rate)
    sound = np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 50)), count)
    sound *= 1 + 0.5 * np.sin(2 * np.pi * np.arange(count) / count * 2)
    level = 32768 * 10 ** (level_dbfs / 20)
    return np.asarray(sound * (level / np.sqrt(np.mean(sound**2))))


def mistaken(pcm: bytes, encoding: Encoding) -> bytes:
    """Pcm whose encoding in `encoding` equals that of `pcm` in another codec: A-law instead of µ-law and the
    other way round, or samples with swapped bytes."""
    if encoding is Encoding.ULAW:
        return ulaw_decode(alaw_encode(pcm))
    if encoding is Encoding.ALAW:
        from runner.audio.g711 import alaw_decode, ulaw_encode

        return alaw_decode(ulaw_encode(pcm))
    return np.frombuffer(pcm, "<i2").byteswap().tobytes()


class LineLuck:
    """Decides which messages the line loses, and how late each one arrives."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._rng = random.Random(line.seed)
        self._drawn_at = float("-inf")
        self._delay_s = 0.0

    def loses(self) -> bool:
        """Whether the next audio message is lost."""
        return self._line.loss_pct > 0 and self._rng.random() * 100 < self._line.loss_pct

    def delay_s(self, now: float) -> float:
        """The delay (s) of a message sent `now`; messages sent together have the same delay."""
        if self._line.jitter_ms and now - self._drawn_at >= TOGETHER_S:
            self._drawn_at = now
            self._delay_s = self._rng.random() * self._line.jitter_ms / 1000
        return self._delay_s


T = TypeVar("T")


class DelayLine(Generic[T]):
    """Delivers each item at its time, one by one.

    Args:
        deliver: takes an item.
        in_order: whether items keep their order, as on a TCP connection.
    """

    def __init__(self, deliver: Callable[[T], Awaitable[None]], *, in_order: bool = True) -> None:
        self._deliver = deliver
        self._in_order = in_order
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0
        self._latest = float("-inf")
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def put(self, item: T, due: float = float("-inf")) -> None:
        """Deliver at `due` (s on the loop's clock); by default as soon as possible."""
        if self._in_order:
            due = self._latest = max(due, self._latest)
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, item))
        self._wake.set()
        self._empty.clear()

    async def drained(self) -> None:
        """Wait until all items have been delivered."""
        await self._empty.wait()

    async def run(self) -> None:
        """Deliver until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            wait_s = self._heap[0][0] - loop.time() if self._heap else None
            if wait_s is None or wait_s > 0:
                await self._sleep(wait_s)
                continue
            await self._deliver(heapq.heappop(self._heap)[2])
            if not self._heap:
                self._empty.set()

    async def _sleep(self, wait_s: float | None) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            return
