"""What a Pipecat bot's frames add to the call's record."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pipecat", reason="pipecat is not installed: pip install 'botrun[pipecat]'")

from pipecat.frames import frames
from pipecat.metrics.metrics import TTFBMetricsData
from pipecat.observers.base_observer import FramePushed
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService

from runner.integrations.pipecat.call import PipecatCall
from runner.integrations.pipecat.observers import CallObserver, Silence
from runner.sessions.events import CallEvent, CallEvents, enter_events
from runner.sessions.stats import CallFigures
from runner.transports.session_port import SessionPort


class Model(LLMService):
    def __init__(self) -> None:
        FrameProcessor.__init__(self, name="model")


@pytest.fixture
def taken() -> list[CallEvent]:
    events, taken = CallEvents(), list[CallEvent]()
    events.subscribe(taken.append)
    enter_events(events)
    return taken


async def push(observer: CallObserver, source: FrameProcessor, *pushed: frames.Frame) -> None:
    for frame in pushed:
        for _ in range(2):  # each processor pushes it again
            data: dict[str, Any] = {"source": source, "destination": source, "frame": frame, "timestamp": 0}
            await observer.on_push_frame(FramePushed(direction=FrameDirection.DOWNSTREAM, **data))


async def test_a_turn_becomes_events_and_figures(taken: list[CallEvent]) -> None:
    call = PipecatCall(SessionPort(), CallFigures(), "twilio")
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    observer = CallObserver(call, silence := Silence(call.port.conversation), send, None)
    model = Model()
    await push(
        observer,
        model,
        frames.VADUserStartedSpeakingFrame(start_secs=0.2),
        frames.VADUserStoppedSpeakingFrame(stop_secs=0.2),
        frames.TranscriptionFrame("hello", "", ""),
        frames.UserStoppedSpeakingFrame(),
        frames.LLMFullResponseStartFrame(),
        frames.MetricsFrame([TTFBMetricsData(processor="model", value=0.25)]),
        frames.LLMTextFrame("Good "),
        frames.LLMTextFrame("day."),
        frames.LLMFullResponseEndFrame(),
        frames.BotStartedSpeakingFrame(),
    )
    assert silence.busy() == "the bot speaks"
    await push(observer, model, frames.BotStoppedSpeakingFrame(), frames.ErrorFrame("it broke"))
    assert [event.kind for event in taken] == [
        "user_started", "user_stopped", "final", "turn_ended", "llm_started", "llm_first_token", "llm_ended",
        "bot_started", "bot_stopped", "error",
    ]  # fmt: skip
    by_kind = {event.kind: event.as_fields() for event in taken}
    assert by_kind["llm_ended"]["text"] == "Good day."
    assert by_kind["llm_first_token"] == {"service": "model", "ttfb_s": 0.25}
    assert by_kind["error"]["message"] == "it broke"
    assert taken[1].seen == pytest.approx(taken[1].at + 0.2)
    assert len(call.figures.turn_s) == 1
    assert call.figures.turn_s[0] == pytest.approx(0.2, abs=0.1)
    assert list(call.figures.last_turn) == ["pause", "ears", "model", "line"]
    assert [message["type"] for message in sent] == ["metrics"]


async def test_an_interruption_gives_the_stop_latency() -> None:
    call = PipecatCall(SessionPort(), CallFigures(), "twilio")

    async def send(message: Any) -> None: ...

    observer = CallObserver(call, Silence(call.port.conversation), send, None)
    await push(
        observer,
        Model(),
        frames.BotStartedSpeakingFrame(),
        frames.VADUserStartedSpeakingFrame(start_secs=0.1),
        frames.InterruptionFrame(),
        frames.BotStoppedSpeakingFrame(),
    )
    assert len(call.figures.stop_s) == 1
    assert call.figures.stop_s[0] == pytest.approx(0.1, abs=0.1)
