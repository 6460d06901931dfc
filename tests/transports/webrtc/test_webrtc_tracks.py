"""The media path's two ends: the pacer in virtual time, and the reader."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from runner.testing.virtual_time import run_virtual
from runner.transports.webrtc.tracks import InboundAudio, OutboundAudioTrack

RATE = 24000
CHUNK = RATE // 50 * 2


def tone(chunks: int, rate: int = RATE, hertz: float = 440.0) -> bytes:
    t = np.arange(rate // 50 * chunks) / rate
    return bytes((np.sin(2 * np.pi * hertz * t) * 10000).astype("<i2").tobytes())


def decoded(packets: list[Any]) -> np.ndarray[Any, np.dtype[np.int16]]:
    codec = av.CodecContext.create("libopus", "r")
    codec.format, codec.layout, codec.sample_rate = "s16", "mono", 48000
    frames = [frame for packet in packets for frame in codec.decode(av.Packet(bytes(packet)))]
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])


def loudness(pcm: Any) -> float:
    return float(np.sqrt(np.mean(np.asarray(pcm, dtype=float) ** 2)))


# ------------------------------------------------------------------ the pacer


def test_packets_leave_on_an_absolute_timeline() -> None:
    async def play() -> list[float]:
        loop, track = asyncio.get_running_loop(), OutboundAudioTrack(RATE)
        times = []
        for slot in range(500):
            packet = await track.recv()
            assert packet.pts == slot * 960
            times.append(loop.time())
            await asyncio.sleep(0.007)  # whatever the sender takes, nothing adds up
        return times

    times = run_virtual(play())
    assert times == pytest.approx([times[0] + 0.02 * n for n in range(500)], abs=1e-6)


def test_after_a_short_stall_the_late_packets_leave_at_once() -> None:
    async def play() -> tuple[list[float], int]:
        loop, track = asyncio.get_running_loop(), OutboundAudioTrack(RATE)
        await track.recv()
        await asyncio.sleep(0.061)
        times = []
        for _ in range(4):
            await track.recv()
            times.append(loop.time())
        return times, track.skipped

    times, skipped = run_virtual(play())
    assert times == pytest.approx([0.061, 0.061, 0.061, 0.08], abs=1e-6)
    assert skipped == 0


def test_after_a_long_stall_the_timeline_skips_but_no_sound_is_lost() -> None:
    async def play() -> tuple[list[int], int]:
        track = OutboundAudioTrack(RATE)
        await track.recv()
        await track.write(tone(1))
        await track.write(tone(1))
        await asyncio.sleep(1.0)
        packets = [await track.recv() for _ in range(3)]
        assert loudness(decoded(packets)[:1920]) > 1000
        assert track.buffered_secs == 0
        return [packet.pts // 960 for packet in packets], track.skipped

    slots, skipped = run_virtual(play())
    assert slots == [50, 51, 52]
    assert skipped == 49


def test_write_waits_for_room_so_that_little_is_ahead() -> None:
    async def play() -> None:
        loop, track = asyncio.get_running_loop(), OutboundAudioTrack(RATE)
        ahead, sent = [], 0

        async def send() -> None:
            nonlocal sent
            while True:
                await track.recv()
                sent += 1

        sending = asyncio.create_task(send())
        for written in range(1, 200):
            await track.write(tone(1))
            ahead.append(written - sent)
            assert track.buffered_secs <= 0.04
        sending.cancel()
        assert max(ahead) <= 2
        assert loop.time() == pytest.approx(197 * 0.02, abs=0.021)

    run_virtual(play())


def test_clear_leaves_nothing_behind_not_even_what_a_writer_waits_with() -> None:
    async def play() -> list[Any]:
        track = OutboundAudioTrack(RATE)
        await track.recv()
        await track.write(tone(1))
        await track.write(tone(1))
        waiting = asyncio.create_task(track.write(tone(1)))
        await asyncio.sleep(0)
        track.clear()
        await waiting
        return [await track.recv() for _ in range(5)]

    assert loudness(decoded(run_virtual(play()))) < 1


def test_what_is_written_is_what_is_heard() -> None:
    async def play() -> list[Any]:
        track, packets = OutboundAudioTrack(RATE), []
        sound = tone(50)
        for start in range(0, len(sound), CHUNK):
            await track.write(sound[start : start + CHUNK])
            packets.append(await track.recv())
        return packets

    pcm = decoded(run_virtual(play()))
    spectrum = np.abs(np.fft.rfft(pcm[9600:]))
    assert len(pcm) == 48000
    assert np.argmax(spectrum) * 48000 / len(pcm[9600:]) == pytest.approx(440, abs=3)
    assert loudness(pcm[9600:]) == pytest.approx(7071, rel=0.1)


def test_a_short_chunk_is_filled_up_and_a_long_one_refused() -> None:
    async def play() -> None:
        track = OutboundAudioTrack(RATE)
        await track.write(b"\1\1")
        with pytest.raises(ValueError, match="20 ms"):
            await track.write(bytes(CHUNK + 2))

    run_virtual(play())


def test_a_stopped_track_holds_up_no_writer() -> None:
    async def play() -> None:
        track = OutboundAudioTrack(RATE)
        for _ in range(2):
            await track.write(tone(1))
        waiting = asyncio.create_task(track.write(tone(1)))
        await asyncio.sleep(0)
        track.stop()
        await waiting
        for _ in range(5):
            await track.write(tone(1))
        with pytest.raises(MediaStreamError):
            await track.recv()

    run_virtual(play())


def test_a_rate_that_opus_does_not_have_is_named() -> None:
    with pytest.raises(ValueError, match="22050 Hz"):
        OutboundAudioTrack(22050)


# ------------------------------------------------------------------ the reader


class Scripted(MediaStreamTrack):
    """Frames of 48 kHz stereo as aiortc gives them, each after its pause (s); then nothing."""

    kind = "audio"

    def __init__(self, pauses: Iterator[float], left: int = 4000, right: int = 2000) -> None:
        super().__init__()
        self._pauses, self._sides = pauses, (left, right)

    async def recv(self) -> Any:
        pause = next(self._pauses, None)
        if pause is None:
            raise MediaStreamError
        await asyncio.sleep(pause)
        sides = np.tile(np.array(self._sides, dtype="<i2"), 960).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(sides, format="s16", layout="stereo")
        frame.sample_rate = 48000
        return frame


def test_sound_becomes_mono_at_the_rate_asked_for() -> None:
    async def listen() -> bytes:
        parts: list[bytes] = []
        audio = InboundAudio(Scripted(iter([0.02] * 50)))
        audio.attach(16000, parts.append)
        await asyncio.sleep(1.1)
        await audio.aclose()
        return b"".join(parts)

    pcm = np.frombuffer(run_virtual(listen()), "<i2")
    assert len(pcm) == pytest.approx(16000, abs=20)
    assert np.abs(pcm[400:15000] - 3000).max() <= 20


def test_what_was_said_before_the_bot_is_ready_is_kept_within_a_bound() -> None:
    async def listen() -> tuple[int, int]:
        parts: list[bytes] = []
        audio = InboundAudio(Scripted(iter([0.02] * 400)))
        await asyncio.sleep(1.001)
        audio.attach(16000, parts.append)
        early = len(b"".join(parts))
        audio.detach()
        await asyncio.sleep(6)
        await audio.aclose()
        return early, audio.KEPT_CHUNKS

    early, kept = run_virtual(listen())
    assert early == pytest.approx(50 * 640, abs=64)
    assert kept * 20 == 3000


def test_the_reader_never_waits_on_a_listener() -> None:
    async def listen() -> int:
        heard = 0

        def take(pcm: bytes) -> None:
            nonlocal heard
            heard += 1

        audio = InboundAudio(Scripted(iter([0.0] * 1000)))
        audio.attach(16000, take)
        await asyncio.sleep(0.01)
        await audio.aclose()
        return heard

    assert run_virtual(listen()) == 1000
