"""The models that run on this machine: which there are, where they lie. They come by `botrun models fetch`
only.

Names and repositories of whisper's are those of PyPI's `faster-whisper` 1.2.1 (`utils.py`, `_MODELS`); the
path of a Piper voice in its repository is that of `piper-tts` 1.8.0 (`download_voices.py`). Sizes are about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from runner.errors import MissingModelError, UsageError
from runner.settings import credentials as keys

WHISPER = "whisper"
PIPER = "piper"
KINDS = (WHISPER, PIPER)

FOLDER = "BOTRUN_MODELS_DIR"

WHISPER_MODELS = {
    "tiny.en": ("Systran/faster-whisper-tiny.en", 75),
    "tiny": ("Systran/faster-whisper-tiny", 75),
    "base.en": ("Systran/faster-whisper-base.en", 145),
    "base": ("Systran/faster-whisper-base", 145),
    "small.en": ("Systran/faster-whisper-small.en", 485),
    "small": ("Systran/faster-whisper-small", 485),
    "medium.en": ("Systran/faster-whisper-medium.en", 1530),
    "medium": ("Systran/faster-whisper-medium", 1530),
    "large-v3": ("Systran/faster-whisper-large-v3", 3090),
    "turbo": ("mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1620),
    "distil-small.en": ("Systran/faster-distil-whisper-small.en", 335),
    "distil-large-v3": ("Systran/faster-distil-whisper-large-v3", 1515),
}
"""Name → repository and MB."""

WHISPER_FILES = re.compile(
    r"(config|preprocessor_config|tokenizer|vocabulary)\.json|vocabulary\.txt|model\.bin"
)
WHISPER_NEEDS = ("config.json", "tokenizer.json", "model.bin")

PIPER_REPOSITORY = "rhasspy/piper-voices"
PIPER_VOICE = re.compile(r"(?P<family>[a-z]+)_(?P<region>[A-Z]+)-(?P<name>[^-/]+)-(?P<quality>[a-z_]+)")
PIPER_EXAMPLES = (
    "en_US-lessac-medium", "en_US-amy-medium", "en_GB-alan-medium", "de_DE-thorsten-medium",
    "fr_FR-siwis-medium",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from.

    Attributes:
        repository: owner and name on the hub.
        folder: the folder in it; empty for its root.
        wanted: which of the folder's files.
    """

    repository: str
    folder: str
    wanted: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be fetched, or is here. Raises `UsageError` if there is none of that name."""

    kind: str
    name: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"there are models of {' and '.join(KINDS)}, not of {self.kind!r}")
        if self.kind == WHISPER and self.name not in WHISPER_MODELS:
            raise UsageError(f"whisper has no model {self.name!r}; there are: {', '.join(WHISPER_MODELS)}")
        if self.kind == PIPER and not PIPER_VOICE.fullmatch(self.name):
            raise UsageError(f"{self.name!r} is no name of a Piper voice: they are like en_US-lessac-medium")

    @property
    def path(self) -> Path:
        """Its folder."""
        return models_folder() / self.kind / self.name

    @property
    def files(self) -> tuple[str, ...]:
        """What must be there for it to be whole."""
        return WHISPER_NEEDS if self.kind == WHISPER else (f"{self.name}.onnx", f"{self.name}.onnx.json")

    @property
    def is_here(self) -> bool:
        """Whether it has been fetched, wholly."""
        return all((self.path / file).is_file() for file in self.files)

    @property
    def size_mb(self) -> float:
        """What it takes on the disk."""
        files = [file for file in self.path.iterdir() if file.is_file()] if self.path.is_dir() else []
        return sum(file.stat().st_size for file in files) / 1e6

    @property
    def source(self) -> Source:
        """Where it comes from."""
        if self.kind == WHISPER:
            return Source(WHISPER_MODELS[self.name][0], "", WHISPER_FILES)
        match = PIPER_VOICE.fullmatch(self.name)
        assert match is not None
        language = f"{match['family']}_{match['region']}"
        folder = f"{match['family']}/{language}/{match['name']}/{match['quality']}"
        return Source(
            PIPER_REPOSITORY, folder, re.compile(re.escape(self.name) + r"\.onnx(\.json)?|MODEL_CARD")
        )


def models_folder() -> Path:
    """Where models lie. It need not exist yet."""
    given = keys.read(FOLDER)
    return Path(given).expanduser() if given else Path.home() / ".local" / "share" / "botrun" / "models"


def models_here() -> list[Model]:
    """All models that have been fetched."""
    found = []
    for kind in KINDS:
        folder = models_folder() / kind
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            try:
                model = Model(kind, path.name)
            except UsageError:
                continue
            if model.is_here:
                found.append(model)
    return found


def need_model(kind: str, name: str, who: str) -> Path:
    """The folder of a model; raises `MissingModelError` if it is not here. A path names one of your own."""
    if "/" in name:
        path = Path(name).expanduser()
        if not path.exists():
            raise MissingModelError(who, name, "there is no such path")
        return path
    model = Model(kind, name)
    if not model.is_here:
        raise MissingModelError(who, name, f"botrun models fetch {kind} {name}")
    return model.path
