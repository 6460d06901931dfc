"""Log lines that a stranger can cause: told, but not so often that they fill the disk."""

from __future__ import annotations

import logging
import time

EACH_S = 60.0
MOST = 10


class Quiet:
    """Lets `MOST` lines through in each `EACH_S` seconds, and counts the others."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._since = 0.0
        self._count = 0

    def warning(self, message: str, *args: object) -> None:
        """As `Logger.warning`."""
        now = time.monotonic()
        if now - self._since > EACH_S:
            if self._count > MOST:
                self._logger.warning("%d more of this kind came", self._count - MOST)
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= MOST:
            self._logger.warning(message, *args)
