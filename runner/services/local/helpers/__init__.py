"""Helper processes: their optional packages, and the messages on their pipes.

    4 bytes   length of the header, big-endian
    4 bytes   length of the payload, big-endian
    header    JSON object, UTF-8
    payload   pcm, or nothing

A pipe has no message boundaries, so the reader takes any bytes and returns complete messages. `Pipe` is used
only inside a helper process, which ends when its stdin ends, because then botrun has ended.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runner.errors import MissingPackageError, ProtocolError

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


Header = dict[str, Any]

MAX_HEADER_BYTES = 64 * 1024
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024

_LENGTHS = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class Message:
    """One message between botrun and a helper."""

    header: Header = field(default_factory=dict)
    payload: bytes = b""


def encode(header: Header, payload: bytes = b"") -> bytes:
    """The message's bytes on the pipe."""
    text = json.dumps(header, separators=(",", ":")).encode()
    _check_lengths(len(text), len(payload))
    return _LENGTHS.pack(len(text), len(payload)) + text + payload


class MessageReader:
    """Turns bytes into complete messages."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Add bytes; returns the complete messages. Raises `ProtocolError` for invalid data."""
        self._waiting += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> Message | None:
        if len(self._waiting) < _LENGTHS.size:
            return None
        header_bytes, payload_bytes = _LENGTHS.unpack_from(self._waiting)
        _check_lengths(header_bytes, payload_bytes)
        payload_at = _LENGTHS.size + header_bytes
        end = payload_at + payload_bytes
        if len(self._waiting) < end:
            return None
        message = Message(
            _header(bytes(self._waiting[_LENGTHS.size : payload_at])), bytes(self._waiting[payload_at:end])
        )
        del self._waiting[:end]
        return message


def _header(text: bytes) -> Header:
    try:
        header = json.loads(text)
    except ValueError:
        raise ProtocolError("a helper's message has a header that is not JSON") from None
    if not isinstance(header, dict):
        raise ProtocolError("a helper's message has a header that is not an object")
    return header


def _check_lengths(header_bytes: int, payload_bytes: int) -> None:
    if header_bytes > MAX_HEADER_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise ProtocolError(
            f"a helper's message is too large: {header_bytes} + {payload_bytes} bytes "
            f"(at most {MAX_HEADER_BYTES} + {MAX_PAYLOAD_BYTES})"
        )


READ_BYTES = 65536
_STDIN, _STDOUT = 0, 1


class Pipe:
    """Both directions of the pipe to botrun. `send` is thread-safe."""

    def __init__(self) -> None:
        # Ctrl-C reaches every process at the terminal; the parent decides when a helper ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Output of libraries must not mix with the messages.
        self._out = os.dup(_STDOUT)
        os.dup2(2, _STDOUT)
        self._lock = threading.Lock()

    def messages(self) -> Iterator[Message]:
        """The messages from botrun, until it closes the pipe."""
        reader = MessageReader()
        while data := os.read(_STDIN, READ_BYTES):
            yield from reader.feed(data)

    def send(self, header: Header, payload: bytes = b"") -> None:
        """Send a message to botrun. If botrun closed the pipe, the process ends."""
        data = memoryview(encode(header, payload))
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._out, data) :]
            except BrokenPipeError:
                os._exit(0)
