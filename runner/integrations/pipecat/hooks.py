"""Pipecat's own hook for hosts: the files that PIPECAT_SETUP_FILES names are called for each pipeline.

This file is one of them: Pipecat loads it by its path and calls the two functions below.
"""

from __future__ import annotations

import os
from typing import Any

VARIABLE = "PIPECAT_SETUP_FILES"


def install() -> None:
    """Have Pipecat load this file. Done for each call: a bot may read its `.env` over the variable."""
    files = [file for file in os.environ.get(VARIABLE, "").split(os.pathsep) if file]
    if __file__ not in files:
        os.environ[VARIABLE] = os.pathsep.join([*files, __file__])


async def setup_worker_runner(runner: Any) -> None:
    """A runner of workers starts. (Pipecat warns about files without this function.)"""


async def setup_pipeline_worker(worker: Any) -> None:
    """A pipeline starts."""
    from runner.integrations.pipecat.pipeline import join_call

    await join_call(worker)
