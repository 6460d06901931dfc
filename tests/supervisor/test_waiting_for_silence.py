"""When a call may change its code, and who answers what is said meanwhile: in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest

from runner.frames import BotStoppedSpeakingFrame
from runner.processors.handover_state import Conversation
from runner.server.handover.moves import LONGEST_WAIT_S, Moves, _Movable
from runner.testing import Conversation as Talk
from runner.testing import run_virtual
from runner.transports.session_port import SessionPort, enter_session

LONG = "one two three four five six seven eight nine ten."


def talk(call: Conversation, replies: list[str], script: Callable[[Talk], Awaitable[None]]) -> Talk:
    """A talk of this call's."""

    def run() -> Talk:
        enter_session(SessionPort(conversation=call))
        it = Talk(*replies)
        return it.run(lambda: script(it))

    return copy_context().run(run)


async def silence(call: Conversation) -> None:
    while call.busy():
        await asyncio.sleep(0.01)


def test_what_is_said_while_newer_code_waits_is_answered_there() -> None:
    old, seen = Conversation(), list[str]()

    async def before(it: Talk) -> None:
        await it.caller.say("talk to me")
        await it.bot_says("two")
        old.leaves = True
        seen.append(old.busy())
        await it.caller.say("what time is it")
        seen.append(old.busy())
        await silence(old)

    it = talk(old, [LONG, "Never said."], before)
    assert seen == ["the bot speaks", "the caller speaks"]
    assert len(it.llm.asked) == 1
    packed = json.loads(json.dumps(old.pack()[0]))
    assert packed["memories"][0]["messages"][-1] == {"role": "user", "content": "what time is it"}

    async def after(it: Talk) -> None:
        await it.bot_says("noon.")

    new = talk(Conversation(packed), ["It is noon."], after)
    assert new.remembered()[-2:] == [("user", "what time is it"), ("assistant", "It is noon.")]
    assert len(new.llm.asked) == 1


def test_a_turn_that_nobody_took_is_answered_by_the_old_code() -> None:
    call = Conversation()

    async def script(it: Talk) -> None:
        call.leaves = True
        await it.caller.say("talk to me")
        await asyncio.sleep(3)
        assert it.words() == []
        call.stay()
        await it.bot_says("you.")
        await it.caller.say("and now")
        await it.bot_says("again.")

    talk(call, ["Hello to you.", "Hello again."], script)


def test_a_call_may_move_as_soon_as_an_answer_was_heard_and_not_before() -> None:
    call, spoke = Conversation(), list[float]()

    async def script(it: Talk) -> None:
        clock = asyncio.get_running_loop().time
        await it.caller.say("talk to me")
        await it.bot_says("Hello.")
        while "again." not in it.words():
            spoke.append(clock())
            assert call.busy()
            await asyncio.sleep(0.01)
        await silence(call)
        assert clock() - it.when(BotStoppedSpeakingFrame) < 0.3

    talk(call, ["Hello. And hello. And once more hello again."], script)
    assert len(spoke) > 100


class Peer:
    in_a_hurry = False

    def __init__(self) -> None:
        self.shown: list[str] = []

    def tell_waiting(self, busy: str) -> None:
        self.shown.append(busy)


@pytest.mark.parametrize(("speaks_s", "waits_s", "cut"), [(0.5, 0.5, 0), (15, 15, 0), (1000, 20, 1)])
def test_a_long_bot_turn_is_waited_for_up_to_a_limit_and_reported(
    speaks_s: float, waits_s: float, cut: int
) -> None:
    peer, call, cuts = Peer(), Conversation(), list[float]()

    async def wait() -> float:
        clock = asyncio.get_running_loop().time
        begun = clock()

        class Speaking:
            def busy(self) -> str:
                return "the bot speaks" if clock() < begun + speaks_s else ""

            def interrupt(self) -> None:
                cuts.append(clock() - begun)

            def answer(self) -> None: ...

            def bot_speaks(self) -> bool: ...
            def client_major(self) -> None: ...

        call.attach(Speaking())
        session: Any = SimpleNamespace(id="w1-1", conversation=call, is_over=False)
        assert await Moves()._silence(_Movable(session, "key", peer))  # type: ignore[arg-type]
        return clock() - begun

    assert run_virtual(wait(), 60) == pytest.approx(waits_s, abs=0.3)
    assert peer.shown == (["the bot speaks"] if speaks_s > 1 else [])
    assert len(cuts) == cut
    assert all(at >= LONGEST_WAIT_S for at in cuts)
