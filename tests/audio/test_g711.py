"""G.711 against `audioop`: live where Python still has it, and by digest everywhere."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from hashlib import sha256
from types import ModuleType

import numpy as np
import pytest

from runner.audio.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode

ALL_SAMPLES = np.arange(1 << 16, dtype="<u2").tobytes()
ALL_CODES = bytes(range(256))

# sha256 of what audioop of Python 3.11 gives for all samples and all codes.
DIGESTS = {
    ulaw_encode: "617fa4850d68d3906597e949f7625fb2fc46db479e29707f33159b3d131721cb",
    alaw_encode: "f77c76aa923ee25617453f87514828a12896227f82ff383bf3bb53d6ac7c2a0f",
    ulaw_decode: "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827",
    alaw_decode: "e04788d110e58ff8c70c93b8480190d973e3b67876b6119abbaec766cc75c174",
}


def whole_domain(function: Callable[[bytes], bytes]) -> bytes:
    return ALL_SAMPLES if function in (ulaw_encode, alaw_encode) else ALL_CODES


@pytest.fixture
def audioop() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module: ModuleType = pytest.importorskip(
            "audioop",
            exc_type=ImportError,
            reason="needs audioop to compare with, which Python 3.13 has no more: pip install audioop-lts",
        )
    return module


@pytest.mark.parametrize("function", DIGESTS, ids=lambda f: f.__name__)
def test_every_sample_and_code_has_the_stored_digest(function: Callable[[bytes], bytes]) -> None:
    assert sha256(function(whole_domain(function))).hexdigest() == DIGESTS[function]


@pytest.mark.faults(5)
def test_every_sample_and_code_equals_audioop(audioop: ModuleType) -> None:
    assert ulaw_encode(ALL_SAMPLES) == audioop.lin2ulaw(ALL_SAMPLES, 2)
    assert alaw_encode(ALL_SAMPLES) == audioop.lin2alaw(ALL_SAMPLES, 2)
    assert ulaw_decode(ALL_CODES) == audioop.ulaw2lin(ALL_CODES, 2)
    assert alaw_decode(ALL_CODES) == audioop.alaw2lin(ALL_CODES, 2)


def test_silence_is_all_ones_in_ulaw_and_d5_in_alaw() -> None:
    assert ulaw_encode(b"\0\0") == b"\xff"
    assert alaw_encode(b"\0\0") == b"\xd5"


def test_all_codes_survive_a_round_trip_and_ulaws_negative_zero_becomes_its_zero() -> None:
    """Pcm has one zero, µ-law has two (0xFF and 0x7F): both are sent as 0xFF."""
    assert alaw_encode(alaw_decode(ALL_CODES)) == ALL_CODES
    assert ulaw_encode(ulaw_decode(ALL_CODES)) == ALL_CODES.replace(b"\x7f", b"\xff")


def test_a_second_trip_changes_nothing() -> None:
    for encode, decode in ((ulaw_encode, ulaw_decode), (alaw_encode, alaw_decode)):
        once = decode(encode(ALL_SAMPLES))
        assert decode(encode(once)) == once


def test_no_sound_gives_no_sound() -> None:
    assert all(function(b"") == b"" for function in DIGESTS)
