"""End of turn by a model that listens: whether the last seconds sound as if the speaker has finished.

The model is smart-turn v3 (https://github.com/pipecat-ai/smart-turn, BSD 2-Clause) or another with its input
and output: `input_features` (1, 80, 800), the log-mel spectra of the last 8 s at 16 kHz, to one probability.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import MissingPackageError, UsageError
from runner.turns.end_of_turn import RuleTurnAnalyzer, TurnAnalyzer, TurnPauses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.vad.log_mel import Floats

LISTENS_S = 8
"""So much (s) of the turn's end the model hears; what is missing is silence before it."""

PACKAGED = ("audio", "turn", "smart_turn", "data")
"""Where pipecat-ai (1.14.0) carries the model; nothing of its code is imported."""


def preload(model_path: str | Path | None = None) -> None:
    """Load the model now, not at the first call: this one, or that of pipecat-ai, if it is there.

    A bot with a model of its own calls it at the top of its file."""
    try:
        SmartTurnAnalyzer(model_path).pause_s("hello")
    except MissingPackageError:  # then the bot names a model of its own
        if model_path is not None:
            raise


class SmartTurnAnalyzer(TurnAnalyzer):
    """Ends a turn at once where the model is sure that it is over, and waits where it is not.

    Words that ask for more ("and", "um") make it wait whatever the model heard.

    Args:
        model_path: an ONNX file; None takes the one that an installed pipecat-ai carries.
        threshold: from which probability (0 to 1) on a turn counts as over.
        pauses: how long the silence must be: `complete_s` if it is over, `unsure_s` if not, `unfinished_s`
            after words that ask for more.

    Raises:
        UsageError: there is no such model, or it takes other input.
        MissingPackageError: no path was given, and pipecat-ai is not installed.
    """

    wants_sound = True
    slow = True

    def __init__(
        self,
        model_path: str | Path | None = None,
        *,
        threshold: float = 0.5,
        pauses: TurnPauses | None = None,
    ) -> None:
        self.pauses = pauses or TurnPauses(complete_s=0.0, unsure_s=1.2, unfinished_s=1.6)
        self.threshold = threshold
        self.probability = 0.0
        self._session = _session(str(model_path or _packaged_model()))
        self._rules = RuleTurnAnalyzer(self.pauses)
        self._sound: deque[tuple[bytes, int]] = deque()
        self._sound_s = 0.0

    def hear(self, pcm: bytes, sample_rate: int) -> None:
        self._sound.append((pcm, sample_rate))
        self._sound_s += _seconds(pcm, sample_rate)
        while self._sound_s - _seconds(*self._sound[0]) >= LISTENS_S:
            self._sound_s -= _seconds(*self._sound.popleft())

    def pause_s(self, text: str) -> float:
        if self._rules.words.is_unfinished(text):
            return self.pauses.unfinished_s
        # The loop goes on hearing while this thread works.
        self.probability = self._judge(tuple(self._sound))
        return self.pauses.complete_s if self.probability >= self.threshold else self.pauses.unsure_s

    def reset(self) -> None:
        self._sound.clear()
        self._sound_s = 0.0

    def _judge(self, sound: Iterable[tuple[bytes, int]]) -> float:
        from runner.vad.log_mel import log_mel

        features = log_mel(_last_seconds(sound))[None]
        (found,) = self._session.run(None, {"input_features": features})
        return float(found.reshape(-1)[0])


def _seconds(pcm: bytes, sample_rate: int) -> float:
    return len(pcm) / 2 / sample_rate


def _last_seconds(sound: Iterable[tuple[bytes, int]]) -> Floats:
    """The last 8 s at 16 kHz, -1 to 1, silence before what is shorter."""
    import numpy as np

    from runner.audio.resampler import Resampler
    from runner.vad.log_mel import RATE_HZ

    pieces, resampler = [], None
    for pcm, rate in sound:
        if resampler is None or resampler.rate_in != rate:
            resampler = Resampler(rate, RATE_HZ)
        pieces.append(resampler.process(pcm))
    if resampler is not None:
        pieces.append(resampler.flush())
    samples = np.frombuffer(b"".join(pieces), "<i2")[-LISTENS_S * RATE_HZ :]
    padded = np.zeros(LISTENS_S * RATE_HZ, np.float32)
    if len(samples):
        padded[-len(samples) :] = samples / np.float32(32768)
    return padded


def _packaged_model() -> Path:
    found = find_spec("pipecat")
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        for model in sorted(Path(place, *PACKAGED).glob("*.onnx")):
            return model
    raise MissingPackageError(
        "SmartTurnAnalyzer without model_path", "pipecat-ai", "pip install --no-deps pipecat-ai==1.14.0"
    )


@cache
def _session(path: str) -> Any:
    """One session for all calls of the process; safe from any thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not Path(path).is_file():
        raise UsageError(f"there is no model {path}")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the boundary to onnxruntime, whose errors have no common class
        raise UsageError(f"{path} is no ONNX model: {type(error).__name__}") from error
    if [given.name for given in session.get_inputs()] != ["input_features"]:
        names = ", ".join(given.name for given in session.get_inputs())
        raise UsageError(f"{path} is no end-of-turn model: it takes {names}, not input_features")
    return session
