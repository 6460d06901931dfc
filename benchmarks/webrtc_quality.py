#!/usr/bin/env python3
"""How well a caller understands the bot: STOI of ours beside aiortc's own encoder, clean and at 5 % loss.

    uv run python benchmarks/webrtc_quality.py [--rounds 20]

Real speech (the wave files under tests/assets) goes through the encoder, loses packets at random, and is
decoded as a browser would: with libopus, forward error correction where a packet carries it, concealment
where not. STOI is the measure of Taal et al. 2011, on a scale from 0 to 1.
"""

from __future__ import annotations

import argparse
import fractions
import random
import statistics
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiortc.codecs.opus import OpusEncoder as AiortcEncoder

from runner.audio.resampler import Resampler
from runner.transports.webrtc.opus import open_decoder, open_encoder

ASSETS = Path(__file__).resolve().parent.parent / "tests" / "assets"
RATE, BOT_RATE = 16000, 24000
FRAME = RATE // 50
STOI_RATE, WINDOW, SIZE, BANDS, SEGMENT = 10000, 256, 512, 15, 30
Sound = np.ndarray[Any, np.dtype[Any]]


def speech() -> Sound:
    parts = []
    for path in sorted(ASSETS.rglob("*.wav")):
        with wave.open(str(path)) as file:
            if file.getframerate() == RATE and file.getnchannels() == 1:
                parts.append(np.frombuffer(file.readframes(file.getnframes()), "<i2"))
    sound = np.concatenate(parts)
    return sound[: len(sound) // FRAME * FRAME]


# ------------------------------------------------------------------ the two encoders


def by_botrun(sound: Sound, loss: float) -> list[bytes]:
    encoder, resampler = open_encoder(BOT_RATE), Resampler(RATE, BOT_RATE)
    for _ in range(4):
        encoder.expect_loss(loss)
    pcm, size = resampler.process(sound.tobytes()) + resampler.flush(), BOT_RATE // 50 * 2
    return [encoder.encode(pcm[at : at + size]) for at in range(0, len(pcm) - size + 1, size)]


def by_aiortc(sound: Sound, loss: float) -> list[bytes]:
    encoder, packets = AiortcEncoder(), list[bytes]()
    for at in range(0, len(sound), FRAME):
        frame = av.AudioFrame.from_ndarray(sound[None, at : at + FRAME].copy(), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, fractions.Fraction(1, RATE)
        packets += encoder.encode(frame)[0]
    return packets


def heard(packets: list[bytes], loss: float, seed: int) -> Sound:
    decoder, chance, out = open_decoder(RATE), random.Random(seed), list[bytes]()
    lost = [chance.random() < loss for _ in packets]
    for number, packet in enumerate(packets):
        following = packets[number + 1] if number + 1 < len(packets) and not lost[number + 1] else None
        if not lost[number]:
            out.append(decoder.decode(packet))
        elif following is not None and decoder.can_recover(following):
            out.append(decoder.recover(following, FRAME))
        else:
            out.append(decoder.conceal(FRAME))
    return np.frombuffer(b"".join(out), "<i2")


# ------------------------------------------------------------------ the measure


def stoi(clean: Sound, heard_: Sound) -> float:
    clean, heard_ = aligned(clean.astype(float), heard_.astype(float))
    pair = [at_10k(sound) for sound in (clean, heard_)]
    x, y = (third_octaves(sound) for sound in without_silence(*pair))
    scores = []
    for end in range(SEGMENT, x.shape[1] + 1):
        a, b = x[:, end - SEGMENT : end], y[:, end - SEGMENT : end]
        b = b * np.linalg.norm(a, axis=1, keepdims=True) / (np.linalg.norm(b, axis=1, keepdims=True) + 1e-12)
        b = np.minimum(b, a * (1 + 10 ** (15 / 20)))
        a, b = (m - m.mean(axis=1, keepdims=True) for m in (a, b))
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-12
        scores.append(float(np.mean(np.sum(a * b, axis=1) / norms)))
    return statistics.fmean(scores)


def aligned(clean: Sound, other: Sound) -> tuple[Sound, Sound]:
    size = 1 << (len(clean) + len(other)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(clean, size)), size)
    delay = int(np.argmax(likeness[: RATE // 5]))
    other = other[delay:]
    length = min(len(clean), len(other))
    return clean[:length], other[:length]


def at_10k(sound: Sound) -> Sound:
    wanted = len(sound) * STOI_RATE // RATE
    return np.fft.irfft(np.fft.rfft(sound)[: wanted // 2 + 1], wanted)


def frames_of(sound: Sound) -> Sound:
    starts = range(0, len(sound) - WINDOW, WINDOW // 2)
    return np.stack([sound[at : at + WINDOW] for at in starts]) * np.hanning(WINDOW + 2)[1:-1]


def without_silence(clean: Sound, other: Sound) -> list[Sound]:
    """Only where the clean speech is within 40 dB of its loudest."""
    a, b = frames_of(clean), frames_of(other)
    level = 20 * np.log10(np.linalg.norm(a, axis=1) + 1e-9)
    keep = level > level.max() - 40
    return [joined(frames[keep]) for frames in (a, b)]


def joined(frames: Sound) -> Sound:
    out = np.zeros((len(frames) + 1) * WINDOW // 2)
    for number, frame in enumerate(frames):
        out[number * WINDOW // 2 : number * WINDOW // 2 + WINDOW] += frame
    return out


def third_octaves(sound: Sound) -> Sound:
    power = np.abs(np.fft.rfft(frames_of(sound), SIZE)) ** 2
    hertz = np.arange(SIZE // 2 + 1) * STOI_RATE / SIZE
    centres = 150 * 2 ** (np.arange(BANDS) / 3)
    bands = [(hertz >= c * 2 ** (-1 / 6)) & (hertz < c * 2 ** (1 / 6)) for c in centres]
    return np.sqrt(np.stack([power[:, band].sum(axis=1) for band in bands]))


def main() -> None:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    sound = speech()
    print(f"{len(sound) / RATE:.0f} s of speech, {rounds} rounds of loss")
    encoders: dict[str, Callable[[Sound, float], list[bytes]]] = {"botrun": by_botrun, "aiortc": by_aiortc}
    for loss in (0.0, 0.05):
        for name, encode in encoders.items():
            begin = time.thread_time()
            packets = encode(sound, loss)
            took_us = (time.thread_time() - begin) / len(packets) * 1e6
            scores = [stoi(sound, heard(packets, loss, seed)) for seed in range(rounds if loss else 1)]
            bits = sum(map(len, packets)) * 8 * 50 / len(packets) / 1000
            worst = f"worst {min(scores):.4f}" if loss else ""
            print(
                f"loss {loss:4.0%} {name:7s} STOI {statistics.fmean(scores):.4f} {worst} "
                f"{bits:5.1f} kb/s {took_us:4.0f} µs a packet"
            )


if __name__ == "__main__":
    main()
