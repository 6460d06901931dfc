from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.audio.playout import Chunker


@given(pieces=st.lists(st.binary(max_size=50)), size=st.integers(1, 20))
def test_nothing_is_lost_whatever_the_pieces(pieces: list[bytes], size: int) -> None:
    chunker = Chunker(size)
    chunks = [chunk for piece in pieces for chunk in chunker.push(piece)]
    assert all(len(chunk) == size for chunk in chunks)
    assert chunker.pending < size
    assert b"".join(chunks) + chunker.flush(pad=False) == b"".join(pieces)


def test_the_rest_is_padded_with_silence_to_a_whole_chunk() -> None:
    chunker = Chunker(4)
    assert chunker.push(b"abcdef") == [b"abcd"]
    assert chunker.pending == 2
    assert chunker.flush() == b"ef\0\0"
    assert chunker.pending == 0


def test_flushing_nothing_gives_nothing() -> None:
    assert Chunker(4).flush() == b""


def test_clear_forgets_the_rest() -> None:
    chunker = Chunker(4)
    chunker.push(b"abc")
    chunker.clear()
    assert chunker.push(b"wxyz") == [b"wxyz"]


def test_a_chunk_without_size_is_refused() -> None:
    with pytest.raises(ValueError, match="0 bytes"):
        Chunker(0)
