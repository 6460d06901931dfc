"""What a process of the run starts with: its job, and the open files that it was handed."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from runner.server.public.address import PublicAddress


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
class WorkerJob:
    """Load the bot and serve its calls.

    Attributes:
        trace: the file for faulthandler, which SIGUSR1 fills while the bot is imported.
        announce: module:function, called with the `Host` when calls are first accepted; "" for none.
    """

    run: RunJob
    trace: str
    announce: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperJob:
    """Keep the public address. `former` is the one that an earlier keeper of this run had."""

    run: RunJob
    former: PublicAddress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """What a forked process starts with.

    Attributes:
        id: digits; ids of its calls begin with it.
        job: what it does.
        channel: its end of the connection to the supervisor.
        listener: the main port.
        public: the public port, if the run has a public address.
        writes: a pipe; each path that this process opens for writing goes there first, one a line.
    """

    id: str
    job: WorkerJob | KeeperJob
    channel: socket.socket
    listener: socket.socket
    public: socket.socket | None = None
    writes: int = -1
