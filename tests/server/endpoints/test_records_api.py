"""`/api/calls`, asked for what no call has: a refusal or an empty part, and no error of ours."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from records import booking_call

from runner.server.endpoints.records import add_records

MANY_DIGITS = "9" * 5000
"""More than Python makes a number of."""


@pytest.fixture
def http(tmp_path: Path) -> httpx2.AsyncClient:
    booking_call().write(tmp_path)
    api = FastAPI()
    add_records(api, tmp_path)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(api), base_url="http://localhost")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?since=99999999999999d", 400),
        ("?since=0001-01-01", 400),
        ("?slow_s=nan", 422),
        ("?slow_s=inf", 422),
        ("/last/sound.wav?from=nan", 422),
        ("/last/sound.wav?from=inf", 422),
        ("/last/sound.wav?from=1e308", 422),
        ("/last/sound.wav?to=inf", 422),
        ("/last/sound.wav?from=5&to=1", 200),
        ("/last/peaks?from=inf", 422),
        ("/last/peaks?to=1e308", 422),
        ("/last/peaks?from=1e8&width=20000", 200),
        ("/last/events?after=99999999999999999999999", 200),
        ("/last/wire?after=99999999999999999999999&q=%00", 200),
    ],
)
async def test_times_beyond_all_calls(http: httpx2.AsyncClient, query: str, status: int) -> None:
    assert (await http.get(f"/api/calls{query}")).status_code == status


@pytest.mark.parametrize(
    ("path", "header", "value", "status"),
    [
        ("sound.wav", "range", f"bytes={MANY_DIGITS}-", 416),
        ("sound.wav", "range", f"bytes=-{MANY_DIGITS}", 206),
        ("sound.wav", "range", "bytes=0-1,5-9", 200),
        ("live", "last-event-id", MANY_DIGITS, 200),
    ],
)
async def test_numbers_with_thousands_of_digits(
    http: httpx2.AsyncClient, path: str, header: str, value: str, status: int
) -> None:
    answer = await http.get(f"/api/calls/last/{path}", headers={header: value})
    assert answer.status_code == status
