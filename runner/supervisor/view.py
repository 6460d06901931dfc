"""What a terminal shows of a run, and the orders that it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.supervisor.processes import Worker
    from runner.supervisor.rollout import Succession


class RunView:
    """A supervised run, seen from the terminal.

    The serving worker is asked by `look`, who asks the others; `state` is what it said last.

    Args:
        succession: who serves.
        restart: loads the bot again.
        stop: ends the run.
    """

    def __init__(
        self, succession: Succession, *, restart: Callable[[], None], stop: Callable[[], None]
    ) -> None:
        self._succession = succession
        self._restart = restart
        self._stop = stop
        self._state: Mapping[str, Any] = {}

    def take(self, worker: Worker, state: Mapping[str, Any]) -> None:
        """A worker has answered."""
        if worker is self._succession.current:
            self._state = state

    def look(self) -> None:
        """Ask how the calls go."""
        if self._succession.current is not None:
            self._succession.current.tell({"do": "look"})

    def state(self) -> Mapping[str, Any]:
        """As `/status`; empty while nobody serves."""
        return self._state if self._succession.current is not None else {}

    def notice(self) -> str:
        """What is wrong with the code on disk; empty if nothing is."""
        failure = self._succession.failure
        return failure.shown() if failure is not None else ""

    def order(self, function: str) -> None:
        """Have the serving worker call module:function with its `Host`."""
        if self._succession.current is not None:
            self._succession.current.tell({"do": "call", "function": function})

    def restart(self) -> None:
        """Load the bot again; conversations go along, as with a save."""
        self._restart()

    def stop(self) -> None:
        """End the run, as Ctrl-C does."""
        self._stop()
