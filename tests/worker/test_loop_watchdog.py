"""A blocked loop is reported while it is blocked, with the user's line; so is what was forgotten."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually

from runner import errors as runner_errors
from runner.arguments import RunnerArguments
from runner.botcode.loader import BotTarget, LoadedBot, load_bot
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.pipeline.pipeline import missing_parts
from runner.processors.handover_state import Conversation
from runner.services.local.stt import LocalSTTService
from runner.services.stt import SegmentedSTTService, STTService
from runner.sessions.registry import Sessions
from runner.testing import FakeTransport, ScriptedTTS, run_virtual
from runner.transports.params import TransportParams
from runner.transports.session_port import SessionPort
from runner.worker import loop_watchdog as guard
from runner.worker.loop_watchdog import LoopGuard, warning_of_unawaited_coroutines

SLEEPY = """
import asyncio, time

def fetch():
    {how}  # the line

async def bot(args):
    await asyncio.sleep(0.05)
    fetch()
    await asyncio.sleep(30)
"""
LINE = 5


def written(folder: Path, how: str) -> LoadedBot:
    path = folder / "sleepy_bot.py"
    path.write_text(SLEEPY.format(how=how))
    return load_bot(BotTarget(path))


class Reports:
    """Sentences, each with what the loop had done by then."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.first = threading.Event()

    def __call__(self, sentence: str) -> None:
        self.sentences.append(sentence)
        self.first.set()


async def guarded(bot: LoadedBot, reports: Reports, until: Callable[[], bool], calls: int = 1) -> None:
    sessions = Sessions(bot)
    with LoopGuard(bot.path, sessions, reports).watching():
        for number in range(calls):
            sessions.start("test", RunnerArguments(session_id=f"call-{number}"))
        await eventually(until, 20)
        await sessions.shut_down(2)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("time.sleep(0.9)", id="asleep"),
        pytest.param("[x for x in iter(lambda: time.monotonic() < until, False)]", id="busy"),
    ],
)
@pytest.mark.faults(17)
@pytest.mark.realtime
async def test_a_blocked_loop_is_reported_with_session_and_line(tmp_path: Path, how: str) -> None:
    if "until" in how:
        how = "until = time.thread_time() + 0.9\n    while time.thread_time() < until: pass"
    bot, result = written(tmp_path, how), Reports()
    await guarded(bot, result, lambda: any("runs again" in sentence for sentence in result.sentences))
    first, last = result.sentences[0], result.sentences[-1]
    assert "has been blocked for" in first
    assert f"sleepy_bot.py:{LINE}" in first or f"sleepy_bot.py:{LINE + 1}" in first
    assert "(session call-0)" in first
    assert "to_thread" in first
    assert "stack samples" in last


@pytest.mark.realtime
async def test_a_blocked_loop_is_an_event_of_every_call(tmp_path: Path) -> None:
    bot, taken = written(tmp_path, "time.sleep(0.9)"), []
    sessions = Sessions(bot)
    with LoopGuard(bot.path, sessions, Reports()).watching():
        for number in range(2):
            session = sessions.start("test", RunnerArguments(session_id=f"call-{number}"))
            session.events.subscribe(taken.append)
        await eventually(lambda: sum(event.kind == "stall" for event in taken) >= 2, 20)
        await sessions.shut_down(2)
    for stall in [event for event in taken if event.kind == "stall"][:2]:
        assert (stall.cause, stall.place) == ("bot_code", f"sleepy_bot.py:{LINE}")
        assert stall.seconds > 0.2


@pytest.mark.faults(17)
@pytest.mark.realtime
async def test_a_blocked_loop_is_reported_while_it_is_blocked(tmp_path: Path) -> None:
    result = Reports()
    bot = written(tmp_path, "import sleepy_gate; sleepy_gate.opened.wait(10)")
    import sys
    from types import ModuleType

    gate: Any = ModuleType("sleepy_gate")
    # The loop goes on only when the sentence has been said: said too late, it would never be.
    gate.opened = result.first
    sys.modules["sleepy_gate"] = gate
    try:
        await guarded(bot, result, lambda: len(result.sentences) > 1)
    finally:
        del sys.modules["sleepy_gate"]
    assert f"sleepy_bot.py:{LINE}" in result.sentences[0]


@pytest.mark.realtime
async def test_the_call_that_stands_still_is_found_among_several(tmp_path: Path) -> None:
    path = tmp_path / "one_of_two.py"
    path.write_text(
        "import asyncio, time\n"
        "async def bot(args):\n"
        "    await asyncio.sleep(0.05)\n"
        "    if args.session_id == 'call-1': time.sleep(0.7)\n"
        "    await asyncio.sleep(30)\n"
    )
    result = Reports()
    await guarded(load_bot(BotTarget(path)), result, lambda: len(result.sentences) > 1, calls=3)
    assert "one_of_two.py:4" in result.sentences[0]
    assert "(session call-1)" in result.sentences[0]


@pytest.mark.realtime
async def test_botruns_own_work_below_the_bots_await_is_not_the_bots(tmp_path: Path) -> None:
    """The bot's line is on the stack, but it is botrun that computes there."""
    sums = Path(runner_errors.__file__).parent / "a_module_of_ours.py"
    source = "def work():\n    until = time.thread_time() + 0.6\n    while time.thread_time() < until: pass"
    code = compile(source, sums, "exec")
    space: dict[str, Any] = {"time": time}
    exec(code, space)
    bot, result = written(tmp_path, "WORK()"), Reports()
    bot.function.__globals__["WORK"] = space["work"]  # type: ignore[attr-defined]
    await guarded(bot, result, lambda: len(result.sentences) > 1)
    assert "botrun at runner/a_module_of_ours.py:3" in result.sentences[0]
    assert "sleepy_bot.py" not in result.sentences[0]
    assert "not in your code" in result.sentences[0]


def stalled(garbage_s: float = 0.0, queued_s: float = 0.0) -> tuple[str, str]:
    """The verdict on a stall of 0.3 s that was seen at the bot's line."""
    clock = guard._GarbageClock()
    stall = guard._Stall(time.monotonic() - 0.3, guard._Usage(0.0, 0.0), clock)
    stall.samples[guard._Place("user", "bot.py:103 (await PipelineRunner().run(task))")] += 3
    clock._done_s += garbage_s
    return stall.verdict(guard._Usage(0.01, queued_s))


def test_a_machine_without_a_free_processor_is_not_the_bots_fault() -> None:
    what, advice = stalled(queued_s=0.25)
    assert "no CPU was free (the thread waited 250 ms" in what
    assert "bot.py" not in what
    assert "your code is not the cause" in advice


def test_garbage_collection_is_named_and_not_the_line_it_met() -> None:
    what, _ = stalled(garbage_s=0.2)
    assert what == "Python's garbage collection took 200 ms"


def test_a_blocking_line_is_named_with_its_evidence() -> None:
    what, advice = stalled()
    assert "bot.py:103" in what
    assert "3 of 3 stack samples, 10 ms of CPU time" in what
    assert "to_thread" in advice


@pytest.mark.realtime
async def test_an_import_in_the_bots_call_is_named_as_one(tmp_path: Path) -> None:
    package = tmp_path / "elsewhere" / "site-packages"
    package.mkdir(parents=True)
    (package / "slow_library.py").write_text("import time\ntime.sleep(0.6)\n")
    bot, result = (
        written(tmp_path, f"import sys; sys.path.append({str(package)!r}); import slow_library"),
        Reports(),
    )
    await guarded(bot, result, lambda: len(result.sentences) > 1)
    assert f"an import at sleepy_bot.py:{LINE}" in result.sentences[0]
    assert "top of the bot's file" in result.sentences[0]


@pytest.mark.realtime
async def test_a_call_that_older_code_began_has_just_been_given_to_this_bot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its age survives the move; the bot was called only now."""
    monkeypatch.setattr(guard, "NO_PIPELINE_S", 5.0)
    bot, result = written(tmp_path, "pass"), Reports()
    sessions = Sessions(bot)
    with LoopGuard(bot.path, sessions, result).watching():
        moved = Conversation({"secs": 38.0})
        session = sessions.start("test", RunnerArguments(session_id="a-call"), conversation=moved)
        await asyncio.sleep(3 * guard.LOOK_S)
        assert session.duration_s > 38
        await sessions.shut_down(2)
    assert result.sentences == []


@pytest.mark.realtime
async def test_a_loop_that_only_waits_is_not_complained_of(tmp_path: Path) -> None:
    bot, result = written(tmp_path, "pass"), Reports()
    since = time.monotonic()
    await guarded(bot, result, lambda: time.monotonic() - since > 0.8)
    assert result.sentences == []


@pytest.mark.realtime
async def test_a_bot_that_runs_no_pipeline_is_warned_about_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "NO_PIPELINE_S", 0.2)
    bot, result = written(tmp_path, "pass"), Reports()
    since = time.monotonic()
    await guarded(bot, result, lambda: time.monotonic() - since > 1.0)
    (sentence,) = result.sentences
    assert "sleepy_bot.py was called" in sentence
    assert "runs no pipeline" in sentence


async def test_a_forgotten_await_is_reported_with_its_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "forgetful.py"
    path.write_text(
        "class Greeter:\n    async def greet(self): ...\nasync def bot(args):\n    Greeter().greet()\n"
    )
    bot = load_bot(BotTarget(path))
    with warnings.catch_warnings(), warning_of_unawaited_coroutines(path):
        warnings.simplefilter("default")
        await bot.function(RunnerArguments())
        gc.collect()
    assert "forgetful.py:4: greet(…) was called without `await`" in caplog.text


# ------------------------------------------------------------------ what a pipeline lacks


class Ears(SegmentedSTTService):
    pass


def advice(*names: str, **params: Any) -> list[str]:
    transport = FakeTransport(TransportParams(**params))
    parts = {"in": transport.input(), "ears": Ears(), "voice": ScriptedTTS(), "out": transport.output()}
    return list(missing_parts(parts[name] for name in names))


def test_a_pipeline_without_input_or_output_is_warned_about() -> None:
    both: dict[str, Any] = {"audio_in_enabled": True, "audio_out_enabled": True}
    assert "transport.input()" in advice("voice", "out", **both)[0]
    assert "transport.output()" in advice("in", "voice", **both)[0]
    assert advice("in", "voice", "out", **both) == []


def test_silent_input_and_turns_that_never_end_are_warned_about() -> None:
    assert "audio_in_enabled=True" in advice("in", "ears", "out", audio_out_enabled=True)[0]
    assert "vad_analyzer" in advice("in", "ears", "out", audio_in_enabled=True, audio_out_enabled=True)[0]
    assert "audio_out_enabled=True" in advice("in", "voice", "out", audio_in_enabled=True)[0]


class StreamedEars(STTService):
    """Gives its words by itself, without the VAD."""


def test_a_local_recogniser_without_vad_is_reported_and_one_that_needs_none_is_not() -> None:
    transport = FakeTransport(TransportParams(audio_in_enabled=True, audio_out_enabled=True))
    ends = transport.input(), transport.output()
    (sentence,) = missing_parts([ends[0], LocalSTTService(), ends[1]])
    assert "vad_analyzer=SileroVADAnalyzer()" in sentence
    assert list(missing_parts([ends[0], StreamedEars(), ends[1]])) == []
    deaf = FakeTransport(TransportParams(audio_out_enabled=True))
    (sentence,) = missing_parts([deaf.input(), LocalSTTService(), deaf.output()])
    assert "audio_in_enabled=True" in sentence


@pytest.mark.parametrize("hears", [True, False])
def test_what_a_pipeline_lacks_reaches_the_client_at_once(hears: bool) -> None:
    transport = FakeTransport(TransportParams(audio_out_enabled=True))
    row = [transport.input(), Ears(), transport.output()] if hears else [transport.output()]

    async def bot(args: RunnerArguments) -> None:
        task = PipelineTask(Pipeline(row))
        if hears and task.rtvi is not None:
            ready = {"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.2.0"}}
            await task.rtvi.on_message(ready)
        asyncio.get_running_loop().call_later(1.0, task.request_cancel)
        await PipelineRunner().run(task)

    async def in_session() -> None:
        session = Sessions(LoadedBot(Path(__file__), "bot", bot, None)).start(  # type: ignore[arg-type]
            "test", RunnerArguments(session_id="a-call")
        )
        await session.ended.wait()

    run_virtual(in_session())
    (error,) = [message for message in transport.output().messages if message["type"] == "error"]
    assert error["data"]["error"].startswith("the bot hears nothing: ")
    advice = "audio_in_enabled=True" if hears else "transport.input()"
    assert advice in error["data"]["advice"]
    assert error["data"]["fatal"] is False


def test_a_pipeline_without_output_is_reported_past_it() -> None:
    """Its messages to the client would leave by the output: the page would show "Listening"."""
    transport = FakeTransport(TransportParams(audio_in_enabled=True))
    shown: list[str] = []

    async def bot(args: RunnerArguments) -> None:
        task = PipelineTask(Pipeline([transport.input()]))
        asyncio.get_running_loop().call_later(1.0, task.request_cancel)
        await PipelineRunner().run(task)

    async def in_session() -> None:
        loaded = LoadedBot(Path(__file__), "bot", bot, None)  # type: ignore[arg-type]
        port = SessionPort(report=shown.append)
        await Sessions(loaded).start("test", RunnerArguments(session_id="a-call"), port=port).ended.wait()

    run_virtual(in_session())
    assert shown == ["the caller cannot hear the bot: put transport.output() near the end of its pipeline"]


@pytest.mark.parametrize("in_a_call", [True, False])
def test_advice_is_given_in_calls_and_not_in_tests(in_a_call: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def bot(args: RunnerArguments) -> None:
        task = PipelineTask(Pipeline([ScriptedTTS()]))
        await task.stop_when_done()
        await PipelineRunner().run(task)

    async def in_session() -> None:
        session = Sessions(LoadedBot(Path(__file__), "bot", bot, None)).start(  # type: ignore[arg-type]
            "test", RunnerArguments(session_id="a-call")
        )
        await session.ended.wait()

    work: Awaitable[None] = in_session() if in_a_call else bot(RunnerArguments())
    run_virtual(work)  # type: ignore[arg-type]
    assert ("session a-call: the bot hears nothing" in caplog.text) is in_a_call
