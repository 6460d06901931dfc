"""What `botrun doctor` looks at on this machine: Python, packages, keys, port, UDP, browser, clock."""

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
"""The oldest and the newest that botrun runs on."""

EXTRAS = {
    "local ears": ("pocketsphinx", "pip install 'botrun[local]'"),
    "local voice": ("espeakng_loader", "pip install 'botrun[local]'"),
    "Daily": ("daily", "pip install 'botrun[daily]'"),
    "ngrok": ("ngrok", "pip install 'botrun[ngrok]'"),
    "SSH tunnels": ("asyncssh", "pip install 'botrun[ssh]'"),
}

UDP_WAIT_S = 1.0


class State(Enum):
    """How a check ended; the value is what stands before its line."""

    OK = "ok  "
    NOTE = "note"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, how it is, and what to do if it is not well."""

    what: str
    state: State
    told: str

    def __str__(self) -> str:
        return f"{self.state.value}  {self.what}: {self.told}"


def machine_checks(
    settings: Settings, dotenv_path: Path | None, dotenv: Mapping[str, str]
) -> Iterator[Check]:
    """All that can be seen without a network."""
    yield _python()
    yield from _packages()
    yield _dotenv(dotenv_path, dotenv)
    for slip in unknown_variables(dotenv):
        yield Check("settings", State.NOTE, slip)
    yield from _keys(dotenv)
    yield _port(settings)
    yield from _udp()
    yield _microphone(settings)
    yield _clock()


def _python() -> Check:
    oldest, newest = PYTHONS
    told = f"{platform.python_version()} on {platform.system()}"
    if oldest <= sys.version_info[:2] <= newest:
        return Check("Python", State.OK, told)
    return Check(
        "Python", State.FAIL, f"{told}: botrun runs on {oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}"
    )


def _packages() -> Iterator[Check]:
    from runner.settings.transports import TRANSPORTS

    broken = {t.install: t.missing for t in TRANSPORTS.values() if t.missing and t.name != "daily"}
    for install, missing in broken.items():
        yield Check("packages", State.FAIL, f"{', '.join(missing)} cannot be imported: {install}")
    if not broken:
        yield Check("packages", State.OK, "all that the browser and the phones need is installed")
    there = [name for name, (module, _) in EXTRAS.items() if find_spec(module)]
    if there:
        yield Check("extras", State.OK, f"installed: {', '.join(there)}")
    for name, (_, install) in EXTRAS.items():
        if name not in there:
            yield Check("extras", State.NOTE, f"{name} not installed: {install}")


def _dotenv(path: Path | None, dotenv: Mapping[str, str]) -> Check:
    if path is None:
        return Check(".env", State.NOTE, "none here: settings come from the environment alone")
    return Check(".env", State.OK, f"{path} sets {len(dotenv)} names")


def _keys(dotenv: Mapping[str, str]) -> Iterator[Check]:
    there = read_keys([key.env for key in KEYS if key.secret], dotenv)
    yield Check(
        "keys", State.OK, f"set: {', '.join(there)}" if there else "none set, and none needed to begin"
    )
    for key in KEYS:
        if key.instead and key.secret and key.env not in there:
            yield Check("keys", State.NOTE, f"{key.env} is not set: {key.instead} is used")


def _port(settings: Settings) -> Check:
    from runner.cli.listen import open_listener

    try:
        open_listener(settings.host, settings.port).close()
    except BotrunError as error:
        # By a bot that runs already, perhaps: that is no fault.
        return Check("port", State.NOTE, str(error))
    return Check("port", State.OK, f"{settings.host} port {settings.port} is free")


def _udp() -> Iterator[Check]:
    """WebRTC's sound is UDP: a firewall on this machine may keep it from itself."""
    for host in dict.fromkeys(("127.0.0.1", _own_address())):
        told = f"packets come through on {host}"
        try:
            _send_to_oneself(host)
        except OSError as error:
            yield Check("UDP", State.FAIL, f"nothing comes through on {host} ({error}): a firewall, probably")
        else:
            yield Check("UDP", State.OK, told)


def _own_address() -> str:
    """This machine's address in its network. Nothing is sent: UDP's `connect` only picks a route."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        # RFC 5737: an address for documentation, which is nobody's.
        out.connect(("192.0.2.1", 9))
        return str(out.getsockname()[0])
    return "127.0.0.1"


def _send_to_oneself(host: str) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
    ):
        ear.bind((host, 0))
        ear.settimeout(UDP_WAIT_S)
        mouth.sendto(b"botrun", ear.getsockname())
        ear.recv(16)


def _microphone(settings: Settings) -> Check:
    from runner.server.access.local_only import is_loopback

    if is_loopback(settings.host):
        return Check("microphone", State.OK, "the browser's: it is asked for on this machine's own page")
    return Check(
        "microphone",
        State.NOTE,
        "a browser on another machine gives it to a page over HTTPS only: put HTTPS in front",
    )


def _clock() -> Check:
    """Signed webhooks carry their time; a clock that is wrong by minutes refuses all of them."""
    installed_at = Path(__file__).stat().st_mtime
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    if time.time() < installed_at:
        return Check("clock", State.FAIL, f"{now} lies before botrun was installed: set the clock")
    return Check("clock", State.OK, f"{now} (doctor --try compares it with a server's)")
