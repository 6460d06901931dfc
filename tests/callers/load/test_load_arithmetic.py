"""From what callers have heard to the figures of a load: all of it pure."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.callers.load import LoadPlan, Schedule, WorkerPlan, shares
from runner.callers.load.calls import EchoCall, echo_call
from runner.callers.load.chart import check_file, over_calls, over_time
from runner.callers.load.probe import Heard, ProbeSound, find_echoes, probe_sound
from runner.callers.load.report import Carried, LoadReport, Search, Spread, merge, until_it_breaks
from runner.callers.load.server import ServerUse, ServerWord, address_for, word_of
from runner.callers.load.websocket_line import EchoLine
from runner.callers.load.worker import counted
from runner.cli.load.view import rows
from runner.errors import UsageError

PLAN = LoadPlan(transport="twilio", calls=2, duration_s=10, ramp_s=1, file="bot.py")

# ------------------------------------------------------------------ the probe

PTIME_S, PIECE = 0.02, 160


def echoed(delay_s: float, seconds: float = 10.0, **more: Any) -> tuple[ProbeSound, list[float], list[Heard]]:
    """A caller whose sound comes back whole, `delay_s` after it was sent."""
    probe = probe_sound(1, 8000)
    sent = [index * PTIME_S for index in range(int(seconds / PTIME_S))]
    heard = [Heard(at + delay_s, samples(probe.piece(i, PIECE))) for i, at in enumerate(sent)]
    return probe, sent, heard


def samples(pcm: bytes) -> Any:
    return np.frombuffer(pcm, "<i2") / 32768


@pytest.mark.parametrize("delay_s", [0.0004, 0.033, 0.25, 1.7, 3.3])
def test_an_echo_is_found_whatever_its_delay(delay_s: float) -> None:
    probe, sent, heard = echoed(delay_s)
    found = find_echoes(probe, sent, PTIME_S, heard, 0.0, 6.0)
    assert len(found.latencies) == 6
    assert found.lost == 0
    assert [seconds for _, seconds in found.latencies] == pytest.approx([delay_s] * 6)


def test_chirps_stand_in_every_part_of_a_providers_message() -> None:
    places = [at % 1600 // 400 for seed in range(8) for at, _ in probe_sound(seed, 8000).chirps]
    assert min(places.count(part) for part in range(4)) > 20


def test_an_echo_is_found_where_the_packets_are_cut_elsewhere() -> None:
    probe, sent, heard = echoed(0.1)
    sound = np.concatenate([np.zeros(77), *(part.sound for part in heard)])
    parts = [Heard(0.13 + i * 0.03, sound[i * 240 : (i + 1) * 240]) for i in range(len(sound) // 240)]
    found = find_echoes(probe, sent, PTIME_S, parts, 0.0, 6.0)
    assert found.lost == 0
    assert all(0.1 < seconds < 0.17 for _, seconds in found.latencies)


def test_an_echo_survives_a_telephone_and_noise_does_not_make_one() -> None:
    from runner.audio.g711 import ulaw_decode, ulaw_encode

    probe, sent, heard = echoed(0.05)
    phone = [
        Heard(h.at, samples(ulaw_decode(ulaw_encode((h.sound * 32767).astype("<i2").tobytes()))))
        for h in heard
    ]
    assert find_echoes(probe, sent, PTIME_S, phone, 0.0, 9.0).lost == 0
    rng = np.random.default_rng(3)
    hiss = [Heard(h.at, rng.normal(0, 0.2, len(h.sound))) for h in heard]
    found = find_echoes(probe, sent, PTIME_S, hiss, 0.0, 9.0)
    assert (len(found.latencies), found.lost) == (0, 9)


def test_sound_that_did_not_come_back_is_counted() -> None:
    probe, sent, heard = echoed(0.05)
    kept = [part for part in heard if not 3 <= part.at < 5]
    found = find_echoes(probe, sent, PTIME_S, kept, 0.0, 10.0)
    assert found.returned == pytest.approx(0.8, abs=0.01)
    assert found.lost == 2
    assert [round(hole, 2) for hole in found.holes_s] == [1.96]


def test_a_bot_that_is_silent_returns_nothing() -> None:
    probe, sent, _ = echoed(0.05)
    found = find_echoes(probe, sent, PTIME_S, [], 0.0, 10.0)
    assert (found.latencies, found.lost, found.returned, found.holes_s) == ((), 10, 0.0, ())


def test_late_messages_within_the_listeners_buffer_are_no_holes() -> None:
    probe, sent, heard = echoed(0.05)
    rng = np.random.default_rng(1)
    jittered = [Heard(part.at + rng.random() * 0.03, part.sound) for part in heard]
    assert find_echoes(probe, sent, PTIME_S, jittered, 0.0, 10.0).holes_s == ()


# ------------------------------------------------------------------ when


def test_calls_begin_one_after_the_other_and_are_measured_when_all_stand() -> None:
    schedule = Schedule(start_at=100.0, ramp_s=5.0, duration_s=30.0)
    assert [schedule.opens_at(number, 5) for number in range(5)] == [100, 101, 102, 103, 104]
    assert (schedule.from_at, schedule.until_at) == (107, 137)
    assert schedule.measured(None) == (107, 137)
    assert schedule.measured(120.0) == (107, 120)
    assert schedule.measured(104.0) == (100, 104)


def test_calls_are_dealt_to_the_processes() -> None:
    assert shares(5, 2) == [(0, 2, 4), (1, 3)]
    assert shares(1, 4) == [(0,)]
    plan = WorkerPlan(
        transport="twilio", url="ws://h/ws", scenario="echo", numbers=(0, 2), calls=3, duration_s=1, ramp_s=0
    )
    assert WorkerPlan.from_json(plan.to_json()) == plan


class SlowLine(EchoLine):
    """Holds up the loop with every message."""

    probe, ptime_s = probe_sound(1, 8000), 0.02

    async def open(self) -> None: ...
    def send(self, index: int) -> None:
        time.sleep(0.05)

    def heard(self) -> list[Heard]:
        return []

    @property
    def received(self) -> int:
        return 0

    async def hang_up(self) -> None: ...


async def test_a_caller_knows_that_it_is_late_itself() -> None:
    stop = asyncio.Event()
    call = EchoCall(SlowLine(), time.monotonic())
    asyncio.get_running_loop().call_later(0.5, stop.set)
    await call.run(Schedule(time.monotonic(), 0.0, 60.0), stop)
    assert max(call.late_between(0, float("inf"))) > 0.05
    report = merged({"late": counted(call.late_s)})
    assert report.callers.saturated
    assert dict(rows(report))["caution"].startswith("[red]the callers themselves ran late")
    assert "verdict" not in dict(rows(report))


async def test_callers_send_at_moments_of_their_own() -> None:
    class Quick(SlowLine):
        def send(self, index: int) -> None: ...

    stop, start = asyncio.Event(), time.monotonic()
    calls = [echo_call(lambda seed: Quick(), number, start) for number in range(10)]
    asyncio.get_running_loop().call_later(0.3, stop.set)
    await asyncio.gather(*(call.run(Schedule(start, 0.0, 60.0), stop) for call in calls))
    phases = sorted((call.sent_at[3] - call.late_s[3]) % 0.02 for call in calls)
    assert min(b - a for a, b in pairwise(phases)) > 0.0005


# ------------------------------------------------------------------ the report


def merged(*results: dict[str, Any], plan: LoadPlan = PLAN, **more: Any) -> LoadReport:
    whole = [{"begin": 3.0, "end": 13.0, **result} for result in results]
    rest = {"start_at": 0.0, "up": 2, "server": None, "callers_cores": 0.1, "others": 0.0, "stopped": False}
    return merge(plan, whole, **{**rest, **more})


GOOD = {
    "echoes": [[4.0, 0.010], [5.0, 0.020]],
    "early": [[1.0, 0.9]],
    "returned": [1.0, 0.998],
    "lost": 0,
    "connect_s": [0.002],
    "holes_s": [],
    "late": [[2, 90], [30, 10]],
}


def test_a_load_is_the_sum_of_its_processes() -> None:
    report = merged(GOOD, {**GOOD, "echoes": [[6.0, 0.1]], "returned": [0.99], "holes_s": [0.05]})
    assert report.echo_ms == Spread(3, 20, 100, 100, 100)
    assert (report.returned, report.returned_least) == (0.996, 0.99)
    assert (report.underruns, report.underrun_ms) == (1, 50)
    assert report.callers.late_ms == Spread(200, 0.2, 3.0, 3.0, 3.0)
    assert report.callers.procs == 2
    assert not report.callers.saturated
    assert report.duration_s == 10
    assert len(report.points) == 5
    assert report.holds


@pytest.mark.parametrize(
    ("worse", "breach"),
    [
        ({"echoes": [[4.0, 0.3]]}, "the echo's p95 was 300 ms"),
        ({"returned": [0.5]}, "50.0% of the sound came back"),
        ({"lost": 1}, "1 of 3 chirps were lost"),
        ({"failures": ["no answer"]}, "1 calls failed"),
        ({"echoes": []}, "nothing came back"),
    ],
)
def test_a_load_does_not_hold_and_says_in_what(worse: dict[str, Any], breach: str) -> None:
    report = merged({**GOOD, **worse})
    assert report.breaches == (breach,)
    assert not report.as_dict()["holds"]
    assert breach in dict(rows(report))["verdict"]


def test_talks_are_counted_by_their_answers_and_stops() -> None:
    talk = {
        "turns": [[1.0, 500.0]],
        "stops_ms": [300.0, 9000.0],
        "not_stopped": 1,
        "talks": 2,
        "underruns": 3,
    }
    report = merged(talk, plan=replace(PLAN, scenario="talk"))
    assert report.latency_ms == Spread(1, 500, 500, 500, 500)
    assert report.stop_ms.n == 1
    fields = dict(rows(report))
    assert "1 ignored" in fields["stop latency"]
    assert "2 talks" in fields["calls"]
    assert "verdict" not in fields


def test_the_servers_share_is_shown_where_it_is_known() -> None:
    use = ServerUse(
        pid=1, cpu_cores=0.2, cpu_ms_per_call_s=100.0, idle_mb=50, peak_mb=60, mb_per_call=5, threads=3
    )
    assert dict(rows(merged(GOOD, server=use)))["server CPU"] == "100.0 ms per second of call (0.20 cores)"
    assert "--pid" in dict(rows(merged(GOOD)))["server"]


# ------------------------------------------------------------------ until it breaks


def search(carries: int, first: int = 8, most: int = 4096) -> tuple[Search, list[int]]:
    found, tried = Search(first, most), []
    while (calls := found.next) is not None:
        tried.append(calls)
        found.note(calls, held=calls <= carries)
    return found, tried


@pytest.mark.parametrize("carries", [0, 1, 2, 7, 8, 9, 33, 150, 151, 1000])
def test_the_search_ends_near_what_is_carried(carries: int) -> None:
    found, tried = search(carries)
    assert found.held <= carries < (found.broke or 0)
    assert (found.broke or 0) - found.held <= max(1, 0.05 * found.held)
    assert len(tried) <= 14


def test_the_search_doubles_then_halves() -> None:
    assert search(33)[1] == [8, 16, 32, 64, 48, 40, 36, 34, 33]
    assert search(9999, most=20)[1] == [8, 16, 20]


async def test_a_load_that_breaks_is_tried_again_and_lateness_of_the_callers_ends_the_search() -> None:
    tried: list[int] = []

    async def run(plan: LoadPlan) -> LoadReport:
        tried.append(plan.calls)
        once = tried.count(plan.calls) == 1
        if plan.calls == 16 and once:
            return merged({**GOOD, "lost": 9}, plan=plan)
        if plan.calls == 32:
            return merged({**GOOD, "lost": 9, "late": [[500, 10]]}, plan=plan)
        return merged(GOOD, plan=plan)

    carried = await until_it_breaks(replace(PLAN, calls=8), run, asyncio.Event())
    assert tried == [8, 16, 16, 32, 32]
    assert (carried.calls, carried.broke, carried.limit) == (16, None, "callers")


# ------------------------------------------------------------------ whom, and charts


@pytest.mark.parametrize(
    ("target", "transport", "address"),
    [
        ("http://127.0.0.1:7860", "twilio", "ws://127.0.0.1:7860/ws"),
        ("ws://127.0.0.1:7860/ws", "telnyx", "ws://127.0.0.1:7860/ws"),
        ("ws://127.0.0.1:7860/", "websocket", "ws://127.0.0.1:7860/ws-client"),
        ("ws://127.0.0.1:7860/ws", "webrtc", "http://127.0.0.1:7860"),
        ("https://host/talk?a=1", "twilio", "wss://host/talk?a=1"),
    ],
)
def test_an_address_is_made_fit_for_the_wire(target: str, transport: str, address: str) -> None:
    assert address_for(target, transport) == address


@pytest.mark.parametrize("target", ["ftp://host", "ws://", "ws://host:99999", "ws://[", "http://:80"])
def test_what_is_no_address_is_reported_in_a_sentence(target: str) -> None:
    with pytest.raises(UsageError, match="not an address that can be called"):
        address_for(target, "twilio")


def chart_data(page: str) -> Any:
    return json.loads(re.findall(r'<script id="data" type="application/json">(.*)</script>', page)[0])


def test_a_chart_is_one_page_that_shows_every_echo(tmp_path: Path) -> None:
    report = merged(GOOD, plan=replace(PLAN, file="</script><bot> & more.py"))
    over_time(report).save(tmp_path / "time.html")
    page = (tmp_path / "time.html").read_text(encoding="utf-8")
    data = chart_data(page)
    assert len(data["x"]) == len(report.points) == len(data["series"][0]["values"])
    assert data["x"] == sorted(data["x"])
    assert page.count("</script>") == 3
    assert "&lt;bot&gt; &amp; more.py" in page
    assert re.findall(r'(?:src|href)="', page) == []


def test_a_search_is_drawn_over_its_calls_with_the_better_of_two_tries() -> None:
    report = merged(GOOD)
    bad = replace(report, calls=16, echo_ms=replace(report.echo_ms, p95=900.0))
    steps = [replace(report, calls=8), bad, replace(bad, echo_ms=report.echo_ms), replace(report, calls=12)]
    data = chart_data(over_calls(Carried(calls=12, broke=16, limit="server", steps=steps)).html())
    assert data["x"] == [8, 12, 16]
    assert data["series"][1]["values"] == [report.echo_ms.p95] * 3


def test_a_chart_that_cannot_be_written_is_refused_before_the_load(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not an \.html file"):
        check_file(tmp_path / "plot.pdf")
    with pytest.raises(UsageError, match="does not exist"):
        check_file(tmp_path / "nowhere" / "plot.html")


def test_the_servers_own_word_is_read_from_its_metrics() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    page = """# TYPE botrun_loop_lag_seconds histogram
botrun_loop_lag_seconds_bucket{le="0.001"} 90
botrun_loop_lag_seconds_bucket{le="0.005"} 99
botrun_loop_lag_seconds_bucket{le="+Inf"} 100
# TYPE botrun_underruns counter
botrun_underruns_total 3
# TYPE botrun_sound_dropped_seconds counter
botrun_sound_dropped_seconds_total 0.04
"""
    word = word_of(sample for family in text_string_to_metric_families(page) for sample in family.samples)
    assert word == ServerWord(loop_lag_ms=5.0, underruns=3, dropped=0, dropped_ms=40, refused=0)
    fields = dict(rows(replace(merged(GOOD), word=word)))["server says"]
    assert fields == "loop within 5 ms p99; [yellow]3 underruns, 40 ms of sound dropped[/yellow]"
    assert word_of([]) is None
