"""Two servers share a real Redis: tokens, limits, replay protection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from redis_server import redis_server

from runner.errors import BotrunError
from runner.providers.webhooks import RefusedError
from runner.server.host import LedgerUnavailableError
from runner.server.public import shared_ledger
from runner.server.public.ledger import WORDS, Ledger
from runner.server.public.ledger_client import LedgerStore, LocalLedgerClient, make_store
from runner.server.public.shared_ledger import SharedLedger
from runner.settings import Settings

pytestmark = pytest.mark.processes

CALL = {"call_id": "C1", "from_number": "+1", "to_number": "+2"}


@contextlib.asynccontextmanager
async def two(folder: Path, **limits: Any) -> AsyncIterator[tuple[SharedLedger, SharedLedger]]:
    settings = {"max_calls_per_caller": 0, "max_starts_per_min": 0, **limits}
    async with redis_server(folder) as url:
        stores = [SharedLedger(url, Settings(**settings)) for _ in range(2)]
        for store in stores:
            await store.start()
        try:
            yield stores[0], stores[1]
        finally:
            for store in stores:
                await store.aclose()


@contextlib.asynccontextmanager
async def one_of(kind: str, folder: Path, **limits: Any) -> AsyncIterator[LedgerStore]:
    """A store of either kind."""
    if kind == "here":
        yield LocalLedgerClient(Ledger(Settings(**limits)))
    else:
        async with two(folder, **limits) as (first, _):
            yield first


@pytest.mark.parametrize("kind", ["here", "redis"])
async def test_both_stores_answer_alike(tmp_path: Path, kind: str) -> None:
    async with one_of(
        kind, tmp_path, max_calls_per_caller=1, max_calls_per_number=2, max_starts_per_min=9
    ) as store:
        assert await store.ask("admit", "C1", "+1", "+9") == ""
        assert await store.ask("admit", "C1", "+1", "+9") == "", "the same webhook again"
        assert "BOTRUN_MAX_CALLS_PER_CALLER" in await store.ask("admit", "C2", "+1", "+9")
        assert await store.ask("admit", "C3", "+3", "+9") == ""
        assert "BOTRUN_MAX_CALLS_PER_NUMBER" in await store.ask("admit", "C4", "+4", "+9")
        token = await store.ask("issue", "twilio", CALL, 60.0)
        assert await store.ask("issue", "twilio", CALL, 60.0) == token
        assert not await store.ask("has_sound", "C1")
        ticket = await store.ask("redeem", token)
        assert (ticket["provider"], ticket["call"]["call_id"], ticket["again"]) == ("twilio", "C1", False)
        with pytest.raises(RefusedError, match="used up"):
            await store.ask("redeem", token)
        for what in (("admit", "C1", "+1"), ("issue", "twilio", CALL, 60.0)):
            with pytest.raises(RefusedError, match="copy of an earlier one"):
                await store.ask(*what)
        await store.ask("begins", "C1", "+1", "twilio")
        assert await store.ask("has_sound", "C1")
        await store.ask("ends", "C1")
        assert not await store.ask("has_sound", "C1")
        assert await store.ask("admit", "C5", "+1", "+9") == "", "C1 is over"


@pytest.mark.parametrize("kind", ["here", "redis"])
async def test_both_stores_know_tokens_of_exotel_events_transfers_and_dialled_calls(
    tmp_path: Path, kind: str
) -> None:
    async with one_of(kind, tmp_path) as store:
        token = await store.ask("issue", "exotel", CALL, 60.0)
        assert [(await store.ask("redeem", token))["again"] for _ in range(2)] == [False, True]
        token = await store.ask("issue", "twilio", {**CALL, "call_id": "C2"}, 60.0)
        ticket = await store.ask("redeem", token)
        await store.ask("restore", token, ticket)
        assert (await store.ask("redeem", token))["call"]["call_id"] == "C2"
        assert [await store.ask("news", "E1") for _ in range(2)] == [True, False]
        await store.ask("no_news", "E1")
        assert await store.ask("news", "E1")
        parked = await store.ask("park", "+7")
        assert [await store.ask("parked", parked) for _ in range(2)] == ["+7", ""]
        assert tuple(await store.ask("state", "D1")) == ("", False)
        await store.ask("rings", "D1")
        assert await store.ask("admit", "D1", "+1") == "", "a call that we made was counted before"
        await store.ask("became", "D1", "answered")
        await store.ask("begins", "D1", "+1")
        assert tuple(await store.ask("state", "D1")) == ("talking", False)
        await store.ask("ends", "D1")
        assert tuple(await store.ask("state", "D1")) == ("over: completed", True)
        with pytest.raises(LookupError):
            await store.ask("renew")


async def test_a_token_of_one_server_is_redeemed_once_on_any(tmp_path: Path) -> None:
    async with two(tmp_path) as stores:
        for number in range(20):
            call = {**CALL, "call_id": f"C{number}"}
            issued = await asyncio.gather(*(store.ask("issue", "twilio", call, 60.0) for store in stores * 2))
            assert len(set(issued)) == 1, "one webhook, answered by both"
            redeemed = await asyncio.gather(
                *(store.ask("redeem", issued[0]) for store in stores * 5), return_exceptions=True
            )
            assert sum(isinstance(one, dict) for one in redeemed) == 1
            assert sum(isinstance(one, RefusedError) for one in redeemed) == 9


async def test_limits_hold_over_both_however_many_ask_at_once(tmp_path: Path) -> None:
    async with two(tmp_path, max_calls_per_caller=3) as stores:
        asked = await asyncio.gather(*(stores[n % 2].ask("admit", f"C{n}", "+1") for n in range(20)))
        assert asked.count("") == 3
        for store in stores:
            store.allow(5)
        await eventually(lambda: capacity_is(stores, 10), what="both have said what they carry")
        asked = await asyncio.gather(*(stores[n % 2].ask("admit", f"D{n}", f"+{n + 2}") for n in range(20)))
        assert asked.count("") == 7
        assert "10 calls are under way on all servers" in next(answer for answer in asked if answer)


async def capacity_is(stores: tuple[SharedLedger, SharedLedger], calls: int) -> bool:
    values = await stores[0]._redis.hvals("botrun:capacity")
    return sum(map(int, values)) == calls


async def test_what_a_dead_server_left_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_ledger, "LIFE_S", 0.3)
    monkeypatch.setattr(shared_ledger, "RENEW_S", 0.05)
    async with two(tmp_path, max_calls_per_caller=1) as (first, second):
        assert await first.ask("admit", "C1", "+1") == ""
        await first.ask("begins", "C1", "+1")
        await asyncio.sleep(0.6)
        assert await second.ask("has_sound", "C1"), "its server renews it"
        first._renewing.cancel()  # type: ignore[union-attr]  # as if it were killed
        await eventually(lambda: is_admitted(second), what="the call of the dead server no longer counts")
        assert not await second.ask("has_sound", "C1")


async def is_admitted(store: SharedLedger) -> bool:
    return await store.ask("admit", "C2", "+1") == ""


async def test_a_redis_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    async with two(tmp_path) as (store, _):
        await store._redis.shutdown(nosave=True)
        with pytest.raises(LedgerUnavailableError, match=r"127\.0\.0\.1:\d+ does not answer"):
            await store.ask("admit", "C1", "+1")
    lost = make_store(Settings(state="redis://:canary@127.0.0.1:1/0"))
    with pytest.raises(BotrunError, match=r"BOTRUN_STATE: 127\.0\.0\.1:1 does not answer") as caught:
        await lost.start()
    assert "canary" not in str(caught.value)
    await lost.aclose()


def test_every_word_of_the_ledger_is_known() -> None:
    assert {word for word in WORDS if not callable(getattr(SharedLedger, f"_{word}", None))} == set()
    assert isinstance(make_store(Settings()), LocalLedgerClient)
