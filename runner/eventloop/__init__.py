"""What one process's event loop needs: clock, waiting, batched reads; and which worker the process is.

Ids that a worker gives out begin with its own id, so that any worker knows their owner.
"""

from __future__ import annotations

_worker = ""


def become(worker: str) -> None:
    """This process is the worker of that id (digits)."""
    global _worker
    _worker = worker


def worker_prefix() -> str:
    """What ids of this worker begin with: `w3-`; "" where there is only one."""
    return f"w{_worker}-" if _worker else ""
