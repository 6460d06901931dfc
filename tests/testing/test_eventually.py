"""Tests' own waiting: what it returns, and what it says when it waited in vain."""

from __future__ import annotations

import asyncio

import pytest
from eventually import eventually, steady

from runner.testing import run_virtual


def test_it_returns_what_was_found_as_soon_as_there_is_something() -> None:
    async def script() -> tuple[list[int], float]:
        loop, found = asyncio.get_running_loop(), list[int]()
        began = loop.time()
        loop.call_later(3, found.append, 7)
        return await eventually(lambda: found), loop.time() - began

    found, waited_s = run_virtual(script())
    assert found == [7]
    assert waited_s == pytest.approx(3, abs=0.01)


def test_it_awaits_what_it_looks_with() -> None:
    async def look() -> str:
        return "there"

    assert run_virtual(eventually(look)) == "there"


def test_waiting_in_vain_names_what_was_waited_for_and_the_last_value() -> None:
    with pytest.raises(AssertionError, match=r"^not within 2 s: the caller is gone; last: 0$"):
        run_virtual(eventually(lambda: 0, 2, what="the caller is gone"))
    with pytest.raises(AssertionError, match=r"test_eventually\.py:\d+; last: 0$"):
        run_virtual(eventually(lambda: len(""), 2))


def test_what_still_changes_is_waited_for() -> None:
    async def script() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        return await steady(lambda: min(loop.time() - began, 2)), loop.time() - began

    found, waited_s = run_virtual(script())
    assert found == 2
    assert waited_s == pytest.approx(2.2, abs=0.02)
