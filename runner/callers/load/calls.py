"""The calls of a load: those that measure echoes, and those that play a scenario."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import floor

from runner.callers.call import new_wire
from runner.callers.call_report import Report, measure
from runner.callers.load import Schedule
from runner.callers.load.probe import Echoes, Heard, find_echoes
from runner.callers.load.websocket_line import EchoLine
from runner.callers.phone import Phone
from runner.callers.scenario.performer import Performer
from runner.callers.scenario.steps import Scenario
from runner.callers.sound.line import ROOM_DBFS, Line
from runner.callers.sound.microphone import CallerVoice
from runner.callers.talk import Talk
from runner.callers.wires.base import PlainWire
from runner.errors import TransportError
from runner.eventloop.waiting import first_of

SEEDS = 8
"""Number of different probe sounds; calls share them."""

GOLDEN = (5**0.5 - 1) / 2
"""The fractional parts of its multiples are spread evenly, however many there are."""

LAST_ECHO_S = 0.8
"""Time (s) that a call continues after the measured time, to receive its last echoes."""


@dataclass(slots=True)
class EchoCall:
    """One call that measures echoes.

    Attributes:
        line: its connection to the bot.
        phase: offset of its messages against those of other calls (share of the ptime).
        connect_s: time until it was answered; None if it was not.
        sent_at: when each chunk was sent.
        late_s: how late each chunk was sent, due to the caller itself.
        failure: why it failed, if it did.
    """

    line: EchoLine
    opens_at: float
    phase: float = 0.0
    connect_s: float | None = None
    sent_at: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    failure: str = ""
    _timer: asyncio.TimerHandle | None = None
    _heard: list[Heard] | None = None
    _due: float = 0.0

    async def run(self, schedule: Schedule, stopping: asyncio.Event) -> None:
        """Run from its start time until the end of the measurement, or `stopping`."""
        if await _set_within(stopping, self.opens_at - time.monotonic()):
            return
        begun = time.monotonic()
        try:
            await self.line.open()
        except TransportError as error:
            self.failure = str(error)
            return
        self.connect_s = time.monotonic() - begun
        self._begin()
        try:
            await self._until_over(schedule, stopping)
        finally:
            assert self._timer is not None
            self._timer.cancel()

    def _begin(self) -> None:
        """Start sending, with this call's phase: real callers are not synchronized."""
        ptime_s, now = self.line.ptime_s, time.monotonic()
        self._due = (floor(now / ptime_s) + 1 + self.phase) * ptime_s
        self._timer = asyncio.get_running_loop().call_later(self._due - now, self._speak)

    async def _until_over(self, schedule: Schedule, stopping: asyncio.Event) -> None:
        left_s = max(0.0, schedule.until_at + LAST_ECHO_S - time.monotonic())
        await first_of(self.line.gone.wait(), stopping.wait(), timeout_s=left_s)
        if self.line.gone.is_set():
            self.failure = self.line.why

    def _speak(self) -> None:
        """Send one chunk. The next is due by the clock, however late this one was."""
        now = time.monotonic()
        if not self.line.gone.is_set():
            self.line.send(len(self.sent_at))
            self.sent_at.append(now)
            self.late_s.append(now - self._due)
        self._due += self.line.ptime_s
        self._timer = asyncio.get_running_loop().call_later(
            max(0.0, self._due - time.monotonic()), self._speak
        )

    @property
    def is_up(self) -> bool:
        """Whether it is connected and has not failed."""
        return self.connect_s is not None and not self.failure

    def echoes(self, begin: float, end: float) -> Echoes:
        """The echoes of what was sent between these times."""
        if self._heard is None:
            self._heard = self.line.heard()
        return find_echoes(self.line.probe, self.sent_at, self.line.ptime_s, self._heard, begin, end)

    def late_between(self, begin: float, end: float) -> list[float]:
        """Its lateness (s) between these times."""
        pairs = zip(self.sent_at, self.late_s, strict=True)
        return [late for at, late in pairs if begin <= at < end]


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        return False
    return True


def echo_call(make_line: Callable[[int], EchoLine], number: int, opens_at: float) -> EchoCall:
    """The call with this number; `make_line` takes the seed of its probe sound."""
    return EchoCall(make_line(number % SEEDS), opens_at, phase=number * GOLDEN % 1)


LEAST_PAUSE_S = 0.5
"""Minimum time (s) between two calls of a caller."""


@dataclass
class TalkCaller:
    """One caller that plays a scenario in call after call.

    Attributes:
        reports: the reports of its finished calls, each with its start time.
        missed: expectations of the scenario that were not met, in sentences.
        late_s: how late its messages left.
        failures: why calls failed.
        is_up: whether a call is connected now.
    """

    url: str
    transport: str
    scenario: Scenario
    voice: CallerVoice
    opens_at: float
    reports: list[tuple[float, Report]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    is_up: bool = False

    async def run(self, schedule: Schedule, stopping: asyncio.Event) -> None:
        """Make call after call; the last one is cut off at the end of the measured time."""
        left_s = max(0.0, schedule.until_at - time.monotonic())
        await first_of(self._ring_on(), stopping.wait(), timeout_s=left_s)

    async def _ring_on(self) -> None:
        await asyncio.sleep(max(0.0, self.opens_at - time.monotonic()))
        while True:
            try:
                await self._call()
            except TransportError as error:
                self.failures.append(str(error))
            await asyncio.sleep(LEAST_PAUSE_S)

    async def _call(self) -> None:
        wire = new_wire(self.transport, dict(self.scenario.parameters))
        url = f"{self.url}?{wire.query}" if isinstance(wire, PlainWire) else self.url
        line = replace(self.scenario.line or Line(), room_dbfs=ROOM_DBFS)
        begun = time.monotonic()
        async with Phone(url, wire, line=line) as phone:
            self.is_up = True
            try:
                # Without the bot's words: following them would open a second socket for each call.
                scenario = self.scenario.without_words()
                outcomes = await Performer(Talk(phone), self.voice).perform(scenario)
                self.missed += [f"{o.place}: {o.sentence}" for o in outcomes if not o.met]
            finally:
                self.is_up = False
                self.late_s += phone.log.late_s
                await phone.hang_up()
                self.reports.append((begun, measure(phone)))
