"""The values of `--transport`.

`runner/server/app.py` registers the code that serves each. A transport is available if its packages are
installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from runner.errors import MissingPackageError, UsageError
from runner.settings.parsing import did_you_mean


@dataclass(frozen=True, slots=True)
class Transport:
    """One value of `--transport`.

    Attributes:
        path: where callers connect.
        packages: modules that must be importable.
        install: the command that installs them.
    """

    name: str
    path: str
    packages: tuple[str, ...] = ("starlette",)
    install: str = "pip install --force-reinstall botrun"

    @property
    def missing(self) -> list[str]:
        return [package for package in self.packages if not _exists(package)]


TRANSPORTS = {
    transport.name: transport
    for transport in (
        Transport("webrtc", "/", ("aiortc",)),
        Transport("daily", "/", ("daily",), "pip install 'botrun[daily]'"),
        Transport("twilio", "/ws"),
        Transport("telnyx", "/ws"),
        Transport("plivo", "/ws"),
        Transport("exotel", "/ws"),
        Transport("websocket", "/ws-client"),
    )
}


@cache
def _exists(module: str) -> bool:
    """Whether a module can be imported. Runs the code of its parent packages, not its own."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def parse_transport(text: str) -> str:
    name = text.strip().lower()
    if name not in TRANSPORTS:
        if "," in name and all(word.strip() in TRANSPORTS for word in name.split(",")):
            one_by_one = " ".join(f"-t {word.strip()}" for word in name.split(","))
            raise UsageError(f"repeat the flag for several transports: {one_by_one}")
        known = ", ".join(TRANSPORTS)
        raise UsageError(f"{text!r} is not a transport ({known}){did_you_mean(name, list(TRANSPORTS))}")
    return name


def choose_transports(asked: Sequence[str]) -> tuple[str, ...]:
    """The transports to serve, the default first: those asked for, else all that are available."""
    if not asked:
        return tuple(name for name, transport in TRANSPORTS.items() if not transport.missing)
    for name in asked:
        _check(TRANSPORTS[name])
    return tuple(dict.fromkeys(asked))


def _check(transport: Transport) -> None:
    if transport.missing:
        raise MissingPackageError(transport.name, ", ".join(transport.missing), transport.install)
