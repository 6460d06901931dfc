"""Several who speak become one stream at the speed of time."""

from __future__ import annotations

import struct

from runner.transports.daily.media import MOST_WAITING, Voices

QUIET, LOUD = struct.pack("<4h", 1, -1, 1, -1), struct.pack("<4h", 900, -900, 900, -900)


def test_one_voice_is_left_as_it_is() -> None:
    assert Voices().hear("a", LOUD) == ("a", LOUD)


def test_two_voices_are_added_and_the_louder_is_named() -> None:
    voices = Voices()
    voices.hear("a", QUIET)
    assert voices.hear("b", LOUD) is None
    assert voices.hear("a", QUIET) == ("b", struct.pack("<4h", 901, -901, 901, -901))


def test_two_who_speak_for_a_second_are_a_second_long() -> None:
    voices = Voices()
    pieces = [heard for _ in range(50) for who in "ab" if (heard := voices.hear(who, LOUD))]
    assert 49 <= len(pieces) <= 51


def test_a_sum_that_is_too_loud_is_cut_not_turned_over() -> None:
    voices, most = Voices(), struct.pack("<2h", 32767, -32768)
    voices.hear("a", most)
    voices.hear("b", most)
    assert voices.hear("a", most) == ("a", most)


def test_who_falls_silent_does_not_silence_the_others() -> None:
    voices = Voices()
    voices.hear("a", LOUD)
    heard = [voices.hear("b", QUIET) for _ in range(MOST_WAITING + 3)]
    assert heard[:MOST_WAITING] == [None] * MOST_WAITING
    assert heard[MOST_WAITING:] == [("b", QUIET)] * 3


def test_who_has_left_is_waited_for_no_more() -> None:
    voices = Voices()
    voices.hear("a", LOUD)
    assert voices.hear("b", QUIET) is None
    voices.forget("a")
    assert voices.hear("b", QUIET) == ("b", QUIET)
