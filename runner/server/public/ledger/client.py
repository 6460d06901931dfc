"""How the public door reaches the run's ledger: in this process, or in the keeper's (`desk_line.py`)."""

from __future__ import annotations

import time
from typing import Any, Protocol

from runner.errors import BotrunError
from runner.server.public.ledger.ledger import Ledger


class AwayError(BotrunError):
    """The process that keeps the public side does not answer."""


class Desk(Protocol):
    """Asks the ledger; `what` is one of its `WORDS`."""

    async def ask(self, what: str, *args: Any) -> Any:
        """The ledger's answer.

        Raises:
            RefusedError: the ledger refuses it.
            AwayError: nobody answers.
        """

    def tell(self, what: str, *args: Any) -> None:
        """The same, for what has no answer."""


class OwnDesk:
    """The ledger is in this process."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def ask(self, what: str, *args: Any) -> Any:
        return self.ledger.answer(what, args, time.monotonic())

    def tell(self, what: str, *args: Any) -> None:
        self.ledger.answer(what, args, time.monotonic())
