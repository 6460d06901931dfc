"""Encodes the messages between the processes of a run as JSON lines, and decodes them.

    {"v": 1, "type": "Forked", "worker": "3", "pid": 4711}

Every message is a dataclass in `messages.py`; `decode` checks its annotations, so a new message needs no code
here. All processes run the same version of botrun unless it is upgraded during a run; `decode` then refuses
unknown messages with one clear error.
"""

from __future__ import annotations

import contextlib
import json
import logging
import types
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from runner.errors import ProtocolError
from runner.eventloop.json_channel import Channel
from runner.worker.messages import KeeperJob, Message, WorkerJob

logger = logging.getLogger(__name__)

VERSION = 1

Received = TypeVar("Received")


class MessageError(ProtocolError):
    """A line that is not a message of this version."""


def encode(message: Message) -> bytes:
    """The message as one line. Raises `TypeError` if JSON cannot represent it."""
    line = {"v": VERSION, "type": type(message).__name__}
    for field in fields(message):
        line[field.name] = _plain(getattr(message, field.name))
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def decode(line: bytes | str, kinds: Any) -> Any:
    """The message in a line. `kinds`: the types that this process receives, such as `ToWorker`.

    Raises:
        MessageError: the line is not JSON, has another version, or is not a valid message of these types.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"a message is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise MessageError(f"a message is not a JSON object but {type(found).__name__}")
    if (version := found.pop("v", None)) != VERSION:
        raise MessageError(f"a message has version {version!r}, this process has {VERSION}: restart botrun")
    name = found.pop("type", None)
    kind = next((one for one in get_args(kinds) or (kinds,) if one.__name__ == name), None)
    if kind is None:
        raise MessageError(f"a message has the unknown type {name!r}")
    return _built(kind, found, str(name))


class MessageChannel(Generic[Received]):
    """A `Channel` of typed messages. The receiver skips and logs messages that it cannot decode."""

    def __init__(self, channel: Channel, kinds: Any, peer: str) -> None:
        self._channel = channel
        self._kinds = kinds
        self._peer = peer

    def send(self, message: Message) -> None:
        self._channel.send_line(encode(message))

    async def messages(self) -> AsyncIterator[Received]:
        """All messages until the other process closes the channel."""
        async for line in self._channel.lines():
            message: Received | None = None
            try:
                message = decode(line, self._kinds)
            except MessageError as error:
                logger.error("%s: %s; botrun ignores it", self._peer, error)
            if message is not None:
                yield message

    async def flush(self) -> None:
        await self._channel.flush()

    async def aclose(self) -> None:
        with contextlib.suppress(OSError):
            await self._channel.aclose()


# ------------------------------------------------------------------ values


def _plain(value: Any) -> Any:
    if isinstance(value, (WorkerJob, KeeperJob)):
        return {"type": type(value).__name__, **asdict(value)}
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _built(kind: Any, found: Mapping[str, Any], where: str) -> Any:
    hints = _hints(kind)
    if unknown := [name for name in found if name not in hints]:
        raise MessageError(f"{where} has the unknown field {unknown[0]!r}")
    values = {name: _value(hints[name], value, f"{where}.{name}") for name, value in found.items()}
    try:
        return kind(**values)
    except TypeError:
        missing = [name for name in hints if name not in found]
        raise MessageError(f"{where} lacks {', '.join(missing)}") from None


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _value(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _one_of(get_args(kind), value, where)
    if is_dataclass(kind):
        if isinstance(value, dict):
            return _built(kind, value, where)
    elif origin is tuple:
        if isinstance(value, list):
            return tuple(_value(get_args(kind)[0], item, where) for item in value)
    elif origin in (dict, Mapping):
        if isinstance(value, dict):
            return {name: _value(get_args(kind)[1], item, where) for name, item in value.items()}
    elif type(value) is kind:
        return value
    raise MessageError(f"{where} is not of the type {getattr(kind, '__name__', kind)}")


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    """`X | None`, or one of several dataclasses, named by "type"."""
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    if len(kinds) == 1:
        return _value(kinds[0], value, where)
    named = dict(value) if isinstance(value, dict) else {}
    name = named.pop("type", None)
    for kind in kinds:
        if kind.__name__ == name:
            return _built(kind, named, where)
    raise MessageError(f"{where} has the unknown type {name!r}")
