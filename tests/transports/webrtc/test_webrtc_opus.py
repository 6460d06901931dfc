"""Opus by libopus itself."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from runner.transports.webrtc import opus
from runner.transports.webrtc.opus import (
    AdaptiveEncoder,
    OpusDecoder,
    OpusError,
    load,
    open_decoder,
    open_encoder,
)

RATE = 16000
CHUNK = RATE // 50


def tone(chunks: int, hertz: float = 440.0) -> list[bytes]:
    t = np.arange(CHUNK * chunks) / RATE
    pcm = (np.sin(2 * np.pi * hertz * t) * 10000).astype("<i2").tobytes()
    return [pcm[at : at + CHUNK * 2] for at in range(0, len(pcm), CHUNK * 2)]


def loudness(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(pcm, "<i2").astype(float) ** 2)))


def loudest_hertz(pcm: bytes, rate: int) -> float:
    sound = np.frombuffer(pcm, "<i2").astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(sound))) * rate / len(sound))


@pytest.fixture
def library() -> ctypes.PyDLL:
    return load()


def test_the_library_is_found_in_pyavs_wheel_by_its_own_name(library: ctypes.PyDLL) -> None:
    assert library.opus_get_version_string().startswith(b"libopus 1.")


def there_and_back(rate: int) -> bytes:
    encoder, decoder = open_encoder(RATE), open_decoder(rate)
    return b"".join(decoder.decode(encoder.encode(chunk)) for chunk in tone(50))


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000, 22050, 44100])
def test_sound_goes_there_and_back_at_any_rate(library: ctypes.PyDLL, rate: int) -> None:
    pcm = there_and_back(rate)
    assert len(pcm) // 2 == pytest.approx(rate, abs=rate // 200)
    pcm = pcm[rate // 2 * 2 :]  # the second half
    assert loudest_hertz(pcm, rate) == pytest.approx(440, abs=5)
    assert loudness(pcm) == pytest.approx(7071, rel=0.1)


def test_a_wheel_without_libopus_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus, "_candidates", lambda: iter(()))
    load.cache_clear()
    try:
        with pytest.raises(OpusError, match="no libopus that can be called: install av from PyPI's wheel"):
            open_encoder(RATE)
    finally:
        load.cache_clear()


def play(decoder: OpusDecoder, packets: list[bytes], lost: int, *, corrected: bool) -> bytes:
    out = b""
    for number, packet in enumerate(packets):
        if number != lost:
            out += decoder.decode(packet)
        elif corrected:
            out += decoder.recover(packets[number + 1], CHUNK)
        else:
            out += decoder.conceal(CHUNK)
    return out


def chirp(chunks: int) -> list[bytes]:
    """A tone that rises, so that what was before does not tell what comes."""
    t = np.arange(CHUNK * chunks) / RATE
    pcm = (np.sin(2 * np.pi * (300 * t + 600 * t * t)) * 10000).astype("<i2").tobytes()
    return [pcm[at : at + CHUNK * 2] for at in range(0, len(pcm), CHUNK * 2)]


def test_without_loss_packets_carry_no_correction_and_with_it_they_do(library: ctypes.PyDLL) -> None:
    encoder, decoder = open_encoder(RATE), open_decoder(RATE)
    assert not any(decoder.can_recover(encoder.encode(chunk)) for chunk in chirp(20))
    for _ in range(3):
        encoder.expect_loss(0.10)
    carries = [decoder.can_recover(encoder.encode(chunk)) for chunk in chirp(20)]
    assert all(carries[2:])


def test_correction_brings_a_lost_packet_back_better_than_concealment(library: ctypes.PyDLL) -> None:
    encoder = open_encoder(RATE)
    for _ in range(3):
        encoder.expect_loss(0.10)
    packets = [encoder.encode(chunk) for chunk in chirp(40)]
    whole = b"".join(map(open_decoder(RATE).decode, packets))
    place = slice(30 * CHUNK * 2, 31 * CHUNK * 2)

    def likeness(pcm: bytes) -> float:
        a, b = (np.frombuffer(x[place], "<i2").astype(float) for x in (whole, pcm))
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    corrected = likeness(play(open_decoder(RATE), packets, 30, corrected=True))
    concealed = likeness(play(open_decoder(RATE), packets, 30, corrected=False))
    assert corrected > 0.8
    assert corrected > concealed


def test_correction_ends_when_the_loss_does(library: ctypes.PyDLL) -> None:
    encoder = AdaptiveEncoder(library, RATE)
    encoder.expect_loss(0.20)
    assert encoder.corrects
    for _ in range(30):
        encoder.expect_loss(0.0)
    assert not encoder.corrects


def test_one_bad_report_in_many_changes_nothing(library: ctypes.PyDLL) -> None:
    encoder = AdaptiveEncoder(library, RATE)
    encoder.expect_loss(0.02)
    encoder.expect_loss(0.0)
    assert not encoder.corrects


def test_silence_shrinks_to_one_byte_only_where_it_may(library: ctypes.PyDLL) -> None:
    encoder = open_encoder(RATE)
    whispered = [encoder.encode(bytes(CHUNK * 2)) for _ in range(50)]
    assert min(map(len, whispered)) > 2
    silent = [encoder.encode(bytes(CHUNK * 2), silence=True) for _ in range(50)]
    assert min(map(len, silent)) <= 2
    assert len(encoder.encode(tone(1)[0])) > 2


def test_a_decoder_survives_what_is_no_opus(library: ctypes.PyDLL) -> None:
    decoder = open_decoder(RATE)
    with pytest.raises(OpusError):
        decoder.decode(b"\xff" * 3)
    assert len(decoder.decode(open_encoder(RATE).encode(tone(1)[0]))) == CHUNK * 2
