"""The listening socket, bound before the bot is loaded so that a port in use is reported at once.

It starts to listen once the bot can take calls. Until then, connections are refused rather than kept waiting.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from runner.errors import BotrunError, UsageError


class PortError(BotrunError):
    """The port cannot be used."""


def open_listener(host: str, port: int) -> socket.socket:
    """A bound TCP socket; `port` 0 picks a free one.

    Raises:
        UsageError: this machine does not have the address.
        PortError: the port is in use, or needs other privileges.
    """
    family, address = _resolve(host, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by its connections. asyncio does not set it if the listener's `proto` is 0 (uvloop does);
        # a response of two packets then waits 40 ms for the peer's delayed ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _explain(error, host, port) from error
    return listener


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Host and port that it listens on."""
    host, port = listener.getsockname()[:2]
    return host, port


def _resolve(host: str, port: int) -> tuple[int, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UsageError(f"--host: {host!r} is not an address of this machine") from None
    # IPv4 first: for `localhost`, browsers try both, other clients often only IPv4.
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, address  # type: ignore[return-value]


def _explain(error: OSError, host: str, port: int) -> BotrunError:
    if error.errno == errno.EADDRINUSE:
        return PortError(
            f"port {port} is in use{_by_whom(port)}. Use --port 0 to pick a free one, or --port N"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"--host: {host!r} is not an address of this machine")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return PortError(f"this user may not listen on port {port}. Use --port with 1024 or more")
    return PortError(f"cannot listen on {host} port {port}: {error.strerror or error}")


# ------------------------------------------------------------------ the process on the port (Linux)


def _by_whom(port: int) -> str:
    for pid in _pids_of(set(_inodes_of(port))):
        return f" (pid {pid}, {_name_of(pid)})"
    return ""


def _inodes_of(port: int) -> Iterator[str]:
    """Inodes of the sockets that listen on a port: proc(5), /proc/net/tcp."""
    listening = "0A"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _lines(table)[1:]:
            columns = line.split()
            if int(columns[1].rpartition(":")[2], 16) == port and columns[3] == listening:
                yield columns[9]


def _pids_of(inodes: set[str]) -> Iterator[int]:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for folder in Path("/proc").glob("[0-9]*/fd") if wanted else ():
        if any(link in wanted for link in _links(folder)):
            yield int(folder.parent.name)


def _links(folder: Path) -> Iterator[str]:
    try:
        names = os.listdir(folder)
    except OSError:  # another user's process, or one that has just ended
        return
    for name in names:
        try:
            yield os.readlink(folder / name)
        except OSError:
            continue


def _name_of(pid: int) -> str:
    # Not its whole command line, which may contain a password.
    return (_lines(f"/proc/{pid}/comm") or ["a program"])[0]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return []
