"""What the tests with Pipecat's bots share. They need pipecat: `pip install 'botrun[pipecat]'`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import wave
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saving as reload_support
from saving import Saved, saving

sys.path.append(str(Path(__file__).parents[2] / "transports" / "daily"))  # daily_server.py

BOTS = Path(__file__).with_name("bots")
collect_ignore = [] if find_spec("pipecat") else ["bots"]
CALL_S = 100.0
reload_support.READY_S = 120.0  # pipecat's import


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_spec("pipecat") is not None:
        return
    skip = pytest.mark.skip(reason="pipecat is not installed: pip install 'botrun[pipecat]'")
    for item in items:
        if item.path.parent == Path(__file__).parent and "needs_pipecat" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """A WAV of what a caller says: loud, with the pauses of words."""
    rng = np.random.default_rng(16)
    noise = rng.normal(0, 6000, 8000).clip(-32000, 32000)
    words = noise * (np.sin(2 * np.pi * 2.5 * np.arange(8000) / 8000) > -0.9)
    with wave.open(str(path := tmp_path / "spoken.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(words.astype("<i2").tobytes())
    return path


def without_abbreviations(folder: Path) -> Path:
    """NLTK's data for splitting sentences, with nothing in it; older versions of Pipecat download it."""
    data = folder / "nltk_data" / "tokenizers" / "punkt_tab" / "english"
    data.mkdir(parents=True, exist_ok=True)
    for name in ("abbrev_types.txt", "collocations.tab", "sent_starters.txt", "ortho_context.tab"):
        (data / name).touch()
    return folder / "nltk_data"


@pytest.fixture(scope="session", autouse=True)
def no_download(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same for pipelines in this process, whether nltk is imported already or not."""
    os.environ["NLTK_DATA"] = data = str(without_abbreviations(tmp_path_factory.mktemp("nltk")))
    if (nltk := sys.modules.get("nltk")) is not None:
        nltk.data.path.insert(0, data)


@contextlib.asynccontextmanager
async def serving(folder: Path, bot: str, *more: str, **env: str) -> AsyncIterator[Saved]:
    """botrun with a copy of that bot, which may be edited."""
    env = {"NLTK_DATA": str(without_abbreviations(folder)), **env}
    copied = shutil.copytree(BOTS, folder / "bots", dirs_exist_ok=True)
    async with saving(folder, *more, bot=copied / bot, name="bots/" + bot, BOTRUN_LOG="text", **env) as run:
        yield run


async def ring(run: Saved, transport: str, *more: str) -> dict[str, Any]:
    """`botrun call` to it: the report."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runner.cli", "call", "--url", f"ws://127.0.0.1:{run.port}/ws",
        "-t", transport, "--json", *more, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(CALL_S):
        out, errors = await process.communicate()
    assert out, errors.decode()
    report: dict[str, Any] = json.loads(out)
    return report
