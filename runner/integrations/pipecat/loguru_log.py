"""loguru's records in botrun's log: with their level, their module's name and the call's session."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from runner.sessions.stats import current_call

_LEVELS = ((50, logging.CRITICAL), (40, logging.ERROR), (30, logging.WARNING), (20, logging.INFO))

_routed = False
quiet = False
"""While set, records are dropped: the fork server imports what the worker will import and report again."""


def route() -> None:
    """Give loguru a handler that writes to botrun's log. It has the number 0, as loguru's own has: bots call
    `logger.remove(0)`. What a bot adds for standard error or output is written to botrun's log as well."""
    global _routed
    if _routed:
        return
    _routed = True
    was_there = "loguru" in sys.modules
    before = os.environ.get("LOGURU_AUTOINIT")
    os.environ["LOGURU_AUTOINIT"] = "0"
    try:
        from loguru import logger
    finally:
        if before is None:
            del os.environ["LOGURU_AUTOINIT"]
        else:
            os.environ["LOGURU_AUTOINIT"] = before
    if was_there:
        logger.remove()
    logger.add(write, level=0, format="{message}")
    _take_over_streams(type(logger))


def _take_over_streams(kind: Any) -> None:
    add = kind.add

    def add_handler(self: Any, sink: Any, **options: Any) -> Any:
        if sink in (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__):
            kept = {
                name: options[name] for name in ("level", "filter", "enqueue", "catch") if name in options
            }
            return add(self, write, format="{message}", **kept)
        return add(self, sink, **options)

    kind.add = add_handler


def write(message: Any) -> None:
    """A sink of loguru's: pass one record to `logging`."""
    record = message.record
    level = next((ours for number, ours in _LEVELS if record["level"].no >= number), logging.DEBUG)
    logger = logging.getLogger(record["name"] or "loguru")
    if quiet or not logger.isEnabledFor(level):
        return
    exception = record["exception"]
    entry = logger.makeRecord(
        logger.name,
        level,
        record["file"].path,
        record["line"],
        record["message"],
        (),
        None if exception is None else (exception.type, exception.value, exception.traceback),
        record["function"],
        {"session": current_call().session_id},
    )
    logger.handle(entry)
