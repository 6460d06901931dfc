"""What supervisor, fork server, workers and the public keeper say to each other, one JSON line a message.

    supervisor  ─ ImportModules, ImportLater, Fork ─▶  fork server  ─ Forked, Ended ─▶  supervisor
    supervisor  ─ Accept … OpenPage ─▶  worker  ─ Loaded … LeftOut ─▶  supervisor
    supervisor  ─ OpenTunnel … CloseTunnel ─▶  keeper  ─ TunnelOpen, NumberOpen, KeeperFailed ─▶  supervisor

And what a forked process starts with: its job, and the open files that it was handed. `encoding.py` makes
lines of the messages.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.botcode.failure import Failure
from runner.server.public.address import PublicAddress
from runner.sessions.admission import RunLoad

if TYPE_CHECKING:
    from runner.server.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """What all processes of a run are given.

    Attributes:
        typed: FILE or FILE:function, as on the command line.
        file: the bot's file.
        flags: the command line's flags; each process resolves its settings again.
        fixed: settings that an edited `.env` does not change.
        folder: the run's own, for sockets and traces.
    """

    typed: str
    file: str
    flags: dict[str, Any]
    fixed: dict[str, Any]
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolJob:
    """What a worker of `botrun serve` is given more: it gets its connections from the supervisor.

    Attributes:
        calls: the most that it takes; 0 is no limit.
    """

    calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJob:
    """Load the bot and serve its calls.

    Attributes:
        trace: the file for faulthandler, which SIGUSR1 fills while the bot is imported.
        announce: show where the run can be reached as soon as calls are accepted.
        pool: for a worker of `botrun serve`; None for one that is replaced at each save.
    """

    run: RunJob
    trace: str
    announce: bool = False
    pool: PoolJob | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperJob:
    """Keep the public address. `former` is the one that an earlier keeper of this run had."""

    run: RunJob
    former: PublicAddress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunActions:
    """What the accepting worker does for the run's terminal; handed in by the program (`cli/fork_server.py`).

    Attributes:
        prepare: imports what the others need, before workers are forked.
        announce: shows where the run can be reached.
        open_page: opens the run's page in a browser; the text is a path of another one, or "".
    """

    prepare: Callable[[], None]
    announce: Callable[[Host], None]
    open_page: Callable[[Host, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """What a forked process starts with.

    Attributes:
        id: digits; ids of its calls begin with it.
        job: what it does.
        channel: its end of the connection to the supervisor.
        listener: the main port.
        public: the public port, if the run has a public address.
        actions: what it does for the terminal.
        writes: a pipe; each path that this process opens for writing goes there first, one a line.
    """

    id: str
    job: WorkerJob | KeeperJob
    channel: socket.socket
    listener: socket.socket
    actions: RunActions
    public: socket.socket | None = None
    writes: int = -1


Json = dict[str, Any]


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
class Announce:
    """Show where the run can be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPage:
    """Open the run's page in a browser, or the one at `path`."""

    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Accept no more calls, and answer so; those under way go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCarries:
    """What all workers carry."""

    load: RunLoad


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
class WorkerLoad:
    """What a worker of `botrun serve` carries now.

    Attributes:
        calls: under way.
        reserved: calls that were announced to it and have not come.
        cpu: cores, of late.
        lag_ms: of its event loop, p95 of late.
        memory_mb: resident.
    """

    calls: int
    reserved: int
    cpu: float
    lag_ms: float
    memory_mb: float


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
class Slots:
    """So many public calls may be under way or announced; 0 is no limit."""

    calls: int


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
    Accept | Retire | TakeCall | CallTaken | CodeState | AskState | EndedTotals | LastTotals | Announce
    | OpenPage | Drain | RunCarries
)  # fmt: skip
FromWorker = (
    Loaded | LoadFailed | Accepting | ImportedFiles | Held | MoveCall | CallTaken | State | Totals | BotFailed
    | LeftOut | WorkerLoad
)  # fmt: skip
ToKeeper = OpenTunnel | OpenNumber | Slots | GiveBack | CloseTunnel
FromKeeper = TunnelOpen | NumberOpen | KeeperFailed
Message = ToForkServer | FromForkServer | ToWorker | FromWorker | ToKeeper | FromKeeper
