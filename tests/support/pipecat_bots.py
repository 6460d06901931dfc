"""Bots written for Pipecat, loaded as a worker does it."""

from __future__ import annotations

from pathlib import Path

from runner.botcode.loader import LoadedBot, parse_target
from runner.integrations import pipecat_names

BOTS = Path(__file__).parents[1] / "integrations" / "pipecat_names" / "bots"


def load(path: Path) -> LoadedBot:
    return pipecat_names.load(parse_target(str(path)))
