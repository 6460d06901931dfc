"""The end of a turn by a model that listens, with a model of a few hundred bytes that the test makes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from runner.errors import MissingPackageError, UsageError
from runner.testing import Conversation
from runner.turns.end_of_turn import TurnPauses
from runner.vad import smart_turn
from runner.vad.smart_turn import SmartTurnAnalyzer, _last_seconds, log_mel

TONE = (np.sin(np.arange(8000) * 0.3) * 8000).astype("<i2").tobytes()


def make(path: Path, *, takes: str = "input_features") -> Path:
    """Sure (over 0.5) that the turn is over if its last 0.1 s is quieter than all of it on average."""
    from onnx import TensorProto, helper, save_model

    given = helper.make_tensor_value_info(takes, TensorProto.FLOAT, ["batch", 80, 800])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    numbers = {"from": [790], "to": [800], "axis": [2]}
    constants = [helper.make_tensor(name, TensorProto.INT64, [1], value) for name, value in numbers.items()]
    nodes = [
        helper.make_node("Slice", [takes, "from", "to", "axis"], ["end"]),
        helper.make_node("ReduceMean", ["end"], ["loud_end"], axes=[1, 2], keepdims=0),
        helper.make_node("ReduceMean", [takes], ["loud"], axes=[1, 2], keepdims=0),
        helper.make_node("Sub", ["loud", "loud_end"], ["quieter"]),
        helper.make_node("Sigmoid", ["quieter"], ["logits"]),
    ]
    graph = helper.make_graph(nodes, "tiny", [given], [logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    save_model(model, str(path))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make(tmp_path / "turn.onnx")


def test_spectra_show_a_tone_in_its_band_and_silence_80_decibels_below() -> None:
    samples = np.zeros(32000, np.float32)
    samples[16000:] = np.sin(np.arange(16000) * 2 * np.pi * 1000 / 16000)
    spectra = log_mel(samples)
    assert spectra.shape == (80, 200)
    # 1 kHz is the 15th of 45.245 mels, of which 80 bands take even steps.
    assert abs(int(spectra[:, 150].argmax()) - round(15 / 45.245 * 81 - 1)) <= 1
    assert spectra[:, 150].max() - spectra[:, 50].max() == pytest.approx(2.0, abs=0.05)


def test_loudness_does_not_matter() -> None:
    sound = np.random.default_rng(1).standard_normal(16000).astype(np.float32)
    assert np.allclose(log_mel(sound), log_mel(sound * np.float32(0.01)), atol=1e-3)


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_the_model_hears_the_last_eight_seconds_at_its_rate(rate: int) -> None:
    piece = np.full(rate, 16384, "<i2").tobytes()
    short = _last_seconds([(piece, rate)] * 2)
    assert (len(short), np.count_nonzero(np.abs(short) > 0.4)) == (128000, pytest.approx(32000, abs=100))
    assert np.count_nonzero(np.abs(_last_seconds([(piece, rate)] * 11)) > 0.4) == pytest.approx(
        128000, abs=100
    )


@pytest.mark.models
def test_a_turn_that_sounds_over_ends_sooner(model: Path) -> None:
    analyzer = SmartTurnAnalyzer(model, pauses=TurnPauses(complete_s=0.0, unsure_s=1.0, unfinished_s=2.0))
    analyzer.hear(TONE, 16000)
    analyzer.hear(bytes(8000), 16000)
    assert analyzer.pause_s("at ten o'clock") == 0.0
    analyzer.hear(TONE, 16000)
    assert analyzer.pause_s("at ten o'clock") == 1.0
    assert analyzer.pause_s("I would like a, um") == 2.0, "words that ask for more count more than the sound"


@pytest.mark.models
def test_after_the_turn_its_sound_is_forgotten_and_long_sound_is_not_kept(model: Path) -> None:
    analyzer = SmartTurnAnalyzer(model)
    for _ in range(100):
        analyzer.hear(bytes(16000), 16000)
    assert sum(len(pcm) for pcm, _ in analyzer._sound) <= 8 * 32000 + 16000
    analyzer.reset()
    assert not analyzer._sound


class Sure(SmartTurnAnalyzer):
    """Notes in which text it was asked."""

    asked: Sequence[str] = ()
    slow = False  # a thread has no virtual time

    def pause_s(self, text: str) -> float:
        self.asked = [*self.asked, text]
        return super().pause_s(text)


@pytest.mark.models
def test_in_a_conversation_it_is_asked_about_what_was_said(model: Path) -> None:
    analyzer = Sure(model, pauses=TurnPauses(complete_s=0.0, unsure_s=0.0, unfinished_s=1.6))
    it = Conversation("It is ten.", turn_analyzer=analyzer)

    async def script() -> None:
        await it.caller.say("what time is it")
        await it.bot_is_silent()

    it.run(script)
    assert "what time is it" in analyzer.asked
    assert it.remembered() == [("user", "what time is it"), ("assistant", "It is ten.")]


@pytest.mark.models
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("none", "there is no model"),
        ("text", "is not an ONNX model"),
        ("other", "it takes sound, not input_features"),
    ],
)
def test_a_file_that_is_no_such_model_is_reported_in_a_sentence(
    fault: str, sentence: str, model: Path
) -> None:
    path = model.with_name("other.onnx")
    if fault == "text":
        path.write_text("nothing of the kind")
    elif fault == "other":
        make(path, takes="sound")
    with pytest.raises(UsageError, match=sentence):
        SmartTurnAnalyzer(path)


def test_without_a_path_or_the_package_that_carries_one_the_command_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(smart_turn, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="pip install --no-deps pipecat-ai"):
        SmartTurnAnalyzer()


def test_loading_before_the_first_call_leaves_a_bot_alone_whose_model_is_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(smart_turn, "find_spec", lambda name: None)
    smart_turn.preload()


@pytest.mark.models
def test_what_was_loaded_before_the_first_call_is_what_the_call_uses(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smart_turn, "_packaged_model", lambda: model)
    smart_turn.preload()
    hits = smart_turn._session.cache_info().hits
    SmartTurnAnalyzer()
    assert smart_turn._session.cache_info().hits == hits + 1
