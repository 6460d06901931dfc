"""Event loop helpers of one process: clock, waiting, batched reads; and which worker the process is.

Ids that a worker gives out begin with its own id, so that any worker knows their owner.
"""

from __future__ import annotations

_worker = ""


def become(worker: str) -> None:
    """Make this process the worker with that id (digits)."""
    global _worker
    _worker = worker


def worker_prefix() -> str:
    """The prefix of this worker's ids, such as `w3-`; "" if there is only one worker."""
    return f"w{_worker}-" if _worker else ""
