"""Helper processes, and the optional packages that they need."""

from importlib.util import find_spec
from pathlib import Path

from runner.errors import MissingPackageError

EARS_PACKAGE = "pocketsphinx"
VOICE_PACKAGE = "espeakng_loader"

_DISTRIBUTIONS = {EARS_PACKAGE: "pocketsphinx", VOICE_PACKAGE: "espeakng-loader"}


def missing_packages() -> list[str]:
    """The packages that the local services need and that are not installed, by their names on PyPI."""
    return [name for module, name in _DISTRIBUTIONS.items() if find_spec(module) is None]


def require(module: str, what: str) -> None:
    """Raise `MissingPackageError` if `module` is not installed; loads nothing."""
    if find_spec(module) is None:
        raise MissingPackageError(what, _DISTRIBUTIONS[module], install_command())


def install_command() -> str:
    """The command that installs them: a dependency group in a checkout, an extra of the wheel."""
    checkout = Path(__file__).parents[4] / "pyproject.toml"
    return "uv sync" if checkout.is_file() else "pip install 'botrun[local]'"


def require_extra(module: str, distribution: str, extra: str, what: str) -> None:
    """Raise `MissingPackageError` if the package of an extra is not installed; loads nothing."""
    if find_spec(module) is None:
        in_checkout = install_command() == "uv sync"
        install = f"uv sync --extra {extra}" if in_checkout else f"pip install 'botrun[{extra}]'"
        raise MissingPackageError(what, distribution, install)
