"""`/metrics` and `/status` cover the whole run: a save resets no figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from eventually import eventually
from prometheus_client.parser import text_string_to_metric_families
from saving import saving
from test_calls_that_stay import dial_as_a_provider

from runner.callers.call import new_wire
from runner.callers.connections import dial_network
from runner.callers.phone import Phone

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

Figures = dict[str, float]
UP = ("_total", "_count", "_sum", "_bucket")


async def counted(http: httpx2.AsyncClient) -> Figures:
    """Our counters and gauges, by name and labels."""
    families = text_string_to_metric_families((await http.get("/metrics")).text)
    samples = [sample for family in families for sample in family.samples]
    return {",".join([s.name, *s.labels.values()]): s.value for s in samples if s.name.startswith("botrun_")}


def has_not_gone_down(before: Figures, after: Figures) -> bool:
    rising = [name for name in before if name.partition(",")[0].endswith(UP)]
    return len(rising) > 20 and all(after[name] >= before[name] for name in rising)


async def test_no_figure_goes_down_over_saves_and_calls_of_old_code_are_listed(tmp_path: Path) -> None:
    async with saving(tmp_path, "-t", "twilio") as saved:
        url = f"ws://127.0.0.1:{saved.port}/ws"
        http = httpx2.AsyncClient(base_url=saved.address, trust_env=False)
        staying = Phone(url, new_wire("twilio"), connect=dial_as_a_provider)
        async with http, Phone(url, new_wire("twilio"), connect=dial_network) as moving:
            await staying.__aenter__()
            await moving.until(lambda: moving.bot_has_spoken() and staying.bot_has_spoken(), 20)
            first, seen = await counted(http), await calls(http)
            assert len(seen) == 2
            wire = moving.wire
            saved.edit("version 0", "version 1")
            await saved.reloaded(1)
            assert await moving.until(lambda: moving.wire is not wire, 20)
            await eventually(lambda: there_are(http, 2))
            second = await counted(http)
            assert has_not_gone_down(first, second)
            assert second["botrun_sessions_started_total,twilio"] == 2, "a call that moves is one call"
            assert second["botrun_sessions_active,twilio"] == 2
            assert {one["id"] for one in await calls(http)} == {one["id"] for one in seen}
            assert min(one["secs"] for one in await calls(http)) > max(one["secs"] for one in seen)
            await staying.hang_up()
            old = saved.processes()
            await eventually(lambda: fewer(saved.processes, len(old)))
            third = await counted(http)
            assert has_not_gone_down(second, third)
            assert third["botrun_sessions_ended_total,client_left,twilio"] == 1
            assert third["botrun_sessions_active,twilio"] == 1
            saved.edit("version 1", "version 2")
            await saved.reloaded(2)
            assert has_not_gone_down(third, await counted(http))
        await staying.__aexit__(None, None, None)


async def calls(http: httpx2.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await http.get("/status")).json()["sessions"]
    return found


async def there_are(http: httpx2.AsyncClient, count: int) -> bool:
    return len(await calls(http)) == count


async def fewer(processes: Callable[[], list[psutil.Process]], count: int) -> bool:
    return len(processes()) < count
