"""Fetches a model's files from a hub with `huggingface_hub`: resumes what was interrupted, checks what came.

`huggingface_hub` lists the files and reads them, with its retries; the files go to botrun's own folder, one
`.part` file each until its checksum is right.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runner.errors import ServiceError, UsageError
from runner.services.local.helpers.packages import require_extra
from runner.services.models.installed import Model

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

HUB = "https://huggingface.co"
CONNECT_TIMEOUT_S = 5.0

_PIECE_BYTES = 1 << 16

Progress = Callable[[str, int, int], None]
"""Called with a file's name, how many of its bytes are here, and its size."""


def fetch(model: Model, hub: str = HUB, progress: Progress = lambda name, here, size: None) -> None:
    """Fetch all files of a model, or the rest of them. Raises `ServiceError` or `UsageError` with one
    sentence.

    Args:
        model: which one.
        hub: its address, as https://huggingface.co, or a mirror's.
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
        # The largest file comes last: the model is complete once that is there.
        for name, file in sorted(files.items(), key=lambda item: item[1].size):
            _bring(model, hub, name, file, progress)
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 404):  # the hub answers 401 for what does not exist, too
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
        part.unlink()  # of another version
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
    """A progress bar as `huggingface_hub` wants one, that passes its position on."""
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
