"""The user's files are always compiled from their source, without Python's bytecode files.

A bytecode file counts as fresh if its source has the same size and was changed in the same second. So a
second save within a second that keeps the file's length, `version 1` to `version 2`, would load the old code.
"""

from __future__ import annotations

import sys
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path

INSTALLED = {"site-packages", "dist-packages"}
OURS = Path(__file__).parents[1]

_folders: list[Path] = []


class SourceLoader(SourceFileLoader):
    """Loads a module from its source; reads and writes no bytecode file."""

    def path_stats(self, path: str) -> dict[str, float]:
        raise OSError(f"{path}: bytecode files are not used")  # importlib then compiles the source


def compile_always(folder: Path) -> None:
    """From now on, modules in this folder and below are compiled from their source, except installed ones."""
    folder = folder.resolve()
    if folder in _folders:
        return
    if not _folders:
        sys.path_hooks.insert(0, _finder)
    _folders.append(folder)
    for known in [path for path in sys.path_importer_cache if _is_users(path)]:
        del sys.path_importer_cache[known]


def _is_users(path: str) -> bool:
    place = Path(path).resolve()
    return (
        any(place.is_relative_to(folder) for folder in _folders)
        and INSTALLED.isdisjoint(place.parts)
        and not place.is_relative_to(OURS)
    )


def _finder(path: str) -> FileFinder:
    if not Path(path).is_dir() or not _is_users(path):
        raise ImportError(path=path)
    return FileFinder(
        path,
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (SourceLoader, SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    )
