"""A session ends once, with a reason, whatever the bot does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runner.arguments import RunnerArguments
from runner.botcode.loader import LoadedBot
from runner.sessions.registry import SessionLimits, Sessions, TooManySessionsError
from runner.sessions.session import CANCEL_TIMEOUT_S, EndReason, Session, new_session_id
from runner.testing import run_virtual


def loaded(function: Any) -> LoadedBot:
    return LoadedBot(Path(__file__), "bot", function, ModuleType("bot"))


def start(sessions: Sessions, **more: Any) -> Session:
    return sessions.start("test", RunnerArguments(session_id=new_session_id()), **more)


async def forever(args: RunnerArguments) -> None:
    await asyncio.Event().wait()


def test_a_bot_that_returns_ends_its_session_and_clean_up_is_called_once() -> None:
    ended: list[Session] = []

    async def bot(args: RunnerArguments) -> None:
        await asyncio.sleep(1)

    async def on_end(session: Session) -> None:
        ended.append(session)

    async def run() -> Session:
        sessions = Sessions(loaded(bot))
        session = start(sessions, on_end=on_end)
        await session.ended.wait()
        assert not sessions.active
        return session

    session = run_virtual(run())
    assert session.end_reason is EndReason.BOT_FINISHED
    assert ended == [session]


async def test_a_bot_that_returns_without_a_pipeline_is_wondered_at(caplog: pytest.LogCaptureFixture) -> None:
    async def bot(args: RunnerArguments) -> None: ...

    session = start(Sessions(loaded(bot)))
    await session.ended.wait()
    assert "test_sessions.py returned at once and ran no pipeline" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no good"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        BaseException("odd"),
        asyncio.CancelledError(),
    ],
)
@pytest.mark.faults(16)
def test_whatever_a_bot_raises_ends_its_own_call_only(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def bot(args: RunnerArguments) -> None:
        if args.body == "fail":
            raise error
        await asyncio.sleep(5)

    async def run() -> tuple[Session, Session]:
        sessions = Sessions(loaded(bot))
        good = start(sessions)
        bad = sessions.start("test", RunnerArguments(session_id="bad", body="fail"))
        await bad.ended.wait()
        assert list(sessions.active) == [good.id]
        await good.ended.wait()
        return good, bad

    good, bad = run_virtual(run())
    assert good.end_reason is EndReason.BOT_FINISHED
    if not isinstance(error, asyncio.CancelledError):
        assert bad.end_reason is EndReason.BOT_FAILED
        assert bad.error is not None
        assert bad.error.path == Path(__file__)
        assert bad.error.line == run_line("raise error")
        assert caplog.text.count("the bot failed at") == 1


def run_line(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.strip() == text)


def test_the_first_reason_stands() -> None:
    async def run() -> Session:
        sessions = Sessions(loaded(forever))
        session = start(sessions)
        await asyncio.sleep(0.1)
        await sessions.end(session.id, EndReason.CLIENT_LEFT)
        await sessions.end(session.id, EndReason.SHUTDOWN)
        await session.ended.wait()
        return session

    assert run_virtual(run()).end_reason is EndReason.CLIENT_LEFT


def test_a_bot_may_end_by_itself_within_its_grace() -> None:
    finished: list[str] = []

    async def bot(args: RunnerArguments) -> None:
        await asyncio.sleep(1)
        finished.append("cleanly")

    async def run() -> None:
        sessions = Sessions(loaded(bot))
        session = start(sessions)
        await asyncio.sleep(0.1)
        await sessions.end(session.id, EndReason.CLIENT_LEFT, grace_s=2)

    run_virtual(run())
    assert finished == ["cleanly"]


@pytest.mark.faults(17)
def test_a_bot_that_swallows_its_cancellation_is_left_behind_in_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def bot(args: RunnerArguments) -> None:
        for _ in range(5):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                continue

    async def run() -> float:
        sessions = Sessions(loaded(bot))
        session = start(sessions)
        await asyncio.sleep(0.1)
        begin = asyncio.get_running_loop().time()
        await session.end(EndReason.CLIENT_LEFT)
        took = asyncio.get_running_loop().time() - begin
        await session.ended.wait()
        assert not sessions.active
        await asyncio.sleep(60)
        return took

    assert run_virtual(run()) == pytest.approx(CANCEL_TIMEOUT_S)
    assert "was abandoned" in caplog.text


def test_a_call_is_no_longer_than_its_limit() -> None:
    async def run() -> Session:
        sessions = Sessions(loaded(forever), SessionLimits(call_s=60))
        session = start(sessions)
        await session.ended.wait()
        assert asyncio.get_running_loop().time() == pytest.approx(60)
        return session

    assert run_virtual(run()).end_reason is EndReason.TOO_LONG


def test_further_calls_are_refused_at_the_limit_and_taken_again_below_it() -> None:
    async def run() -> None:
        sessions = Sessions(loaded(forever), SessionLimits(sessions=2))
        one, two = start(sessions), start(sessions)
        with pytest.raises(TooManySessionsError, match="BOTRUN_MAX_SESSIONS"):
            start(sessions)
        await one.end(EndReason.CLIENT_LEFT)
        await one.ended.wait()
        start(sessions)
        assert len(sessions.active) == 2
        await sessions.shut_down(2)
        assert two.end_reason is EndReason.SHUTDOWN
        with pytest.raises(TooManySessionsError, match="stopping"):
            start(sessions)

    run_virtual(run())


@pytest.mark.faults(20)
def test_one_call_that_ends_does_not_end_the_others() -> None:
    async def run() -> None:
        sessions = Sessions(loaded(forever))
        calls = [start(sessions) for _ in range(3)]
        await asyncio.sleep(0)
        await calls[0].end(EndReason.CLIENT_LEFT)
        await calls[0].ended.wait()
        await asyncio.sleep(1)
        assert set(sessions.active) == {calls[1].id, calls[2].id}
        await sessions.shut_down(2)

    run_virtual(run())
