"""Fetches a model's files from a hub: what was begun is gone on with, and what came is what was meant.

Wire, read from PyPI's `huggingface_hub` 2.4.0: `hf_api.py` `list_repo_tree`: `GET
/api/models/REPO/tree/main/FOLDER` is a list of `{"type": "file", "path", "size", "oid", "lfs": {"oid":
sha256, "size"}}`; `constants.py` `HUGGINGFACE_CO_URL_TEMPLATE`: a file is at `/REPO/resolve/main/PATH`. A
file without `lfs` has git's blob hash as its `oid`. Unconfirmed: tried against a server in the tests only.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from runner.errors import ServiceError, UsageError
from runner.services.models.installed import Model

if TYPE_CHECKING:
    import httpx2

HUB = "https://huggingface.co"
TIMEOUT_S = 20.0
TRIES = 4
"""A download that breaks off is gone on with so often, as long as each try brings something."""

_PIECE_BYTES = 1 << 16

Progress = Callable[[str, int, int], None]
"""Told of a file's name, how much of it is here, and its size, in bytes."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on the hub. `sha256` is empty for small files, which have git's own hash, `git_sha1`."""

    path: str
    size: int
    sha256: str
    git_sha1: str

    @property
    def name(self) -> str:
        """Without its folder."""
        return self.path.rsplit("/", 1)[-1]

    def is_this(self, file: Path) -> bool:
        """Whether a file's content is what the hub says it is."""
        if self.sha256:
            digest = hashlib.sha256()
        elif self.git_sha1:
            digest = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        else:
            return file.stat().st_size == self.size
        with file.open("rb") as content:
            while piece := content.read(_PIECE_BYTES):
                digest.update(piece)
        return digest.hexdigest() == (self.sha256 or self.git_sha1)


class Fetcher:
    """Brings models to this machine. A context manager: it holds a connection.

    Args:
        hub: where from, as https://huggingface.co.
        progress: told how far it is.
    """

    def __init__(self, hub: str = HUB, progress: Progress = lambda name, here, size: None) -> None:
        import httpx2

        self._hub = hub.rstrip("/")
        self._host = urlsplit(self._hub).netloc or self._hub
        self._progress = progress
        self._client = httpx2.Client(follow_redirects=True, timeout=TIMEOUT_S)

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *raised: object) -> None:
        self._client.close()

    def fetch(self, model: Model) -> None:
        """Bring all files of a model, or the rest of them. Raises `ServiceError` with one sentence."""
        files = self.files_of(model)
        missing = [file for file in model.files if file not in {remote.name for remote in files}]
        if missing:
            raise ServiceError(f"{self._host} has no {missing[0]} of {model.kind} {model.name}")
        model.path.mkdir(parents=True, exist_ok=True)
        self._see_that_there_is_room(model, files)
        # The largest comes last: a model is whole when that is there.
        for file in sorted(files, key=lambda file: file.size):
            self._bring(model, file)

    def files_of(self, model: Model) -> list[RemoteFile]:
        """What the hub has of a model."""
        source = model.source
        folder = f"/{quote(source.folder)}" if source.folder else ""
        listed = self._get(f"{self._hub}/api/models/{source.repository}/tree/main{folder}", model)
        try:
            files = [_remote_file(entry) for entry in listed.json() if entry["type"] == "file"]
        except (ValueError, LookupError, TypeError):
            raise ServiceError(f"{self._host} sent no list of files: {listed.text[:80]!r}") from None
        return [file for file in files if source.wanted.fullmatch(file.name)]

    def _get(self, url: str, model: Model) -> httpx2.Response:
        import httpx2

        try:
            answer = self._client.get(url)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.status_code in (401, 404):  # the hub says 401 of what does not exist, too
            raise ServiceError(f"{self._host} has no {model.kind} {model.name} ({answer.status_code})")
        if answer.status_code != 200:
            raise ServiceError(f"{self._host} answered {answer.status_code}: try again later")
        return answer

    def _unreachable(self, error: Exception) -> ServiceError:
        why = str(error) or type(error).__name__
        return ServiceError(
            f"{self._host} cannot be reached ({why}): models come over the network, this once; on a machine "
            "without it, copy the folder of models from another one, or name a mirror with --from"
        )

    def _see_that_there_is_room(self, model: Model, files: list[RemoteFile]) -> None:
        wanted = sum(file.size for file in files if not (model.path / file.name).is_file())
        here = sum(part.stat().st_size for part in model.path.glob("*.part"))
        free = shutil.disk_usage(model.path).free
        if wanted - here > free:
            missing_mb, free_mb = (wanted - here) / 1e6, free / 1e6
            what = f"{model.kind} {model.name} takes {missing_mb:.0f} MB"
            raise UsageError(f"{what}, and {model.path} has room for {free_mb:.0f}")

    def _bring(self, model: Model, file: RemoteFile) -> None:
        final = model.path / file.name
        if final.is_file() and final.stat().st_size == file.size:
            self._progress(file.name, file.size, file.size)
            return
        part = model.path / f"{file.name}.part"
        url = f"{self._hub}/{model.source.repository}/resolve/main/{quote(file.path)}"
        self._complete(part, file, url)
        if not file.is_this(part):
            part.unlink()
            raise ServiceError(
                f"{file.name} came damaged: its checksum is not what {self._host} says; try again"
            )
        part.replace(final)

    def _complete(self, part: Path, file: RemoteFile, url: str) -> None:
        import httpx2

        if _size_of(part) == file.size:
            return  # a command that was ended just before it looked at it
        for _ in range(TRIES):
            before = _size_of(part)
            try:
                for here in self._append(part, file, url):
                    self._progress(file.name, here, file.size)
            except httpx2.HTTPError as error:
                if not _size_of(part):
                    raise self._unreachable(error) from error
            if _size_of(part) == file.size:
                return
            if _size_of(part) == before:
                break
        how_far = f"{_size_of(part)} of {file.size} bytes"
        raise ServiceError(f"{file.name} broke off at {how_far}; the same command goes on from there")

    def _append(self, part: Path, file: RemoteFile, url: str) -> Iterator[int]:
        """Go on with the file where it ends, or begin anew where the server knows no ranges."""
        here = _size_of(part)
        if here > file.size:
            here = 0  # it is of another version
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={here}-"} if here else {})}
        with self._client.stream("GET", url, headers=headers) as answer:
            if answer.status_code not in (200, 206):
                raise ServiceError(
                    f"{self._host} answered {answer.status_code} for {file.name}: try again later"
                )
            if answer.status_code == 200:
                here = 0
            with part.open("ab" if here else "wb") as content:
                for piece in answer.iter_raw():
                    content.write(piece)
                    here += len(piece)
                    yield here


def _remote_file(entry: dict[str, Any]) -> RemoteFile:
    lfs = entry.get("lfs") or {}
    sha256 = str(lfs.get("oid") or "")
    return RemoteFile(
        str(entry["path"]), int(entry["size"]), sha256, "" if sha256 else str(entry.get("oid") or "")
    )


def _size_of(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
