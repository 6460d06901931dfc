"""`DailyParams` with Pipecat's further fields."""

from __future__ import annotations

from dataclasses import dataclass

from runner.integrations.pipecat_names.transports import PipecatParams
from runner.transports import daily


@dataclass(kw_only=True)
class DailyParams(PipecatParams, daily.DailyParams):
    """`DailyParams` that also takes Pipecat's further fields."""
