"""Callers who talk: each plays a scenario on the local phone, and rings again until the time is over."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace

from runner.callers.call import new_wire
from runner.callers.load.plan import Schedule
from runner.callers.phone import Phone
from runner.callers.report.report import Report, measure
from runner.callers.report.talk import Talk
from runner.callers.scenario.performer import Performer
from runner.callers.scenario.steps import Scenario
from runner.callers.sound.line import ROOM_DBFS, Line
from runner.callers.sound.voice import CallerVoice
from runner.callers.wires.plain import PlainWire
from runner.errors import TransportError

LEAST_PAUSE_S = 0.5
"""Between one call and the caller's next."""


@dataclass
class TalkCaller:
    """One caller.

    Attributes:
        reports: of its calls that are over, with the time each began.
        missed: expectations of the scenario that were not met, in sentences.
        late_s: how late its messages left.
        failures: why calls failed.
        is_up: whether a call stands now.
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
        """Ring and ring again; the last call is broken off when the time is over."""
        over = asyncio.create_task(self._over(schedule, stopping))
        talking = asyncio.create_task(self._ring_on())
        try:
            await asyncio.wait({over, talking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (over, talking):
                task.cancel()
            await asyncio.gather(over, talking, return_exceptions=True)

    async def _over(self, schedule: Schedule, stopping: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(max(0.0, schedule.until_at - time.monotonic())):
                await stopping.wait()
        except TimeoutError:
            return

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
                # Nobody follows the bot's words: a load is not to open a second socket for each call.
                outcomes = await Performer(Talk(phone), self.voice).perform(self.scenario)
                self.missed += [f"{o.place}: {o.sentence}" for o in outcomes if not o.met]
            finally:
                self.is_up = False
                self.late_s += phone.log.late_s
                await phone.hang_up()
                self.reports.append((begun, measure(phone)))
