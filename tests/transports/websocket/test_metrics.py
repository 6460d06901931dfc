"""What is counted of calls, and `GET /metrics`, which shows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from phone_bots import CountedBot, Served, in_memory, over_sockets, tone
from prometheus_client.parser import text_string_to_metric_families

from runner.callers.call_report import Report, measure
from runner.callers.phone import Phone
from runner.callers.sound.microphone import Manner
from runner.pipeline.latency import SlowWatch
from runner.server.endpoints.prometheus import MetricsPage
from runner.sessions.stats import CallFigures, Figures, Histogram, current_call, enter_call
from runner.testing import run_virtual


def samples(text: str) -> dict[str, float]:
    """All samples by name and labels."""
    found: Iterator[Any] = (s for family in text_string_to_metric_families(text) for s in family.samples)
    return {",".join([s.name, *map(str, s.labels.values())]): s.value for s in found}


def shown(served: Served) -> dict[str, float]:
    totals = served.host.sessions.totals(SlowWatch.shared(asyncio.get_running_loop()).lag)
    return samples(MetricsPage().text(totals).decode())


async def say(phone: Phone, seconds: float, manner: Manner = Manner.TURN) -> None:
    utterance = phone.say(tone(seconds), 8000, manner=manner)
    await phone.until(lambda: utterance.done, 10)


async def a_turn_and_an_interruption(phone: Phone) -> None:
    await phone.until(lambda: phone.bot_has_spoken() and phone.bot_quiet_s() > 0.5, 10)
    await say(phone, 0.6)
    await phone.until(lambda: phone.bot_quiet_s() < 0.05, 10)
    await asyncio.sleep(0.5)
    await say(phone, 0.6, Manner.INTERRUPTION)
    await phone.until(lambda: phone.bot_quiet_s() > 3, 10)


def test_a_call_shows_in_the_metrics_as_the_phone_has_heard_it() -> None:
    async def run() -> tuple[dict[str, float], dict[str, float], Report]:
        bot = CountedBot(replies=("one two three four five six seven.", "eight."))
        async with in_memory(bot) as served:
            async with served.phone("twilio") as phone:
                await a_turn_and_an_interruption(phone)
                during = shown(served)
            await asyncio.sleep(3)
            return during, shown(served), measure(phone)

    during, after, report = run_virtual(run(), 120)
    assert during["botrun_sessions_active,twilio"] == 1
    assert during["botrun_sessions_started_total,twilio"] == 1
    assert after["botrun_sessions_active,twilio"] == 0
    assert after["botrun_sessions_ended_total,client_left,twilio"] == 1
    for name, seen_ms in (("turn", report.turn_latencies_ms), ("stop", report.stop_latencies_ms)):
        assert after[f"botrun_{name}_latency_seconds_count"] == len(seen_ms) > 0
        # The bot's VAD knows of speech a little after the phone, which has made it.
        assert after[f"botrun_{name}_latency_seconds_sum"] == pytest.approx(sum(seen_ms) / 1000, abs=0.2)
    assert after["botrun_loop_lag_seconds_count"] > 100
    assert after["botrun_underruns_total"] == 0


def test_what_is_dropped_is_counted() -> None:
    async def run() -> dict[str, float]:
        async with in_memory(CountedBot(greeting="")) as served, served.phone("twilio") as phone:
            for _ in range(3):
                await phone._send('{"event": 7}')
            await asyncio.sleep(1)
            return shown(served)

    assert run_virtual(run(), 60)["botrun_messages_dropped_total"] == 3


def test_the_line_that_ends_a_call_has_its_figures(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with in_memory(CountedBot(replies=("one.", "two."))) as served:
            async with served.phone("twilio") as phone:
                await phone.until(lambda: phone.bot_has_spoken() and phone.bot_quiet_s() > 0.5, 10)
                await say(phone, 0.6)
                await phone.until(lambda: phone.bot_quiet_s() > 2, 10)
            await asyncio.sleep(3)

    with caplog.at_level(logging.INFO, "runner.sessions.session"):
        run_virtual(run(), 60)
    output = next(line for line in caplog.messages if "ended after" in line)
    assert "the caller left; turn latency " in output
    assert "ms p50 (n=1)" in output


async def test_metrics_are_served_on_the_local_door() -> None:
    async with over_sockets(CountedBot()) as served, httpx2.AsyncClient() as http:
        answer = await http.get(served.url.replace("ws", "http", 1).removesuffix("/ws") + "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert samples(answer.text)["botrun_sessions_refused_total"] == 0


def test_a_histogram_counts_each_value_in_its_bucket() -> None:
    histogram = Histogram((0.1, 0.2))
    for value in (0.05, 0.1, 0.15, 7):
        histogram.observe(value)
    assert histogram.counts == [2, 1, 1]
    assert histogram.count == 4
    assert histogram.sum == pytest.approx(7.3)


def test_totals_of_a_call_outlive_its_parts_and_are_added_once() -> None:
    figures = Figures()
    call = figures.begin("twilio")
    with call.counting([lambda: {"underruns": 2}, lambda: {"underruns": 1, "dropped_ms": 40}]):
        assert figures.totals([call])["underruns"] == 3
    assert figures.totals([call])["underruns"] == 3
    figures.end("twilio", "client_left", call)
    assert figures.totals([]) == {"underruns": 3, "dropped_ms": 40}


async def test_each_call_finds_its_own_figures_in_its_context() -> None:
    ours, theirs = CallFigures(), CallFigures()

    async def call(figures: CallFigures) -> CallFigures:
        enter_call(figures)
        await asyncio.sleep(0)
        return current_call()

    assert await asyncio.gather(call(ours), call(theirs)) == [ours, theirs]
    assert current_call() not in (ours, theirs)
