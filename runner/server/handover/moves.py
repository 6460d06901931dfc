"""Moves calls from old code to new: waits for silence, packs, hands over, makes the caller reconnect.

old worker                         supervisor         new worker
silence, `hold` ─▶ caller
pack ─────────── `MoveCall` ──────────▶── `TakeCall` ──▶ keeps it by its key
     ◀──────── `CallTaken` ──────────◀── `CallTaken` ─
`move` ─▶ caller ── reconnects, under the same key ───▶ claims it; the bot resumes
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runner.botcode.failure import Failure, failure_at
from runner.sessions.registry import Sessions
from runner.sessions.session import EndReason, Session

logger = logging.getLogger(__name__)

LOOK_S = 0.05
LONGEST_WAIT_S = 20.0
"""Time (s) after which a bot that keeps speaking is interrupted so that its call can move."""

TELL_WAIT_S = 1.0
INTERRUPTION_S = 0.2
TAKEN_S = 3.0
KEPT_S = 60.0
"""Time (s) that a handed-over call waits for its caller to reconnect."""

Announced = Callable[[], dict[str, Any]]
"""Hands over calls that were announced (`/start`) but have not connected: bodies by session id."""


class SupervisorPort(Protocol):
    """Reports of a worker's calls to the supervisor; `worker/supervised.py` sends them as messages."""

    def move_call(self, call: dict[str, Any]) -> None:
        """Pass this call to the newer worker."""

    def call_taken(self, key: str) -> None:
        """The call with this key has arrived from the older worker."""

    def held(self) -> None:
        """From now on the newer code answers."""

    def bot_failed(self, session_id: str, failure: Failure) -> None:
        """The bot failed in this call; the call waits for the next save."""

    def left_out(self, session_id: str, what: list[str]) -> None:
        """What could not be handed over in this call, as sentences."""


class Peer(Protocol):
    """A caller who can reconnect."""

    @property
    def in_a_hurry(self) -> bool:
        """Whether it holds input for the bot; then the bot's speech is cut short."""

    @property
    def waits(self) -> bool:
        """Whether it stays connected after the bot has failed, until the code is fixed."""

    @property
    def keeps_client(self) -> bool:
        """Whether its RTVI client continues without a new `client-ready`."""

    async def hold(self) -> None:
        """Make it stop sending input for the bot; typed text waits there."""

    async def ready(self) -> bool:
        """Wait until it can reconnect; False if it cannot."""

    def tell_waiting(self, busy: str) -> None:
        """Report that the new code waits for a pause, and what it waits for."""

    async def move(self, left_out: list[str]) -> None:
        """Make it reconnect, to the new code."""

    def tell_code(self, failure: Mapping[str, Any] | None, *, waits: bool) -> None:
        """Report the state of the code on disk, and whether this call waits for it."""


@dataclass
class _Movable:
    session: Session
    key: str
    peer: Peer


class Moves:
    """The calls of one worker that came from older code or can move to newer code. Without a supervisor,
    calls do not move.

    Attributes:
        announced: functions that hand over announced calls.
        on_lost: called with the transport of a call that was handed over but whose caller never reconnected.
    """

    def __init__(self) -> None:
        self._supervisor: SupervisorPort | None = None
        self._movable: dict[str, _Movable] = {}
        self._waiting: dict[str, _Movable] = {}
        self._arrived: dict[str, dict[str, Any]] = {}
        self._taken: dict[str, asyncio.Event] = {}
        self._failure: Failure | None = None
        self.announced: list[Announced] = []
        self.on_lost: Callable[[str], None] = lambda kind: None

    @property
    def possible(self) -> bool:
        """Whether there is a supervisor."""
        return self._supervisor is not None

    def connect(self, supervisor: SupervisorPort) -> None:
        """Set the supervisor; from now on calls can move."""
        self._supervisor = supervisor

    def take_call(self, call: dict[str, Any]) -> None:
        """A call from older code: keep it until its caller reconnects."""
        self._arrived[call["key"]] = call
        if self._supervisor is not None:
            self._supervisor.call_taken(call["key"])
        asyncio.get_running_loop().call_later(KEPT_S, self._give_up, call)

    def call_taken(self, key: str) -> None:
        """The newer worker has this call."""
        if key in self._taken:
            self._taken[key].set()

    def set_failure(self, failure: Failure | None) -> None:
        """Set the state of the code on disk; `failure` says why it does not load."""
        self._failure = failure
        for call in self._movable.values():
            call.peer.tell_code(_as_dict(failure), waits=False)

    # ------------------------------------------------------------ calls from older code

    def claim(self, key: str) -> dict[str, Any] | None:
        """The call that older code handed over under this key; it is returned once."""
        return self._arrived.pop(key, None)

    def has(self, key: str) -> bool:
        """Whether a call waits here under this key."""
        return key in self._arrived

    def _give_up(self, call: dict[str, Any]) -> None:
        if self._arrived.get(call["key"]) is not call:
            return
        del self._arrived[call["key"]]
        if "session" in call:
            logger.warning("session %s ended: its caller did not reconnect", call["session"])
            self.on_lost(call["kind"])

    # ------------------------------------------------------------ calls that can move

    def register(self, session: Session, key: str, peer: Peer) -> None:
        """This call's caller can reconnect, under `key`."""
        if self.possible:
            self._movable[session.id] = _Movable(session, key, peer)
            peer.tell_code(_as_dict(self._failure), waits=False)

    def keep(self, session: Session) -> bool:
        """The bot has failed: keep the call until the code is fixed. False if it cannot wait."""
        call = self._movable.pop(session.id, None)
        if (
            call is None
            or self._supervisor is None
            or not call.peer.waits
            or session.end_reason is not EndReason.BOT_FAILED
            or session.error is None
        ):
            return False
        error = session.error
        failure = failure_at(error.message, str(error.path), error.line or 0)
        self._waiting[session.id] = call
        self._supervisor.bot_failed(session.id, failure)
        call.peer.tell_code(_as_dict(failure), waits=True)
        return True

    def forget(self, session_id: str) -> None:
        """The call is over, or its caller has left."""
        self._movable.pop(session_id, None)
        self._waiting.pop(session_id, None)

    def release(self) -> None:
        """botrun stops: release all waiting calls."""
        for call in self._waiting.values():
            call.session.waits_over.set()

    async def drain_moves(self, sessions: Sessions) -> None:
        """Hand over the calls that can move; returns when no call is left."""
        supervisor = self._supervisor
        assert supervisor is not None
        for call in self._arrived.values():
            supervisor.move_call(call)
        self._arrived.clear()
        for session, body in [pair for give in self.announced for pair in give().items()]:
            supervisor.move_call({"key": session, "announced": body})
        # The old code answers input that arrives before callers hold it back, the new code later input.
        await asyncio.gather(*(call.peer.hold() for call in self._movable.values()))
        supervisor.held()
        leaving = [self._move_on(call) for call in list(self._waiting.values())]
        leaving += [self._move(call) for call in list(self._movable.values())]
        await asyncio.gather(*leaving)
        while sessions.active:
            await asyncio.wait(
                [asyncio.ensure_future(session.ended.wait()) for session in sessions.active.values()]
            )

    async def _move(self, call: _Movable) -> None:
        session = call.session
        if not await call.peer.ready():
            return
        session.conversation.leaves = True
        if not await self._silence(call):
            return
        if await self._hand_over(call):
            await session.end(EndReason.MOVED)
            self._movable.pop(session.id, None)
        else:
            session.conversation.stay()

    async def _move_on(self, call: _Movable) -> None:
        """Move a call whose bot has failed and whose caller is waiting."""
        if self._waiting.pop(call.session.id, None) is not None:
            await self._hand_over(call)
            call.session.waits_over.set()

    async def _silence(self, call: _Movable) -> bool:
        """Wait until nobody speaks; False if the call has ended meanwhile."""
        session, clock, reported = call.session, asyncio.get_running_loop().time, False
        conversation, begun = session.conversation, clock()
        while (busy := conversation.busy()) and not session.is_over:
            waited = clock() - begun
            if waited > LONGEST_WAIT_S or call.peer.in_a_hurry:
                conversation.interrupt()
                await asyncio.sleep(INTERRUPTION_S)
                break
            if waited > TELL_WAIT_S and not reported:
                reported = True
                logger.info("session %s: the new code waits for a pause (%s)", session.id, busy)
                call.peer.tell_waiting(busy)
            await asyncio.sleep(LOOK_S)
        return not session.is_over

    async def _hand_over(self, call: _Movable) -> bool:
        supervisor = self._supervisor
        assert supervisor is not None
        packed, lost = session_packed(call.session)
        taken = self._taken[call.key] = asyncio.Event()
        packed |= {"key": call.key, "client_kept": call.peer.keeps_client}
        supervisor.move_call(packed)
        try:
            async with asyncio.timeout(TAKEN_S):
                await taken.wait()
        except TimeoutError:
            logger.warning("session %s stays with the old code: no newer worker accepted it", call.session.id)
            return False
        finally:
            del self._taken[call.key]
        call.session.end_reason = call.session.end_reason or EndReason.MOVED
        call.session.goes_on = True
        if lost:
            supervisor.left_out(call.session.id, lost)
        await call.peer.move(lost)
        return True


def session_packed(session: Session) -> tuple[dict[str, Any], list[str]]:
    """A session as JSON, and what could not be packed, as sentences."""
    packed, lost = session.conversation.pack()
    body = session.args.body
    try:
        json.dumps(body)
    except (TypeError, ValueError):
        body = {}
        lost.append("runner_args.body is not JSON")
    facts = {"kind": session.kind, "secs": session.duration_s, "turn_s": session.figures.turn_s}
    return {**packed, **facts, "session": session.id, "body": body}, lost


def _as_dict(failure: Failure | None) -> dict[str, Any] | None:
    return None if failure is None else failure.as_dict()
