"""One caller process: `python -m runner.callers.load.worker`.

Lines on its standard input: the plan (JSON); `go SECONDS` (the monotonic time to start at); `stop`.
Lines of JSON on its standard output: `{"ready": …}`, `{"up": …, "failed": …}` twice a second, and at
the end `{"result": …}`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

from runner.callers.load import ECHO, LATE_STEP_MS, Schedule, WorkerPlan
from runner.callers.load.calls import EchoCall, TalkCaller, echo_call
from runner.callers.load.websocket_line import EchoLine, PhoneLine
from runner.errors import BotrunError
from runner.eventloop.waiting import first_of
from runner.server.wire.tls import trust_anybody, trust_for

REPORT_EVERY_S = 0.5


def send(**message: Any) -> None:
    """Send a line to the parent."""
    print(json.dumps(message), flush=True)


class EchoCrew:
    """Calls that measure the echo."""

    def __init__(self, plan: WorkerPlan, closing: AsyncExitStack) -> None:
        self._plan = plan
        self._closing = closing
        self._calls: list[EchoCall] = []

    async def prepare(self) -> None:
        """Do the slow imports and setup before the load."""
        make = await self._line_maker()
        for seed in sorted({number % 8 for number in self._plan.numbers}):
            await make(seed).hang_up()
        self._make = make

    async def _line_maker(self) -> Callable[[int], EchoLine]:
        url, transport = self._plan.url, self._plan.transport
        if transport != "webrtc":
            return lambda seed: PhoneLine(url, transport, seed)
        import httpx2

        from runner.callers.load.rtp_line import RtpLine

        client = httpx2.AsyncClient(verify=trust_for(url) or True)
        http = await self._closing.enter_async_context(client)
        return lambda seed: RtpLine(url, seed, http)

    async def run(self, schedule: Schedule, stopping: asyncio.Event) -> None:
        """Run all calls."""
        plan = self._plan
        self._calls = [
            echo_call(self._make, number, schedule.opens_at(number, plan.calls)) for number in plan.numbers
        ]
        await asyncio.gather(*(call.run(schedule, stopping) for call in self._calls))

    async def hang_up(self) -> None:
        """End all calls."""
        await asyncio.gather(*(call.line.hang_up() for call in self._calls), return_exceptions=True)

    def counts(self) -> tuple[int, int]:
        """Number of connected calls, and of failed calls."""
        return sum(call.is_up for call in self._calls), sum(bool(call.failure) for call in self._calls)

    def result(self, begin: float, end: float) -> dict[str, Any]:
        """The measurements between these times; `early`: the echoes before, for the chart."""
        late = (late for call in self._calls for late in call.late_between(begin, end))
        found = [call.echoes(begin, end) for call in self._calls if call.connect_s is not None]
        return {
            "failures": [call.failure for call in self._calls if call.failure],
            "late": counted(late),
            "connect_s": [call.connect_s for call in self._calls if call.connect_s is not None],
            "echoes": _rounded(echoes.latencies for echoes in found),
            "early": _rounded(
                call.echoes(0.0, begin).latencies for call in self._calls if call.connect_s is not None
            ),
            "lost": sum(echoes.lost for echoes in found),
            "returned": [round(echoes.returned, 5) for echoes in found],
            "holes_s": [round(hole, 4) for echoes in found for hole in echoes.holes_s],
        }


class TalkCrew:
    """Callers that play a scenario."""

    def __init__(self, plan: WorkerPlan, closing: AsyncExitStack) -> None:
        self._plan = plan
        self._closing = closing
        self._callers: list[TalkCaller] = []

    async def prepare(self) -> None:
        """Synthesize everything the callers will say, then end the voice's helper process."""
        from runner.callers.scenario import find_scenario
        from runner.callers.scenario.performer import Performer
        from runner.callers.sound.microphone import caller_voice

        self._scenario = find_scenario(self._plan.scenario)
        async with caller_voice() as voice:
            await Performer.prepare(self._scenario, voice)
        self._voice = voice

    async def run(self, schedule: Schedule, stopping: asyncio.Event) -> None:
        """Run all callers."""
        plan = self._plan
        self._callers = [
            TalkCaller(
                plan.url,
                plan.transport,
                self._scenario,
                self._voice,
                schedule.opens_at(number, plan.calls),
            )
            for number in plan.numbers
        ]
        await asyncio.gather(*(caller.run(schedule, stopping) for caller in self._callers))

    async def hang_up(self) -> None:
        """Does nothing: each caller hangs up itself."""

    def counts(self) -> tuple[int, int]:
        """Number of connected calls, and of failed calls."""
        return sum(c.is_up for c in self._callers), sum(len(c.failures) for c in self._callers)

    def result(self, begin: float, end: float) -> dict[str, Any]:
        """The measurements of all calls, including those before `begin`."""
        reports = [pair for caller in self._callers for pair in caller.reports]
        return {
            "failures": [failure for caller in self._callers for failure in caller.failures],
            "missed": [sentence for caller in self._callers for sentence in caller.missed],
            "late": counted(late for caller in self._callers for late in caller.late_s),
            "turns": [[round(at, 3), ms] for at, report in reports for ms in report.turn_latencies_ms],
            "stops_ms": [ms for _, report in reports for ms in report.stop_latencies_ms],
            "not_stopped": sum(report.not_stopped for _, report in reports),
            "underruns": sum(report.underruns for _, report in reports),
            "underrun_ms": sum(report.underrun_ms for _, report in reports),
            "violations": [sentence for _, report in reports for sentence in report.violations],
            "talks": len(reports),
        }


def _rounded(latencies: Iterable[Iterable[tuple[float, float]]]) -> list[list[float]]:
    return [[round(at, 3), round(seconds, 6)] for of_one in latencies for at, seconds in of_one]


def counted(late_s: Iterable[float]) -> list[list[int]]:
    """Lateness as [number of steps, count] pairs, because a long load has millions of values."""
    steps = Counter(max(0, round(late * 1000 / LATE_STEP_MS)) for late in late_s)
    return [[step, count] for step, count in sorted(steps.items())]


async def work() -> None:
    """Read the plan, run the calls, send the result."""
    lines = await _standard_input()
    plan = WorkerPlan.from_json((await lines.readline()).decode())
    if plan.insecure:
        trust_anybody()
    async with AsyncExitStack() as closing:
        crew = (EchoCrew if plan.scenario == ECHO else TalkCrew)(plan, closing)
        await crew.prepare()
        send(ready=True)
        word, _, start = (await lines.readline()).decode().partition(" ")
        if word != "go":
            return
        # The garbage collector would delay all calls at once.
        gc.collect()
        gc.freeze()
        gc.disable()
        schedule = Schedule(float(start), plan.ramp_s, plan.duration_s)
        stopped_at = await _run(crew, schedule, lines)
        begin, end = schedule.measured(stopped_at)
        await crew.hang_up()
        send(result={"begin": begin, "end": end, **crew.result(begin, end)})


async def _run(crew: EchoCrew | TalkCrew, schedule: Schedule, lines: asyncio.StreamReader) -> float | None:
    """Run the load; return when it was stopped, None if it was not."""
    stopping = asyncio.Event()
    running = asyncio.create_task(crew.run(schedule, stopping), name="calls")
    stopped_at = None

    async def until_over() -> None:
        nonlocal stopped_at
        await first_of(asyncio.wait({running}), lines.readline())
        if not running.done():
            stopped_at = time.monotonic()
            stopping.set()
        await running

    await first_of(until_over(), _report_counts(crew))
    return stopped_at


async def _report_counts(crew: EchoCrew | TalkCrew) -> None:
    while True:
        up, failed = crew.counts()
        send(up=up, failed=failed)
        await asyncio.sleep(REPORT_EVERY_S)


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


def main() -> None:
    """Run the worker; report an error before the load as one line."""
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(work())
    except BotrunError as error:
        send(error=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
