"""Reads YAML node by node, so that every error has its line."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from runner.errors import UsageError
from runner.settings.parsing import did_you_mean

if TYPE_CHECKING:
    import yaml

LARGEST_FILE = 256 * 1024

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, None: 1.0}
LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class Reader:
    """A node in a YAML file."""

    path: Path
    node: yaml.Node

    @property
    def line(self) -> int:
        """The line number, from 1."""
        return int(self.node.start_mark.line) + 1

    def fail(self, sentence: str) -> NoReturn:
        """Raise `UsageError` with file and line."""
        raise UsageError(f"{self.path}:{self.line}: {sentence}")

    @property
    def is_mapping(self) -> bool:
        return bool(self.node.id == "mapping")  # type: ignore[attr-defined]

    @property
    def is_empty(self) -> bool:
        """Whether there is no value, as in `hang_up:`."""
        return self._is_scalar and self.node.tag == "tag:yaml.org,2002:null"

    @property
    def _is_scalar(self) -> bool:
        return bool(self.node.id == "scalar")  # type: ignore[attr-defined]

    # ------------------------------------------------------------ values

    def items(self, what: str) -> Iterator[tuple[Reader, Reader]]:
        """Keys and values of a mapping."""
        if not self.is_mapping:
            self.fail(f"{what} must be `name: value` pairs")
        for key, value in self.node.value:
            yield Reader(self.path, key), Reader(self.path, value)

    def fields(self, what: str, known: Collection[str]) -> dict[str, Reader]:
        """A mapping with only these keys."""
        found: dict[str, Reader] = {}
        for key, value in self.items(what):
            name = key.text(f"a name in {what}")
            if name not in known:
                key.fail(f"{what} has no {name!r}{did_you_mean(name, list(known))} ({', '.join(known)})")
            if name in found:
                key.fail(f"{name!r} appears twice")
            found[name] = value
        return found

    def list(self, what: str) -> list[Reader]:
        """The entries of a list."""
        if self.node.id != "sequence":  # type: ignore[attr-defined]
            self.fail(f"{what} must be a list")
        return [Reader(self.path, entry) for entry in self.node.value]

    def texts(self, what: str, *, empty: bool = False) -> tuple[str, ...]:
        """One text, or a list of texts; `empty`: "" is allowed."""
        if empty and self._is_scalar and self.node.tag == "tag:yaml.org,2002:str" and not self.node.value:
            return ("",)
        if self._is_scalar:
            return (self.text(what),)
        return tuple(entry.text(what) for entry in self.list(what))

    def text(self, what: str) -> str:
        """A non-empty text."""
        if not self._is_scalar or not str(self.node.value).strip():
            self.fail(f"{what} must be a text")
        return str(self.node.value).strip()

    def duration_s(self, what: str, *, most_s: float = LONGEST_S) -> float:
        """A duration such as 700ms, 1.5s or 2 (seconds), in seconds."""
        found = _DURATION.fullmatch(str(self.node.value).strip()) if self._is_scalar else None
        if found is None:
            self.fail(f"{what} must be a duration such as 700ms or 1.5s")
        seconds = round(float(found[1]) * _SECONDS[found[2]], 6)
        if seconds > most_s:
            self.fail(f"{what} must be {most_s:g} s at most")
        return seconds

    def number(self, what: str, least: float, most: float) -> float:
        """A number within bounds."""
        try:
            value = float(self.node.value)
        except (TypeError, ValueError):
            value = float("nan")
        if not least <= value <= most:
            self.fail(f"{what} must be a number from {least:g} to {most:g}")
        return value

    def count(self, what: str, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self.number(what, least, most)
        if value != int(value):
            self.fail(f"{what} must be a whole number")
        return int(value)

    def boolean(self, what: str) -> bool:
        if self.node.tag != "tag:yaml.org,2002:bool":
            self.fail(f"{what} must be true or false")
        return str(self.node.value).lower() in ("true", "yes", "on")


def read_yaml(path: Path) -> Reader:
    """Read a file; return its root node.

    Raises:
        UsageError: the file cannot be read, or is not YAML.
    """
    import yaml

    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(data) > LARGEST_FILE:
        raise UsageError(f"{path} is larger than {LARGEST_FILE // 1024} kB")
    try:
        node = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UsageError(f"{where}: this is not YAML: {getattr(error, 'problem', None) or error}") from None
    if node is None:
        raise UsageError(f"{path}:1: this file is empty")
    return Reader(path, node)
