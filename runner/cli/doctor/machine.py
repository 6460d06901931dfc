"""Checks of this machine: Python, packages, keys, port, UDP, microphone, clock."""

from __future__ import annotations

import contextlib
import platform
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path

from runner.errors import BotrunError
from runner.settings import KEYS, Settings, read_keys, unknown_variables

PYTHONS = ((3, 11), (3, 13))
"""The oldest and newest supported versions."""

EXTRAS = {
    "local speech recognition": ("pocketsphinx", "pip install 'botrun[local]'"),
    "local voice": ("espeakng_loader", "pip install 'botrun[local]'"),
    "Daily": ("daily", "pip install 'botrun[daily]'"),
    "ngrok": ("ngrok", "pip install 'botrun[ngrok]'"),
    "SSH tunnels": ("asyncssh", "pip install 'botrun[ssh]'"),
}

UDP_WAIT_S = 1.0


class State(Enum):
    """The result of a check; the value begins its line."""

    OK = "ok  "
    NOTE = "note"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was checked, the result, and what to do about a failure."""

    what: str
    state: State
    result: str

    def __str__(self) -> str:
        return f"{self.state.value}  {self.what}: {self.result}"


def machine_checks(
    settings: Settings, dotenv_path: Path | None, dotenv: Mapping[str, str]
) -> Iterator[Check]:
    """All checks that need no network."""
    yield _python()
    yield from _packages()
    yield _dotenv(dotenv_path, dotenv)
    for warning in unknown_variables(dotenv):
        yield Check("settings", State.NOTE, warning)
    yield from _keys(dotenv)
    yield _port(settings)
    yield from _udp()
    yield _microphone(settings)
    yield _clock()


def _python() -> Check:
    oldest, newest = PYTHONS
    result = f"{platform.python_version()} on {platform.system()}"
    if oldest <= sys.version_info[:2] <= newest:
        return Check("Python", State.OK, result)
    return Check(
        "Python", State.FAIL, f"{result}. botrun needs {oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}"
    )


def _packages() -> Iterator[Check]:
    from runner.settings.transports import TRANSPORTS

    broken = {t.install: t.missing for t in TRANSPORTS.values() if t.missing and t.name != "daily"}
    for install, missing in broken.items():
        yield Check("packages", State.FAIL, f"{', '.join(missing)} cannot be imported. Run {install}")
    if not broken:
        yield Check("packages", State.OK, "everything for the browser and the phone is installed")
    there = [name for name, (module, _) in EXTRAS.items() if find_spec(module)]
    if there:
        yield Check("extras", State.OK, f"installed: {', '.join(there)}")
    for name, (_, install) in EXTRAS.items():
        if name not in there:
            yield Check("extras", State.NOTE, f"{name} is not installed ({install})")


def _dotenv(path: Path | None, dotenv: Mapping[str, str]) -> Check:
    if path is None:
        return Check(".env", State.NOTE, "not found; settings come from the environment only")
    return Check(".env", State.OK, f"{path} sets {len(dotenv)} variables")


def _keys(dotenv: Mapping[str, str]) -> Iterator[Check]:
    there = read_keys([key.env for key in KEYS if key.secret], dotenv)
    yield Check(
        "keys", State.OK, f"set: {', '.join(there)}" if there else "none set; none is needed to start"
    )
    for key in KEYS:
        if key.instead and key.secret and key.env not in there:
            yield Check("keys", State.NOTE, f"{key.env} is not set; {key.instead} is used instead")


def _port(settings: Settings) -> Check:
    from runner.cli.listen import open_listener

    try:
        open_listener(settings.host, settings.port).close()
    except BotrunError as error:
        # Perhaps by a running bot, which is no fault.
        return Check("port", State.NOTE, str(error))
    return Check("port", State.OK, f"{settings.host} port {settings.port} is free")


def _udp() -> Iterator[Check]:
    """WebRTC needs UDP, which a firewall on this machine may block."""
    for host in dict.fromkeys(("127.0.0.1", _own_address())):
        try:
            _send_to_oneself(host)
        except OSError as error:
            yield Check("UDP", State.FAIL, f"no packet arrives on {host} ({error}). A firewall may block UDP")
        else:
            yield Check("UDP", State.OK, f"packets arrive on {host}")


def _own_address() -> str:
    """This machine's address in its network. Nothing is sent: UDP's `connect` only picks a route."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        # RFC 5737: reserved for documentation.
        out.connect(("192.0.2.1", 9))
        return str(out.getsockname()[0])
    return "127.0.0.1"


def _send_to_oneself(host: str) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind((host, 0))
        receiver.settimeout(UDP_WAIT_S)
        sender.sendto(b"botrun", receiver.getsockname())
        receiver.recv(16)


def _microphone(settings: Settings) -> Check:
    from runner.server.access import is_loopback

    if is_loopback(settings.host):
        return Check("microphone", State.OK, "the browser asks for it on this machine's page")
    return Check(
        "microphone",
        State.NOTE,
        "browsers on other machines allow it over HTTPS only. Add --https",
    )


def _clock() -> Check:
    """Signed webhooks carry their time: with a clock wrong by minutes, all would be refused."""
    installed_at = Path(__file__).stat().st_mtime
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    if time.time() < installed_at:
        return Check("clock", State.FAIL, f"{now} is before botrun was installed. Set the clock")
    return Check("clock", State.OK, f"{now} (--try compares it with a server's)")
