"""Whether Pipecat is installed so that a bot can run on it."""

from __future__ import annotations

import re
from importlib import metadata
from importlib.machinery import PathFinder

from runner.botcode.failure import install_command
from runner.errors import UsageError

PIPECAT = "pipecat"
DISTRIBUTION = "pipecat-ai"

MOST_MISSING = 4
"""With more of its dependencies missing than this, Pipecat was installed without any (`--no-deps`)."""


class PipecatBrokenError(UsageError, ModuleNotFoundError):
    """Pipecat is installed, but some of its dependencies are not."""


def is_usable() -> bool:
    """Whether a bot can run on Pipecat here."""
    return PathFinder.find_spec(PIPECAT) is not None and not _missing_dependencies()


def why_absent() -> str:
    """Why Pipecat cannot run here, as the end of a sentence; "" if it can.

    Raises:
        PipecatBrokenError: it could, but for some packages.
    """
    if PathFinder.find_spec(PIPECAT) is None:
        return "pipecat is not installed"
    missing = _missing_dependencies()
    if len(missing) > MOST_MISSING:
        return "pipecat is installed without its dependencies"
    if missing:
        names = " and ".join(missing)
        raise PipecatBrokenError(
            f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)} is installed, but it needs {names}, which "
            f"{'is' if len(missing) == 1 else 'are'} not: {install_command(' '.join(missing))}"
        )
    return ""


def _missing_dependencies() -> list[str]:
    try:
        wanted = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # a source tree on the path
        return []
    # A requirement with a marker belongs to an extra, or to some Pythons only.
    names = [match[0] for one in wanted if ";" not in one and (match := re.match(r"[\w.-]+", one))]
    return [name for name in names if not _is_installed(name)]


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
