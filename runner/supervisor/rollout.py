"""Who takes calls, and what goes from the one before to the one that comes after."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from runner.botcode.failure import Failure

if TYPE_CHECKING:
    from runner.supervisor.loading import Load
    from runner.supervisor.processes import Worker

logger = logging.getLogger(__name__)


class Succession:
    """The workers that accept, one after the other.

    Attributes:
        current: the worker that takes calls, if one does.
        failure: what is wrong with the code on disk.
        has_begun: whether any has ever accepted.
    """

    def __init__(self) -> None:
        self.current: Worker | None = None
        self.failure: Failure | None = None
        self.has_begun = False
        self._waiting_calls: list[dict[str, Any]] = []
        self._news = "", 0.0

    def take_over(self, load: Load) -> None:
        """What was loaded accepts: the one before may go, and calls that wait for it come."""
        worker, old, was_broken = load.worker, self.current, self.failure is not None
        self.current, self.failure = worker, None
        self._news = load.why + ("mended; " if was_broken else ""), load.begun
        if old is not None:
            old.tell({"do": "retire"})
        elif self.has_begun:
            self.tell_news()
        self.has_begun = True
        self._tell_code()
        for call in self._waiting_calls:
            worker.tell({"do": "take", "call": call})
        self._waiting_calls.clear()

    def tell_news(self) -> None:
        """The one before holds its calls, or there was none: the new code answers."""
        what, begun = self._news
        logger.info("%sthe new code answers (%.2f s)", what, time.monotonic() - begun)

    def broken(self, failure: Failure) -> None:
        """The code on disk does not load; the good one goes on."""
        self.failure = failure
        if not self.has_begun:
            return  # the run ends, with this failure
        logger.error("%s", failure.shown())
        logger.info(
            "the code from before goes on; mend it and save"
            if self.current is not None
            else "nobody takes calls until it is mended and saved"
        )
        self._tell_code()

    def move(self, worker: Worker, call: dict[str, Any]) -> None:
        """A conversation of this worker's goes to whoever accepts now, or next."""
        if self.current is not None and self.current is not worker:
            self.current.tell({"do": "take", "call": call})
        else:
            self._waiting_calls.append(call)

    def _tell_code(self) -> None:
        if self.current is not None:
            failure = self.failure.as_dict() if self.failure else None
            self.current.tell({"do": "code", "failure": failure})
