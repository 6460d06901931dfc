"""Messages between supervisor, fork server, workers and the public keeper, one JSON line each.

    supervisor  ─ ImportModules, ImportLater, Fork ─▶  fork server  ─ Forked, Ended ─▶  supervisor
    supervisor  ─ Accept … OpenPage ─▶  worker  ─ Loaded … LeftOut ─▶  supervisor
    supervisor  ─ OpenTunnel … CloseTunnel ─▶  keeper  ─ TunnelOpen, NumberOpen, KeeperFailed ─▶  supervisor

Also what a forked process starts with: its job and its open files. `encoding.py` encodes the messages.
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
    """The job data of all processes of a run.

    Attributes:
        typed: FILE or FILE:function, as on the command line.
        file: the bot's file.
        flags: the command line's flags; each process resolves its settings again.
        fixed: settings that an edited `.env` does not change.
        folder: the run's folder for sockets and traces.
    """

    typed: str
    file: str
    flags: dict[str, Any]
    fixed: dict[str, Any]
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolJob:
    """Further job data of a worker of `botrun serve`, which gets its connections from the supervisor.

    Attributes:
        calls: maximum number of concurrent calls; 0 = unlimited.
    """

    calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJob:
    """Load the bot and serve its calls.

    Attributes:
        trace: the file to which faulthandler writes on SIGUSR1 while the bot is imported.
        announce: whether to show the run's addresses as soon as calls are accepted.
        pool: for a worker of `botrun serve`; None for one that is replaced at each save.
    """

    run: RunJob
    trace: str
    announce: bool = False
    pool: PoolJob | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperJob:
    """Keep the public address. `former`: the address of an earlier keeper of this run."""

    run: RunJob
    former: PublicAddress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunActions:
    """What the accepting worker does for the run's terminal; passed in by `cli/fork_server.py`.

    Attributes:
        prepare: imports what the other actions need, before workers are forked.
        announce: shows the run's addresses.
        open_page: opens the run's page in a browser; the text is the path of another page, or "".
    """

    prepare: Callable[[], None]
    announce: Callable[[Host], None]
    open_page: Callable[[Host, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """What a forked process starts with.

    Attributes:
        id: digits; the ids of its calls start with it.
        job: what it does.
        channel: its end of the connection to the supervisor.
        listener: the socket of the main port.
        public: the socket of the public port, if the run has a public address.
        actions: what it does for the terminal.
        writes: a pipe to which the process writes each path before it opens it for writing, one per line.
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
    """Import these before the next fork; skip those that cannot be imported."""

    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLater:
    """Import what the first worker had to import itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Fork a process. Its end of the channel is passed with the message (SCM_RIGHTS)."""

    worker: str
    job: WorkerJob | KeeperJob


# ------------------------------------------------------------------ fork server → supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Forked:
    """A process was forked."""

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
    """Accept calls now, at this public address too."""

    public: PublicAddress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """Accept no more calls: hand over those that can move, finish the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeCall:
    """A call from older code; answered by `CallTaken`."""

    call: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTaken:
    """The newer worker has the call. Sent in both directions: the supervisor forwards it."""

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
    """The summed statistics of these workers, which have ended."""

    totals: Json
    workers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastTotals:
    """The last statistics of a worker that ends now."""

    worker: str
    totals: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """Show the run's addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPage:
    """Open the run's page, or the one at `path`, in a browser."""

    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Refuse further calls; active ones continue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCarries:
    """The load of all workers."""

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
    """The user's modules imported so far; a bot may import more during a call."""

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
    """The content of `/status`."""

    state: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The worker's statistics. `last`: the worker ends."""

    totals: Json
    last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """The load of a worker of `botrun serve`.

    Attributes:
        calls: number of active calls.
        reserved: number of announced calls that have not connected yet.
        cpu: recent CPU usage, in cores.
        lag_ms: recent p95 lag of its event loop.
        memory_mb: resident memory.
    """

    calls: int
    reserved: int
    cpu: float
    lag_ms: float
    memory_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BotFailed:
    """The bot failed in a call; the call waits for the next save."""

    failure: Failure
    session: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What could not be handed over in a call, as sentences."""

    session: str
    what: tuple[str, ...]


# ------------------------------------------------------------------ supervisor → keeper


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTunnel:
    """Open the tunnel; answered by `TunnelOpen`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenNumber:
    """A worker answers at the port: check the address, then point the number to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """Maximum number of active and announced public calls; 0 = unlimited."""

    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack:
    """The run ends: restore the number's previous webhook."""


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
    """The address was checked, and the number points to it."""


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
