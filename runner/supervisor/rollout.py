"""Which worker accepts, what moves from the one before to the next, and what ended workers have counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from runner.botcode.failure import Failure
from runner.sessions.stats import CallTotals, added
from runner.supervisor.loading import Load
from runner.supervisor.processes import Worker
from runner.worker.messages import (
    AskState,
    CallFunction,
    CodeState,
    EndedTotals,
    LastTotals,
    Retire,
    TakeCall,
)

logger = logging.getLogger(__name__)


class Rollout:
    """The workers that accept, one after the other.

    Attributes:
        current: the worker that accepts calls, if one does.
        failure: what is wrong with the code on disk.
        has_begun: whether any has ever accepted.
    """

    def __init__(self) -> None:
        self.current: Worker | None = None
        self.failure: Failure | None = None
        self.has_begun = False
        self._waiting_calls: list[dict[str, Any]] = []
        self._news = "", 0.0

    def switch(self, load: Load) -> None:
        """The loaded worker accepts: retire the one before, and pass on the calls that wait."""
        worker, old, was_broken = load.worker, self.current, self.failure is not None
        self.current, self.failure = worker, None
        self._news = load.why + ("fixed; " if was_broken else ""), load.begun
        if old is not None:
            old.send(Retire())
        elif self.has_begun:
            self.log_switch()
        self.has_begun = True
        self._send_code_state()
        for call in self._waiting_calls:
            worker.send(TakeCall(call=call))
        self._waiting_calls.clear()

    def log_switch(self) -> None:
        """The worker before holds its calls, or there was none: the new code answers."""
        what, begun = self._news
        logger.info("%sthe new code answers (%.2f s)", what, time.monotonic() - begun)

    def broken(self, failure: Failure) -> None:
        """The code on disk does not load; the worker that accepts goes on."""
        self.failure = failure
        if not self.has_begun:
            return  # the run ends with this failure
        logger.error("%s", failure.shown())
        logger.info(
            "the previous code keeps serving; fix the error and save"
            if self.current is not None
            else "no calls are accepted until the error is fixed and saved"
        )
        self._send_code_state()

    def move(self, worker: Worker, call: dict[str, Any]) -> None:
        """Pass a call of this worker to the one that accepts now, or next."""
        if self.current is not None and self.current is not worker:
            self.current.send(TakeCall(call=call))
        else:
            self._waiting_calls.append(call)

    def _send_code_state(self) -> None:
        if self.current is not None:
            self.current.send(CodeState(failure=self.failure))


class EndedWorkers:
    """What a run's workers counted: the latest totals of each that lives, and the sum of those that ended."""

    def __init__(self) -> None:
        self._latest: dict[str, dict[str, Any]] = {}
        self._sum = CallTotals()
        self._ended: list[str] = []

    def update(self, worker: Worker, totals: dict[str, Any]) -> None:
        """A worker has reported what it counted."""
        self._latest[worker.id] = totals

    def last(self, worker: Worker) -> LastTotals | None:
        """For the other workers, when one ends; None if it never reported."""
        totals = self._latest.get(worker.id)
        return None if totals is None else LastTotals(worker=worker.id, totals=totals)

    def close(self, worker: Worker) -> None:
        """It has ended."""
        totals = self._latest.pop(worker.id, None)
        if totals is not None:
            self._ended.append(worker.id)
            ended = CallTotals.read(totals)
            ended.active.clear()
            self._sum = added([self._sum, ended])

    def sum(self) -> EndedTotals:
        """For a worker that begins."""
        return EndedTotals(totals=self._sum.packed(), workers=tuple(self._ended))


class RunView:
    """A supervised run, as the terminal sees and controls it.

    Args:
        rollout: which worker accepts.
        restart: loads the bot again.
        stop: ends the run.
    """

    def __init__(self, rollout: Rollout, *, restart: Callable[[], None], stop: Callable[[], None]) -> None:
        self._rollout = rollout
        self._restart = restart
        self._stop = stop
        self._state: Mapping[str, Any] = {}

    def update(self, worker: Worker, state: Mapping[str, Any]) -> None:
        """A worker has answered `look`."""
        if worker is self._rollout.current:
            self._state = state

    def look(self) -> None:
        """Ask the accepting worker for the state of all calls."""
        if self._rollout.current is not None:
            self._rollout.current.send(AskState())

    def state(self) -> Mapping[str, Any]:
        """As `/status`, at the last `look`; empty while no worker accepts."""
        return self._state if self._rollout.current is not None else {}

    def notice(self) -> str:
        """What is wrong with the code on disk; empty if nothing is."""
        failure = self._rollout.failure
        return failure.shown() if failure is not None else ""

    def order(self, function: str) -> None:
        """Have the accepting worker call module:function with its `Host`."""
        if self._rollout.current is not None:
            self._rollout.current.send(CallFunction(function=function))

    def restart(self) -> None:
        """Load the bot again; conversations move, as with a save."""
        self._restart()

    def stop(self) -> None:
        """End the run, as Ctrl-C does."""
        self._stop()
