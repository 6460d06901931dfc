"""The end of a run's processes, within a bound."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence

from runner.supervisor.processes import Worker
from runner.supervisor.public_keeper_client import PublicLine

STOP_S = 5.7
"""A worker ends within 1.5 s of its signal, within 5 s if Daily's rooms are to be deleted (`worker.py`)."""

PUBLIC_STOP_S = 12.2
"""With a public address the provider is told that calls are over, and what the number shall do again."""


async def end_workers(living: Sequence[Worker], line: PublicLine | None) -> None:
    """Ask all to end, and wait. The public side is given back meanwhile, and ends behind them."""
    until = time.monotonic() + (PUBLIC_STOP_S if line is not None else STOP_S)
    if line is not None:
        line.give_back()
    workers = [one for one in living if line is None or not line.is_kept_by(one)]
    for worker in workers:
        worker.signal(signal.SIGTERM)
    ends = [asyncio.ensure_future(worker.ended.wait()) for worker in workers]
    if ends:
        _, late = await asyncio.wait(ends, timeout=until - time.monotonic())
        for end in late:
            end.cancel()
    if line is not None:
        await line.close(until - time.monotonic())
