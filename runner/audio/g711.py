"""G.711: µ-law and A-law against 16-bit pcm, by `audioop`.

It was part of Python up to 3.12, where it warns that it will go; since then it is the package audioop-lts.
numpy's tables gave the same samples at four times the cost: 20 ms of sound are too short for numpy.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

_WIDTH = 2
"""Bytes of a sample."""


def ulaw_encode(pcm: bytes) -> bytes:
    """µ-law, one byte per sample, of mono pcm."""
    return audioop.lin2ulaw(pcm, _WIDTH)


def ulaw_decode(ulaw: bytes) -> bytes:
    """The pcm of µ-law bytes."""
    return audioop.ulaw2lin(ulaw, _WIDTH)


def alaw_encode(pcm: bytes) -> bytes:
    """A-law, one byte per sample, of mono pcm."""
    return audioop.lin2alaw(pcm, _WIDTH)


def alaw_decode(alaw: bytes) -> bytes:
    """The pcm of A-law bytes."""
    return audioop.alaw2lin(alaw, _WIDTH)
