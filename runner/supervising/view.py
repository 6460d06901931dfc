"""What a terminal shows of a run, and the orders that it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.supervising.supervisor import Supervisor
    from runner.supervising.workers import Worker


class RunView:
    """A supervised run, seen from the terminal.

    Its workers are asked by `look`; `state` is what they said last.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._states: dict[str, Mapping[str, Any]] = {}

    def take(self, worker: Worker, state: Mapping[str, Any]) -> None:
        """A worker has answered."""
        self._states[worker.id] = state

    def look(self) -> None:
        """Ask all workers how their calls go."""
        for worker in self._supervisor.living:
            worker.tell({"do": "look"})

    def state(self) -> Mapping[str, Any]:
        """As `/status`: the serving worker's, with the calls that older ones finish."""
        living = [worker.id for worker in self._supervisor.living]
        self._states = {key: value for key, value in self._states.items() if key in living}
        current = self._supervisor.current
        newest = self._states.get(current.id, {}) if current is not None else {}
        calls = [call for state in self._states.values() for call in state.get("sessions", ())]
        return {**newest, "sessions": calls}

    def notice(self) -> str:
        """What is wrong with the code on disk; empty if nothing is."""
        failure = self._supervisor.failure
        return failure.shown() if failure is not None else ""

    def order(self, function: str) -> None:
        """Have the serving worker call module:function with its `Host`."""
        if self._supervisor.current is not None:
            self._supervisor.current.tell({"do": "call", "function": function})

    def restart(self) -> None:
        """Load the bot again; conversations go along, as with a save."""
        self._supervisor.restart()

    def stop(self) -> None:
        """End the run, as Ctrl-C does."""
        self._supervisor.stop()
