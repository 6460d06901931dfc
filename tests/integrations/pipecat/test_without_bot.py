"""A Pipecat program without `bot()` gets an error that says what to add, in the names of its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.botcode.loader import NoBotFunctionError
from runner.integrations.pipecat.without_bot import what_to_add

SERVER = """
from fastapi import FastAPI, WebSocket
from pipecat.pipeline.pipeline import Pipeline

server = FastAPI()

@server.websocket("/ws")
async def endpoint(websocket: WebSocket):
    await talk(websocket, "MZ1")

async def talk(websocket, stream_sid, testing=False):
    Pipeline([])
"""

PROGRAM = """
import asyncio
from pipecat.pipeline.pipeline import Pipeline

async def main():
    Pipeline([])

if __name__ == "__main__":
    asyncio.run(main())
"""

NEITHER = "import pipecat\n"


def sentence(folder: Path, text: str) -> str:
    path = folder / "agent.py"
    path.write_text(text)
    return str(what_to_add(NoBotFunctionError("there is no function bot", path), path))


def test_a_server_is_named_and_its_function_called(tmp_path: Path) -> None:
    said = sentence(tmp_path, SERVER)
    assert said.startswith(f"{tmp_path}/agent.py:5: ")
    assert "a FastAPI server (`server`) of its own" in said
    assert "async def bot(runner_args):" in said
    assert "from pipecat.runner.utils import parse_telephony_websocket" in said
    assert 'await talk(runner_args.websocket, call["stream_id"])' in said


OTHER_FILE = """
from fastapi import FastAPI, WebSocket
from talk import run_bot

app = FastAPI()

@app.websocket("/ws")
async def endpoint(websocket: WebSocket):
    await websocket.accept()
    await run_bot(websocket, "MZ1")
"""


def test_a_pipeline_in_another_file_is_called_as_the_endpoint_does(tmp_path: Path) -> None:
    said = sentence(tmp_path, OTHER_FILE)
    assert said.endswith("async def bot(runner_args):\n        await run_bot(runner_args.websocket, 'MZ1')")


CLASS = """
import asyncio, os
from pipecat.pipeline.pipeline import Pipeline

class Agent:
    async def start(self):
        Pipeline([])

def main():
    asyncio.run(Agent().start())

if __name__ == "__main__":
    main()
"""


def test_a_program_with_its_pipeline_in_a_class_awaits_what_it_runs_today(tmp_path: Path) -> None:
    said = sentence(tmp_path, CLASS)
    assert "it runs an event loop (`asyncio.run(Agent().start())`) of its own. Add to it:" in said
    assert said.endswith("        await Agent().start()")


def test_an_event_loop_is_named(tmp_path: Path) -> None:
    said = sentence(tmp_path, PROGRAM)
    assert "an event loop (`asyncio.run(main())`)" in said
    assert "await create_transport(runner_args" in said
    assert "await main(transport)" in said


@pytest.mark.parametrize("text", [NEITHER, "import ("])
def test_another_file_keeps_its_error(tmp_path: Path, text: str) -> None:
    assert sentence(tmp_path, text).endswith("there is no function bot")
