"""A bot in a room of the fake's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fake_daily import FakeDaily

from runner.frames import (
    Frame,
)
from runner.pipeline import Pipeline, PipelineTask
from runner.testing.fakes import Recorder
from runner.transports.daily import (
    DailyParams,
    DailyTransport,
)

URL = "https://house.daily.co/room"


@dataclass
class Talk:
    """A bot in a room. `events`: what happened in order."""

    transport: DailyTransport
    task: PipelineTask
    frames: Recorder
    events: list[tuple[Any, ...]]
    run: asyncio.Task[None]

    def of(self, kind: type[Frame]) -> list[Any]:
        return [seen.frame for seen in self.frames.seen if type(seen.frame) is kind]


EVENTS = ("on_joined", "on_left", "on_before_leave", "on_first_participant_joined", "on_participant_joined",
          "on_participant_left", "on_client_connected", "on_client_disconnected", "on_app_message",
          "on_error", "on_dialin_ready", "on_dialout_answered", "on_recording_started",
          "on_active_speaker_changed", "on_transcription_message", "on_dtmf_event")  # fmt: skip


@asynccontextmanager
async def talk(daily: FakeDaily, **more: Any) -> AsyncIterator[Talk]:
    params = DailyParams(audio_in_enabled=True, audio_out_enabled=True, **more)
    transport = DailyTransport(URL, "bot-token", "Bot", params, library=daily)
    frames, result = Recorder(), []
    pipeline = Pipeline([transport.input(), frames, transport.output()])
    task = PipelineTask(pipeline, enable_rtvi=False)
    for name in EVENTS:
        transport.event_handler(name)(_noting(name, result))
    run = asyncio.create_task(task.run())
    try:
        yield Talk(transport, task, frames, result, run)
    finally:
        await task.cancel()
        await run


def _noting(name: str, events: list[tuple[Any, ...]]) -> Callable[..., Any]:
    async def note(transport: DailyTransport, *what: Any) -> None:
        events.append((name, *what))

    return note
