"""The ways that people can reach a bot: adding one is adding its line to `TRANSPORTS`.

A door is the module under `runner/server` whose function gives the routes. A transport can be served when
its door stands in this version and its packages are installed.
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

    `door` is "module:function", `packages` the modules that must be importable, `install` the command that
    brings them, `path` where its users come in, `unbuilt` the sentence for a version without the door.
    """

    name: str
    door: str
    path: str
    packages: tuple[str, ...]
    install: str
    unbuilt: str

    @property
    def is_built(self) -> bool:
        return _exists(self.door.partition(":")[0])

    @property
    def missing(self) -> list[str]:
        return [package for package in self.packages if not _exists(package)]


_PHONE = "phone calls come with runner/server/endpoints/media_socket.py, which this version does not have yet"
_DAILY = "Daily rooms come with runner/server/daily/endpoint.py, which this version does not have yet"
_MEDIA_SOCKET = "runner.server.endpoints.media_socket:telephony_router"
_ANY = ("starlette",)
_REINSTALL = "pip install --force-reinstall botrun"

TRANSPORTS = {
    transport.name: transport
    for transport in (
        Transport("webrtc", "runner.server.endpoints.webrtc:webrtc_router", "/", ("aiortc",), _REINSTALL, ""),
        Transport(
            "daily",
            "runner.server.daily.endpoint:daily_router",
            "/",
            ("daily",),
            "pip install 'botrun[daily]'",
            _DAILY,
        ),
        Transport("twilio", _MEDIA_SOCKET, "/ws", _ANY, _REINSTALL, _PHONE),
        Transport("telnyx", _MEDIA_SOCKET, "/ws", _ANY, _REINSTALL, _PHONE),
        Transport("plivo", _MEDIA_SOCKET, "/ws", _ANY, _REINSTALL, _PHONE),
        Transport("exotel", _MEDIA_SOCKET, "/ws", _ANY, _REINSTALL, _PHONE),
        Transport(
            "websocket",
            _MEDIA_SOCKET,
            "/ws-client",
            _ANY,
            _REINSTALL,
            _PHONE,
        ),
    )
}


@cache
def _exists(module: str) -> bool:
    """Whether a module could be imported; its own code does not run, only its parents'."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def parse_transport(text: str) -> str:
    name = text.strip().lower()
    if name not in TRANSPORTS:
        if "," in name and all(word.strip() in TRANSPORTS for word in name.split(",")):
            one_by_one = " ".join(f"-t {word.strip()}" for word in name.split(","))
            raise UsageError(f"several are given one by one: {one_by_one}")
        known = ", ".join(TRANSPORTS)
        raise UsageError(f"{text!r} is not a transport ({known}){did_you_mean(name, list(TRANSPORTS))}")
    return name


def choose_transports(asked: Sequence[str]) -> tuple[str, ...]:
    """Those to serve: the ones asked for, the first being the default; else all that can be served."""
    if not asked:
        return tuple(
            name for name, transport in TRANSPORTS.items() if transport.is_built and not transport.missing
        )
    for name in asked:
        _check(TRANSPORTS[name])
    return tuple(dict.fromkeys(asked))


def _check(transport: Transport) -> None:
    if not transport.is_built:
        raise UsageError(f"{transport.name} cannot be served: {transport.unbuilt or 'its door is missing'}")
    if transport.missing:
        raise MissingPackageError(transport.name, ", ".join(transport.missing), transport.install)
