"""The results of `botrun load --until-it-breaks`, for `botrun serve`: `.botrun/capacity.json` beside the bot.

{"my_bot.py": {"twilio": {"calls": 218, "scenario": "echo", "date": "2026-11-29"}}}
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE = Path(".botrun") / "capacity.json"
SHARE = 0.8
"""Share of the measured maximum that `botrun serve` gives to a worker, because real calls vary."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The maximum number of calls measured for one process of this bot."""

    calls: int
    transport: str
    date: str

    @property
    def capacity(self) -> int:
        return max(1, int(self.calls * SHARE))

    def sentence(self) -> str:
        return (
            f"a worker takes {self.capacity} calls, {SHARE:.0%} of the {self.calls} that botrun load measured"
            f" over {self.transport} on {self.date}; --capacity sets another number"
        )


def note(bot: Path, transport: str, scenario: str, calls: int) -> Path | None:
    """Save a measurement; return the file, or None if it cannot be written."""
    path = bot.resolve().parent / FILE
    known = _read(path)
    entry = {"calls": calls, "scenario": scenario, "date": datetime.now(UTC).date().isoformat()}
    known.setdefault(bot.name, {})[transport] = entry
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(known, indent=2) + "\n")
        return path
    return None


def measured(bot: Path, transports: Sequence[str]) -> Measured | None:
    """The smallest measurement of this bot over these transports, if any."""
    entries = _read(bot.resolve().parent / FILE).get(bot.name, {})
    found = [
        Measured(entry["calls"], name, str(entry.get("date", "")))
        for name, entry in (entries.items() if isinstance(entries, dict) else ())
        if name in transports and isinstance(entry, dict) and isinstance(entry.get("calls"), int)
    ]
    return min((one for one in found if one.calls > 0), key=lambda one: one.calls, default=None)


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text())
        if isinstance(found, dict):
            return found
    return {}
