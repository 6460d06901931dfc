"""What speech servers send as sound: samples, WAV of any form, and containers that cannot be played."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from runner.errors import ServiceError
from runner.services.common.sound_format import SoundReader, is_container

TONE = np.round(8000 * np.sin(np.arange(2400) * 2 * np.pi * 440 / 24000)).astype("<i2")
PCM = TONE.tobytes()


def wav(
    samples: bytes, *, kind: int = 1, bits: int = 16, rate: int = 24000, channels: int = 1, size: int = -1,
    before: bytes = b"",
) -> bytes:  # fmt: skip
    block = channels * bits // 8
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, kind, channels, rate, rate * block, block, bits)
    size = len(samples) if size < 0 else size
    return b"RIFF\xff\xff\xff\xffWAVE" + before + form + struct.pack("<4sI", b"data", size) + samples


def read(data: bytes, step: int, content_type: str = "") -> tuple[bytes, int, str]:
    reader = SoundReader("the server", 24000, content_type)
    pcm = b"".join(reader.feed(data[start : start + step]) for start in range(0, len(data), step))
    pcm += reader.close()
    return pcm, reader.sample_rate, reader.converted


def close_to(pcm: bytes, expected: bytes, most: int = 1) -> bool:
    one, two = np.frombuffer(pcm, "<i2").astype(int), np.frombuffer(expected, "<i2").astype(int)
    return len(one) == len(two) and int(np.abs(one - two).max()) <= most


every_cut = pytest.mark.parametrize("step", [1, 3, 333, 1 << 20])
FLOATS = (TONE / 32768).astype("<f4").tobytes()
LIST = b"LIST\x05\x00\x00\x00INFOx\x00"


@every_cut
def test_raw_pcm_is_passed_on_as_it_is(step: int) -> None:
    assert read(PCM, step) == (PCM, 24000, "")
    noise = np.random.default_rng(1).integers(-32768, 32767, 2400).astype("<i2").tobytes()
    assert read(noise, step) == (noise, 24000, "")
    quiet = np.random.default_rng(1).integers(-3, 4, 2400).astype("<i2").tobytes()
    assert read(quiet, step) == (quiet, 24000, "")
    assert read(bytes(4800), step) == (bytes(4800), 24000, "")


@every_cut
@pytest.mark.parametrize("size", [-1, 0, 0xFFFFFFFF])
def test_a_wav_header_is_read_even_if_it_names_no_size(step: int, size: int) -> None:
    assert read(wav(PCM, rate=16000, size=size, before=LIST), step) == (PCM, 16000, "")


def test_chunks_behind_the_samples_are_not_played() -> None:
    assert read(wav(PCM) + LIST, 999)[0] == PCM


@every_cut
@pytest.mark.parametrize(
    ("kind", "bits", "samples"),
    [
        (1, 8, (TONE / 256 + 128).astype("u1").tobytes()),
        (1, 24, b"".join(struct.pack("<i", int(s) << 16)[1:] for s in TONE)),
        (1, 32, (TONE.astype("<i4") << 16).tobytes()),
        (3, 32, FLOATS),
        (3, 64, (TONE / 32768).astype("<f8").tobytes()),
    ],
)
def test_other_samples_in_a_wav_are_converted(step: int, kind: int, bits: int, samples: bytes) -> None:
    pcm, rate, _ = read(wav(samples, kind=kind, bits=bits, rate=44100), step)
    assert rate == 44100
    assert close_to(pcm, PCM, 256 if bits == 8 else 1)


def test_two_channels_become_one() -> None:
    both = np.column_stack([TONE, np.zeros_like(TONE)]).tobytes()
    assert close_to(read(wav(both, channels=2), 777)[0], (TONE // 2).astype("<i2").tobytes())


@every_cut
def test_raw_floats_are_recognised_and_converted(step: int) -> None:
    pcm, rate, converted = read(FLOATS, step)
    assert (rate, converted) == (24000, "32-bit float samples")
    assert close_to(pcm, PCM)


MP3 = (b"\xff\xfb\x90\x00" + bytes(413)) * 3


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"ID3\x04" + bytes(600), "MP3"),
        (MP3, "MP3"),
        (b"OggS" + bytes(600), "Ogg"),
        (b"fLaC" + bytes(600), "FLAC"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(600), "MP4"),
        (b"\x1a\x45\xdf\xa3" + bytes(600), "WebM"),
        (b"FORM" + bytes(600), "AIFF"),
    ],
)
@pytest.mark.parametrize("step", [333, 1 << 20])
def test_compressed_containers_are_refused_by_name(data: bytes, name: str, step: int) -> None:
    with pytest.raises(ServiceError, match=f"the server sent {name} instead of pcm: let it send pcm or WAV"):
        read(data, step)
    assert is_container(data)


def test_the_content_type_names_what_the_bytes_do_not() -> None:
    with pytest.raises(ServiceError, match="sent AAC instead of pcm"):
        read(bytes(600), 600, "audio/aac; charset=x")


def test_a_wav_that_cannot_be_played_is_refused() -> None:
    with pytest.raises(ServiceError, match="format 85 with 0 bits: let it send 16-bit pcm"):
        read(wav(PCM, kind=85, bits=0), 99)
    with pytest.raises(ServiceError, match="a WAV file without samples"):
        read(wav(PCM)[:40], 99)


def test_nothing_is_nothing() -> None:
    assert read(b"", 1) == (b"", 24000, "")
    assert not is_container(PCM)
