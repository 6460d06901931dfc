"""Models that run on this machine: names, storage and download.

Only `botrun models fetch` downloads, with `huggingface_hub`. Each file is a `.part` in botrun's folder until
its checksum is verified.

Whisper's names and repositories are those of PyPI's `faster-whisper` 1.2.1 (`utils.py`, `_MODELS`); the
path of a Piper voice in its repository is that of `piper-tts` 1.8.0 (`download_voices.py`). Sizes are
approximate.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runner.errors import MissingModelError, ServiceError, UsageError
from runner.services.local.helpers import require_extra
from runner.settings import credentials as keys

if TYPE_CHECKING:
    from huggingface_hub import RepoFile


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
"""Name → repository, size in MB."""

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
        wanted: matches the names of the files to download.
    """

    repository: str
    folder: str
    wanted: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be downloaded, or is installed. Raises `UsageError` for an unknown name."""

    kind: str
    name: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"there are models of {' and '.join(KINDS)}, not of {self.kind!r}")
        if self.kind == WHISPER and self.name not in WHISPER_MODELS:
            raise UsageError(f"whisper has no model {self.name!r}; there are: {', '.join(WHISPER_MODELS)}")
        if self.kind == PIPER and not PIPER_VOICE.fullmatch(self.name):
            raise UsageError(f"{self.name!r} is not a Piper voice: names look like en_US-lessac-medium")

    @property
    def path(self) -> Path:
        """Its folder."""
        return models_folder() / self.kind / self.name

    @property
    def files(self) -> tuple[str, ...]:
        """The files that a complete model has."""
        return WHISPER_NEEDS if self.kind == WHISPER else (f"{self.name}.onnx", f"{self.name}.onnx.json")

    @property
    def is_here(self) -> bool:
        """Whether it is installed, with all files."""
        return all((self.path / file).is_file() for file in self.files)

    @property
    def size_mb(self) -> float:
        """Its size on disk."""
        files = [file for file in self.path.iterdir() if file.is_file()] if self.path.is_dir() else []
        return sum(file.stat().st_size for file in files) / 1e6

    @property
    def source(self) -> Source:
        """Where to download it."""
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
    """The folder of all models; it may not exist yet."""
    given = keys.read(FOLDER)
    return Path(given).expanduser() if given else Path.home() / ".local" / "share" / "botrun" / "models"


def models_here() -> list[Model]:
    """All installed models."""
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
    """The folder of a model, given by name or path. Raises `MissingModelError` if it is not installed."""
    if "/" in name:
        path = Path(name).expanduser()
        if not path.exists():
            raise MissingModelError(who, name, "there is no such path")
        return path
    model = Model(kind, name)
    if not model.is_here:
        raise MissingModelError(who, name, f"botrun models fetch {kind} {name}")
    return model.path


HUB = "https://huggingface.co"
CONNECT_TIMEOUT_S = 5.0

_PIECE_BYTES = 1 << 16

Progress = Callable[[str, int, int], None]
"""Called with a file's name, how many bytes of it have arrived, and its size in bytes."""


def fetch(model: Model, hub: str = HUB, progress: Progress = lambda name, here, size: None) -> None:
    """Download the missing files of a model. Raises `ServiceError` or `UsageError` with one sentence.

    Args:
        model: the model.
        hub: the address of the hub, such as https://huggingface.co, or of a mirror.
        progress: called as bytes arrive.
    """
    require_extra("huggingface_hub", "huggingface-hub", model.kind, "botrun models fetch")
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    hub = hub.rstrip("/")
    host = urlsplit(hub).netloc or hub
    _check_reachable(hub, host)
    try:
        files = _files_of(model, hub)
        missing = [name for name in model.files if name not in files]
        if missing:
            raise ServiceError(f"{host} has no {missing[0]} of {model.kind} {model.name}")
        model.path.mkdir(parents=True, exist_ok=True)
        _check_room(model, files)
        # The largest file is last: the model is complete once it has arrived.
        for name, file in sorted(files.items(), key=lambda item: item[1].size):
            _bring(model, hub, name, file, progress)
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 404):  # the hub also answers 401 for unknown repositories
            raise ServiceError(f"{host} has no {model.kind} {model.name} ({status})") from None
        raise ServiceError(f"{host} answered {status}: try again later") from None


def _files_of(model: Model, hub: str) -> dict[str, RepoFile]:
    """The model's files on the hub, by name without folder."""
    import httpx2
    from huggingface_hub import HfApi, RepoFile
    from huggingface_hub.errors import HfHubHTTPError

    source = model.source
    api = HfApi(endpoint=hub, token=False)
    try:
        tree = list(api.list_repo_tree(source.repository, path_in_repo=source.folder or None))
    except httpx2.HTTPError as error:
        if isinstance(error, HfHubHTTPError):
            raise
        raise _unreachable(urlsplit(hub).netloc, error) from error
    files = {Path(entry.path).name: entry for entry in tree if isinstance(entry, RepoFile)}
    return {name: file for name, file in files.items() if source.wanted.fullmatch(name)}


def _bring(model: Model, hub: str, name: str, file: RepoFile, progress: Progress) -> None:
    import httpx2
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    final, part = model.path / name, model.path / f"{name}.part"
    if final.is_file() and final.stat().st_size == file.size:
        progress(name, file.size, file.size)
        return
    if _size_of(part) > file.size:
        part.unlink()  # it belongs to another version
    url = hf_hub_url(model.source.repository, file.path, endpoint=hub)
    try:
        with part.open("ab") as content:
            http_get(
                url, content, resume_size=_size_of(part), expected_size=file.size, displayed_filename=name,
                tqdm_class=_bar(name, file.size, progress),
            )  # fmt: skip
    except HfHubHTTPError:
        raise
    except (OSError, httpx2.HTTPError) as error:
        if not _size_of(part):
            raise _unreachable(urlsplit(hub).netloc, error) from error
        percent = 100 * _size_of(part) // (file.size or 1)
        raise ServiceError(f"{name}: interrupted at {percent} %. Run the command again to resume.") from error
    if not _is_this(part, file):
        part.unlink()
        raise ServiceError(f"{name} arrived damaged: its checksum is not the hub's. Run the command again.")
    part.replace(final)


def _bar(name: str, size: int, progress: Progress) -> Any:
    """A progress bar for `huggingface_hub` that reports its position to `progress`."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, initial: int = 0, **options: Any) -> None:
            super().__init__(*args, disable=True)
            self._here = initial

        def update(self, n: float | None = 1) -> None:
            self._here += int(n or 0)
            progress(name, self._here, size)

    return Bar


def _is_this(path: Path, file: RepoFile) -> bool:
    """Whether a file has the hub's checksum: SHA-256 for large files, git's SHA-1 for small ones."""
    if path.stat().st_size != file.size:
        return False
    large = file.lfs is not None
    digest = hashlib.sha256() if large else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    with path.open("rb") as content:
        while piece := content.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest() == (file.lfs.sha256 if file.lfs is not None else file.blob_id)


def _check_reachable(hub: str, host: str) -> None:
    """Raises at once if there is no network: `huggingface_hub` tries for 24 s."""
    import urllib.request

    address = urlsplit(hub)
    if address.scheme in urllib.request.getproxies():
        return
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise _unreachable(host, error) from error


def _unreachable(host: str, error: Exception) -> ServiceError:
    why = str(error) or type(error).__name__
    return ServiceError(
        f"{host} cannot be reached ({why}). Models need the network once: connect, copy the models folder "
        "from another machine, or name a mirror with --from"
    )


def _check_room(model: Model, files: dict[str, RepoFile]) -> None:
    wanted = sum(file.size for name, file in files.items() if not (model.path / name).is_file())
    here = sum(part.stat().st_size for part in model.path.glob("*.part"))
    free = shutil.disk_usage(model.path).free
    if wanted - here > free:
        what = f"{model.kind} {model.name} needs {(wanted - here) / 1e6:.0f} MB"
        raise UsageError(f"{what}, and {model.path} has {free / 1e6:.0f} MB free")


def _size_of(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
