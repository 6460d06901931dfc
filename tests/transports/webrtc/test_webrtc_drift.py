"""A caller whose clock is off: the sound handed on keeps to our clock. In virtual time, with real Opus."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import struct
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from runner.audio.jitter import MAX_DRIFT, DriftMeter
from runner.audio.resampler import with_samples
from runner.audio.rtp import RtpPacket
from runner.transports.webrtc.inbound import InboundRtp
from runner.transports.webrtc.opus import RTP_CHUNK, open_encoder

RATE = 16000
MINUTES = 25
DELAY_BOUND_MS = 20.0


class VirtualLoop:
    """A clock that is set, for `InboundRtp` alone."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, callback: Callable[..., None], *args: object) -> asyncio.TimerHandle:
        return cast("asyncio.TimerHandle", type("Handle", (), {"cancel": lambda self: None})())


def tone() -> list[bytes]:
    """A second of 440 Hz as packets; its last period meets the first."""
    encoder = open_encoder(RATE)
    samples = [round(8000 * math.sin(2 * math.pi * 440 * n / RATE)) for n in range(RATE)]
    pieces = (samples[at : at + 320] for at in range(0, RATE, 320))
    return [encoder.encode(struct.pack("<320h", *piece)) for piece in pieces]


def call(ppm: float, minutes: float, jitter_ms: float) -> tuple[float, InboundRtp]:
    """How far (ms) the sound is ahead of our clock in the end, and what it went through."""
    loop, chance = VirtualLoop(), random.Random(7)
    inbound = InboundRtp(cast("asyncio.AbstractEventLoop", loop))
    total = 0

    def take(pcm: bytes) -> None:
        nonlocal total
        total += len(pcm) // 2

    inbound.attach(RATE, take)
    began, packets = loop.now, round(minutes * 60 * 50 * (1 + ppm / 1e6))
    at = began
    for number, payload in zip(range(packets), itertools.cycle(tone()), strict=False):
        sent = began + number * 0.020 / (1 + ppm / 1e6)
        at = loop.now = max(at, sent + 0.040 + chance.random() * jitter_ms / 1000)
        timestamp = (number * RTP_CHUNK) & 0xFFFFFFFF
        inbound.receive(RtpPacket(111, number & 0xFFFF, timestamp, 7, payload, number == 0))
    elapsed = packets * 0.020 / (1 + ppm / 1e6)
    return (total / RATE - elapsed) * 1000, inbound


@pytest.mark.long
@pytest.mark.parametrize("ppm", [200, -200])
def test_after_25_minutes_the_sound_is_no_further_off_than_after_one(ppm: float) -> None:
    ahead_ms, inbound = call(ppm, MINUTES, jitter_ms=15)
    uncorrected_ms = ppm * 1e-6 * MINUTES * 60 * 1000
    assert abs(uncorrected_ms) > 10 * DELAY_BOUND_MS  # the fault was injected
    assert abs(ahead_ms) < DELAY_BOUND_MS
    assert inbound.decoded.concealed == 0


def test_a_clock_that_is_right_leaves_the_sound_as_it_is() -> None:
    ahead_ms, _ = call(0, 5, jitter_ms=30)
    assert abs(ahead_ms) < 5


@pytest.mark.parametrize("change", [-2, -1, 1, 2])
def test_a_sample_more_or_less_is_no_step(change: int) -> None:
    samples = [round(8000 * math.sin(2 * math.pi * 440 * n / RATE)) for n in range(320)]
    sound = np.frombuffer(with_samples(struct.pack("<320h", *samples), 320 + change), "<i2").astype(int)
    assert len(sound) == 320 + change
    assert (sound[0], sound[-1]) == (samples[0], samples[-1])
    assert np.abs(np.diff(sound)).max() < 1.02 * np.abs(np.diff(samples)).max()


def meter_after(delays: list[float]) -> DriftMeter:
    """One delay for each fifth of a second."""
    meter = DriftMeter()
    for number, delay in enumerate(delays):
        meter.add(delay, number * 0.2)
    return meter


def test_a_path_that_becomes_longer_is_no_drift() -> None:
    assert meter_after([0.05] * 100 + [0.09] * 100).ahead_secs == pytest.approx(0)


def test_a_path_that_becomes_shorter_is_worked_off() -> None:
    meter = meter_after([0.09] * 100 + [0.05] * 100)
    assert meter.ahead_secs == pytest.approx(0.04)
    assert 0 < meter.share <= MAX_DRIFT


def test_a_clock_that_is_reset_is_no_drift() -> None:
    assert meter_after([0.05] * 100 + [-3600.0] * 100).ahead_secs == pytest.approx(0)
