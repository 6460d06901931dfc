"""What supervisor, fork server, workers and the public keeper say to each other, one JSON line a message.

    supervisor  ─ ImportModules, ImportLater, Fork ─▶  fork server  ─ Forked, Ended ─▶  supervisor
    supervisor  ─ Accept … CallFunction ─▶  worker  ─ Loaded … LeftOut ─▶  supervisor
    supervisor  ─ OpenTunnel … CloseTunnel ─▶  keeper  ─ TunnelOpen, NumberOpen, KeeperFailed ─▶  supervisor

`{"v": 1, "type": "Forked", "worker": "3", "pid": 4711}`. All ends run the same version of botrun, except when
it is upgraded during a run: then `decode` refuses what it does not know, with one sentence.
"""

from __future__ import annotations

import contextlib
import json
import logging
import types
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from runner.botcode.failure import Failure
from runner.errors import ProtocolError
from runner.eventloop.json_channel import Channel
from runner.server.public.address import PublicAddress
from runner.worker.spec import KeeperJob, WorkerJob

logger = logging.getLogger(__name__)

VERSION = 1
Json = dict[str, Any]

Received = TypeVar("Received")


class MessageError(ProtocolError):
    """A line that is no message of this version."""


# ------------------------------------------------------------------ supervisor → fork server


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportModules:
    """Import these before the next fork; those that cannot be imported are left out."""

    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLater:
    """Import what the first worker had to load itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Fork a process; its end of the channel comes along (SCM_RIGHTS)."""

    worker: str
    job: WorkerJob | KeeperJob


# ------------------------------------------------------------------ fork server → supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Forked:
    """`Fork` was done."""

    worker: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A process has ended. `status` is negative after a signal."""

    pid: int
    status: int


# ------------------------------------------------------------------ supervisor → worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Accept calls now, also at this public address."""

    public: PublicAddress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """Accept no more: hand over the calls that can move, finish the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeCall:
    """A call from older code; answered by `CallTaken`."""

    call: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTaken:
    """The newer worker has the call (both directions; the supervisor passes it on)."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeState:
    """Whether the code on disk loads; `failure` says why not."""

    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskState:
    """Answered by `State`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedTotals:
    """The sum of what these workers counted; they have ended."""

    totals: Json
    workers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastTotals:
    """What a worker counted that ends now."""

    worker: str
    totals: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFunction:
    """Call module:function with the `Host`."""

    function: str


# ------------------------------------------------------------------ worker → supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The bot is imported and everything is ready; `modules` are as in `ImportedFiles`."""

    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailed:
    """The bot could not be loaded."""

    failure: Failure
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepting:
    """Calls are accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFiles:
    """The user's modules that are imported by now: a bot may import more in a call."""

    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """After `Retire`: from now on the newer code answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveCall:
    """A call for the newer worker."""

    call: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What `/status` answers."""

    state: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What this worker has counted. `last`: it ends."""

    totals: Json
    last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BotFailed:
    """The bot failed in a call, which waits for the next save."""

    failure: Failure
    session: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What of a call could not be handed over, in sentences."""

    session: str
    what: tuple[str, ...]


# ------------------------------------------------------------------ supervisor → keeper


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTunnel:
    """Open the tunnel; answered by `TunnelOpen`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenNumber:
    """A worker answers at the port: try the address, point the number here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack:
    """The run ends: point the number back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseTunnel:
    """The last call is over: close the tunnel and end."""


# ------------------------------------------------------------------ keeper → supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelOpen:
    """The run's public address."""

    address: PublicAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberOpen:
    """The address leads here, and the number points to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperFailed:
    """The public address cannot be opened."""

    failure: Failure


ToForkServer = ImportModules | ImportLater | Fork
FromForkServer = Forked | Ended
ToWorker = (
    Accept | Retire | TakeCall | CallTaken | CodeState | AskState | EndedTotals | LastTotals | CallFunction
)
FromWorker = (
    Loaded | LoadFailed | Accepting | ImportedFiles | Held | MoveCall | CallTaken | State | Totals | BotFailed
    | LeftOut
)  # fmt: skip
ToKeeper = OpenTunnel | OpenNumber | GiveBack | CloseTunnel
FromKeeper = TunnelOpen | NumberOpen | KeeperFailed
Message = ToForkServer | FromForkServer | ToWorker | FromWorker | ToKeeper | FromKeeper


def encode(message: Message) -> bytes:
    """One line. Raises `TypeError` for what JSON cannot carry."""
    line = {"v": VERSION, "type": type(message).__name__}
    for field in fields(message):
        line[field.name] = _plain(getattr(message, field.name))
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def decode(line: bytes | str, kinds: Any) -> Any:
    """The message in a line. `kinds` are those that this end receives, such as `ToWorker`.

    Raises:
        MessageError: the line is not JSON, of another version, or no well-formed message of these kinds.
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
    """A `Channel` of typed messages: the receiver skips what it cannot read, with one line in the log."""

    def __init__(self, channel: Channel, kinds: Any, peer: str) -> None:
        self._channel = channel
        self._kinds = kinds
        self._peer = peer

    def send(self, message: Message) -> None:
        self._channel.send_line(encode(message))

    async def messages(self) -> AsyncIterator[Received]:
        """All messages, until the other end is gone."""
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
