"""The workers of `botrun serve`, from before their fork to their end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from runner.sessions.admission import RunLoad
from runner.supervisor.capacity import carried, carried_apart
from runner.supervisor.crash_loop import LASTS_S
from runner.supervisor.processes import Worker
from runner.worker.messages import Message, WorkerLoad


@dataclass(frozen=True, kw_only=True)
class PoolPlan:
    """On how many workers a bot is served, and within which limits.

    Attributes:
        workers: how many.
        grace_s: how long calls may go on after SIGTERM (s).
        capacity: calls that one worker carries; 0 if lag and CPU decide.
        most_calls: calls that the run may have at once; 0 is no limit.
        public_calls: the same for calls through the public address.
        memory_mb: of a worker, above which it is replaced; 0 is no limit.
        spare: with a process for each call, how many wait for one; 0 is without.
        cores: of this machine.
    """

    workers: int
    grace_s: float
    capacity: int = 0
    most_calls: int = 0
    public_calls: int = 0
    memory_mb: int = 0
    spare: int = 0
    cores: int = 1

    def carried(self, members: Members) -> RunLoad:
        """What they carry. With a process for each call, `capacity` is the run's."""
        if self.spare:
            limits = [limit for limit in (self.capacity, self.most_calls) if limit]
            return carried_apart(
                members.all_loads(), len(members.accepting), min(limits, default=0), self.cores
            )
        return carried(members.loads(), self.capacity, self.most_calls)


@dataclass(eq=False)
class Member:
    """One worker.

    Attributes:
        number: counts from 1.
        replaces: the worker that retires once this one accepts.
        worker: its process, once it is forked.
        accepting_since: when it began to accept (monotonic).
        load: as it last reported.
        retiring: whether it finishes its calls and ends.
        single: whether it is for one call, and had one (`used`).
    """

    number: int
    replaces: Member | None = None
    worker: Worker | None = None
    accepting_since: float | None = None
    load: WorkerLoad | None = None
    retiring: bool = False
    single: bool = False
    used: bool = False
    reported_at: float = field(default_factory=time.monotonic)

    @property
    def worker_id(self) -> str:
        return self.worker.id if self.worker is not None else ""

    @property
    def accepts(self) -> bool:
        return self.accepting_since is not None and not self.retiring

    def lasted(self) -> bool:
        """Whether it has accepted for long enough not to be part of a crash loop."""
        return self.accepting_since is not None and time.monotonic() - self.accepting_since >= LASTS_S

    def kill(self) -> None:
        """End its process at once."""
        if self.worker is not None:
            self.worker.kill()

    def send(self, message: Message) -> None:
        if self.worker is not None:
            self.worker.send(message)


class Members:
    """All workers, also those that are being forked or retire."""

    def __init__(self) -> None:
        self._all: list[Member] = []
        self._begun = 0

    def begin(self, replaces: Member | None = None, *, single: bool = False) -> Member:
        """A new worker, about to be forked."""
        self._begun += 1
        member = Member(self._begun, replaces, single=single)
        self._all.append(member)
        return member

    def drop(self, worker: Worker) -> Member | None:
        """This process has ended."""
        found = next((member for member in self._all if member.worker is worker), None)
        if found is not None:
            self._all.remove(found)
            for member in self._all:
                if member.replaces is found:
                    member.replaces = None
        return found

    @property
    def count(self) -> int:
        """Those that accept or will, but for replacements of others."""
        return sum(1 for m in self._all if not m.retiring and m.replaces is None and not m.single)

    @property
    def waiting(self) -> int:
        """Processes for one call that have had none."""
        return sum(1 for member in self._all if member.single and not member.used)

    def stuck(self, for_s: float) -> list[Member]:
        """Processes whose one call has kept them from reporting for so long."""
        before = time.monotonic() - for_s
        return [m for m in self._all if m.single and m.used and m.reported_at < before]

    @property
    def accepting(self) -> list[Member]:
        return [member for member in self._all if member.accepts]

    @property
    def workers(self) -> list[Worker]:
        return [member.worker for member in self._all if member.worker is not None]

    @property
    def calls(self) -> int:
        """Under way, or announced, on all workers."""
        return sum(load.calls + load.reserved for load in self._loads(self._all))

    def loads(self) -> list[WorkerLoad]:
        """What those that accept have reported."""
        return list(self._loads(self.accepting))

    def all_loads(self) -> list[WorkerLoad]:
        """What all have reported."""
        return list(self._loads(self._all))

    def may_replace(self, member: Member) -> bool:
        """Whether it accepts calls, more than one, and is not being replaced."""
        return (
            member.accepts and not member.single and not any(other.replaces is member for other in self._all)
        )

    def _loads(self, members: list[Member]) -> Iterator[WorkerLoad]:
        for member in members:
            if member.load is not None:
                yield member.load
