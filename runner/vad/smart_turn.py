"""End-of-turn detection by an audio model: do the last seconds sound as if the speaker has finished?

The model is smart-turn v3 (https://github.com/pipecat-ai/smart-turn, BSD 2-Clause) or another with its input
and output: `input_features` (1, 80, 800), the log-mel spectra of the last 8 s at 16 kHz, to one probability.

The spectra are those of Whisper's encoder, with the parameters of `transformers`' WhisperFeatureExtractor (80
bands): 16 kHz, Hann windows of 25 ms every 10 ms, Slaney's mel bands from 0 to 8 kHz, in dB down to 80 dB
below the maximum, scaled around zero.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from runner.errors import MissingPackageError, UsageError
from runner.turns.end_of_turn import RuleTurnAnalyzer, TurnAnalyzer, TurnPauses

if TYPE_CHECKING:
    from collections.abc import Iterable


Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

RATE_HZ = 16000
WINDOW = 400
HOP = 160
BANDS = 80

_LEAST_POWER = 1e-10
_RANGE = 8.0  # decades of power: 80 dB
_LEAST_VARIANCE = 1e-7

# Slaney's mel scale: even steps up to 1 kHz, even ratios above.
_LINEAR_STEP_HZ = 200 / 3
_BEND_HZ = 1000.0
_BEND_MEL = _BEND_HZ / _LINEAR_STEP_HZ
_RATIO = np.log(6.4) / 27


def log_mel(samples: Floats) -> Floats:
    """Spectra of sound at 16 kHz, -1 to 1: (80, len / 160). The sound is normalised first."""
    level = (samples - samples.mean()) / np.sqrt(samples.var() + _LEAST_VARIANCE)
    padded = np.pad(level.astype(np.float64), WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    # The last window extends beyond the end by half its length; it is dropped.
    spectra = np.fft.rfft(windows[: len(samples) // HOP] * _hann(), axis=1)
    power = _bands() @ (spectra.real**2 + spectra.imag**2).T
    tenfolds = np.log10(np.maximum(power, _LEAST_POWER))
    scaled: Floats = ((np.maximum(tenfolds, tenfolds.max() - _RANGE) + 4.0) / 4.0).astype(np.float32)
    return scaled


@cache
def _hann() -> Doubles:
    return np.hanning(WINDOW + 1)[:-1]


@cache
def _bands() -> Doubles:
    """Triangular mel filters of equal area: (80, 201)."""
    lines = np.linspace(0, RATE_HZ / 2, WINDOW // 2 + 1)
    edges = _to_hz(np.linspace(0.0, _to_mel(RATE_HZ / 2), BANDS + 2))
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (lines - low) / (middle - low), (high - lines) / (high - middle)
    bands: Doubles = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low))
    return bands


def _to_mel(hz: float) -> float:
    return float(_BEND_MEL + np.log(hz / _BEND_HZ) / _RATIO) if hz >= _BEND_HZ else hz / _LINEAR_STEP_HZ


def _to_hz(mel: Doubles) -> Doubles:
    above: Doubles = _BEND_HZ * np.exp(_RATIO * (mel - _BEND_MEL))
    return np.where(mel < _BEND_MEL, mel * _LINEAR_STEP_HZ, above)


LISTENS_S = 8
"""Length (s) of the model's input; a shorter turn is padded with silence before it."""

PACKAGED = ("audio", "turn", "smart_turn", "data")
"""The model's folder in pipecat-ai (1.14.0), whose code is not imported."""


find_spec = PathFinder.find_spec
"""Searches only the disk; `importlib.util` would also find `runner.integrations.pipecat_names`."""


def preload(model_path: str | Path | None = None) -> None:
    """Load the model before the first call: this one, or pipecat-ai's if it is installed. A bot with its own
    model should call it at the top of its file."""
    try:
        SmartTurnAnalyzer(model_path).pause_s("hello")
    except MissingPackageError:  # the bot then passes its own model
        if model_path is not None:
            raise


class SmartTurnAnalyzer(TurnAnalyzer):
    """Ends a turn at once if the model is confident that it is over, and waits otherwise.

    It always waits after words that continue ("and", "um").

    Args:
        model_path: an ONNX file; None = the one in the installed pipecat-ai.
        threshold: minimum probability (0 to 1) for a turn to count as over.
        pauses: the silence that ends a turn: `complete_s` if it is over, `unsure_s` if not, `unfinished_s`
            after words that continue.

        Raises:
        UsageError: the model does not exist, or has other inputs.
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
        # A copy: the event loop appends sound while this thread works.
        self.probability = self._judge(tuple(self._sound))
        return self.pauses.complete_s if self.probability >= self.threshold else self.pauses.unsure_s

    def reset(self) -> None:
        self._sound.clear()
        self._sound_s = 0.0

    def _judge(self, sound: Iterable[tuple[bytes, int]]) -> float:
        features = log_mel(_last_seconds(sound))[None]
        (found,) = self._session.run(None, {"input_features": features})
        return float(found.reshape(-1)[0])


def _seconds(pcm: bytes, sample_rate: int) -> float:
    return len(pcm) / 2 / sample_rate


def _last_seconds(sound: Iterable[tuple[bytes, int]]) -> Floats:
    """The last 8 s at 16 kHz, -1 to 1, padded with silence at the start."""
    import numpy as np

    from runner.audio.resampler import Resampler

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
    """One session for all calls of the process; thread-safe."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not Path(path).is_file():
        raise UsageError(f"there is no model {path}")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise UsageError(f"{path} is not an ONNX model: {type(error).__name__}") from error
    if [given.name for given in session.get_inputs()] != ["input_features"]:
        names = ", ".join(given.name for given in session.get_inputs())
        raise UsageError(f"{path} is not an end-of-turn model: it takes {names}, not input_features")
    return session
