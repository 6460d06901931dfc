"""Piper, the real one, with a voice that the test makes: each phoneme is 23 ms of one value."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import tiny_piper
from service_bench import bench

from runner.errors import MissingModelError, ServiceError
from runner.frames import TTSAudioRawFrame
from runner.services import piper
from runner.services.common import warmup
from runner.services.local import helpers
from runner.services.local.helpers.piper_helper import PhonemeWords
from runner.services.piper import PiperTTSService


@pytest.fixture(autouse=True)
async def own_register(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(warmup, "_entries", {})
    monkeypatch.setattr(warmup, "_starting", {})
    yield
    await warmup.stop_all()


@pytest.mark.models
@pytest.mark.parametrize("durations", [True, False])
async def test_a_sentence_is_said_and_its_words_placed_when_they_begin(
    tmp_path: Path, durations: bool
) -> None:
    voice = tiny_piper.make(tmp_path / "tiny.onnx", durations=durations)
    service = PiperTTSService(voice=str(voice))
    await warmup.start_all()
    async with bench(service) as running:
        await running.say("Good day to you.")
        await running.said()
        assert [word for word, _ in running.words] == ["Good", "day", "to", "you."]
        offsets = [at for _, at in running.words]
        assert offsets == sorted(set(offsets))
        frames = [seen.frame for seen in running.after.of(TTSAudioRawFrame)]
        assert {frame.sample_rate for frame in frames} == {tiny_piper.RATE_HZ}  # type: ignore[attr-defined]
        seconds = len(running.pcm) / 2 / tiny_piper.RATE_HZ
        assert offsets[-1] < seconds * 1000
        assert len(frames) == -(-len(running.pcm) // (tiny_piper.RATE_HZ // 10 * 2))
        if durations:
            # Each phoneme is two ids (itself and a pad), and ^ comes before the first.
            each_ms = 2 * tiny_piper.HOP * 1000 / tiny_piper.RATE_HZ
            assert offsets[0] == int(each_ms)
        assert running.errors == []
        assert "piper" not in sys.modules  # GPL-3: never in this process


@pytest.mark.models
async def test_an_interruption_stops_it_and_the_next_sentence_is_said(tmp_path: Path) -> None:
    service = PiperTTSService(voice=str(tiny_piper.make(tmp_path / "tiny.onnx")))
    async with bench(service) as running:
        await running.say("A long sentence that goes on and on and on and on and on and on and on.")
        await running.seen(TTSAudioRawFrame)
        running.task.interrupt()
        await running.say("Yes.")
        await running.until(lambda: running.words[-1][0] == "Yes.")
        assert running.errors == []


@pytest.mark.models
async def test_a_voice_that_is_none_is_reported(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no voice")
    with pytest.raises(
        ServiceError, match=r"the helper process of Piper ended with status 1 \(FileNotFoundError"
    ):
        await PiperTTSService.preload(str(bad)).get()


def test_a_missing_voice_raises_before_the_call_with_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BOTRUN_MODELS_DIR", str(tmp_path))
    monkeypatch.setattr(helpers, "find_spec", lambda name: object())
    with pytest.raises(MissingModelError, match=f"botrun models fetch piper {piper.VOICE}"):
        PiperTTSService()


def test_words_are_the_texts_own_where_espeak_makes_as_many() -> None:
    sentences = [list("ab cd"), list("efg")]
    words = PhonemeWords("One two. Three.", sentences)
    received = [("^", 10), ("a", 10), ("b", 10), (" ", 5), ("c", 10), ("d", 10), ("$", 5)]
    assert words.place(sentences[0], received, 60) == [(0, 10), (4, 35)]
    assert words.place(sentences[1], [], 300) == [(9, 0)]


def test_words_that_espeak_joins_or_parts_are_placed_by_how_far_they_are() -> None:
    sentences = [list("aaaa bb bb aaaa")]
    words = PhonemeWords("We have 42.", sentences)
    assert [position for position, _ in words.place(sentences[0], [], 100)] == [0, 4, 6, 7]
    joined = PhonemeWords("There are four.", [list("aaaaaaa bbb")])
    assert joined.place(list("aaaaaaa bbb"), [], 110) == [(0, 0), (10, 80)]
