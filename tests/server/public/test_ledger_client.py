"""The run's ledger, asked by workers over a socket: one count, though workers start, end or are killed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from eventually import eventually

import runner.server.public.ledger_client as ledger_client
from runner.providers.webhooks import RefusedError
from runner.server.public.keeper import make_providers
from runner.server.public.ledger import Ledger
from runner.server.public.ledger_client import (
    LedgerUnavailableError,
    LocalLedgerClient,
    RemoteLedgerClient,
    serving_ledger,
)
from runner.settings import Settings

CALL = {"call_id": "C1", "from_number": "+1", "to_number": "+2", "outbound": False, "answered_by": ""}


@contextlib.asynccontextmanager
async def desks(path: Path, ledger: Ledger) -> AsyncIterator[tuple[RemoteLedgerClient, RemoteLedgerClient]]:
    one, other = RemoteLedgerClient(path), RemoteLedgerClient(path)
    async with serving_ledger(path, LocalLedgerClient(ledger)), one.open(), other.open():
        yield one, other


def ledger(**limits: int) -> Ledger:
    return Ledger(Settings(**{"max_public_calls": 1, **limits}))


async def test_a_token_that_one_worker_gave_out_is_good_for_another_once(tmp_path: Path) -> None:
    async with desks(tmp_path / "k.sock", ledger()) as (old, new):
        token = await old.ask("issue", "twilio", CALL, 60.0)
        assert (await new.ask("redeem", token))["call"] == CALL
        for ledger_client in (old, new):
            with pytest.raises(RefusedError, match="used up"):
                await ledger_client.ask("redeem", token)


async def test_calls_of_all_workers_are_one_count_and_those_of_one_that_is_gone_are_over(
    tmp_path: Path,
) -> None:
    path, book = tmp_path / "k.sock", ledger()
    async with serving_ledger(path, LocalLedgerClient(book)):
        old, new = RemoteLedgerClient(path), RemoteLedgerClient(path)
        async with new.open():
            async with old.open():
                assert await old.ask("admit", "C1", "+1") == ""
                old.send("begins", "C1", "+1")
                assert "BOTRUN_MAX_PUBLIC_CALLS" in await new.ask("admit", "C2", "+1")
            await eventually(lambda: not book.limits._open)
            assert await new.ask("admit", "C2", "+1") == ""


async def test_a_restarted_keeper_gets_the_current_state(tmp_path: Path) -> None:
    path, line = tmp_path / "k.sock", RemoteLedgerClient(tmp_path / "k.sock")
    async with line.open():
        async with serving_ledger(path, LocalLedgerClient(ledger())):
            await line.ask("admit", "C1", "+1")
            line.send("begins", "C1", "+1")
            await line.ask("state", "C1")
        async with serving_ledger(path, LocalLedgerClient(ledger())):
            assert "1 calls are under way" in await line.ask("admit", "C2", "+1")
            line.send("ends", "C1")
            assert await line.ask("admit", "C2", "+1") == ""


async def test_without_a_keeper_a_question_is_refused_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_client, "ANSWER_S", 0.05)
    line = RemoteLedgerClient(tmp_path / "nobody.sock")
    async with line.open():
        line.send("ends", "C1")
        with pytest.raises(LedgerUnavailableError, match="does not answer"):
            await line.ask("admit", "C1", "+1")


def test_only_what_a_ledger_knows_can_be_asked() -> None:
    with pytest.raises(LookupError):
        ledger().answer("__init__", (), 0.0)


def test_calls_that_old_code_finishes_count_for_the_run_s_sessions_too() -> None:
    book = ledger(max_public_calls=10, max_sessions=1)
    assert book.admit(0.0, "C1", "+1") == ""
    assert "BOTRUN_MAX_SESSIONS" in book.admit(0.0, "C2", "+2")


def test_whom_the_run_believes_does_not_change_with_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "edited")
    kept = make_providers(Settings(), ["twilio"], {"TWILIO_AUTH_TOKEN": "of the start"})
    assert kept["twilio"].key("TWILIO_AUTH_TOKEN") == "of the start"


async def test_the_calls_of_a_worker_that_died_are_reported_and_ended_ones_are_not(tmp_path: Path) -> None:
    lost: list[tuple[str, str]] = []
    path = tmp_path / "k.sock"
    async with serving_ledger(
        path, LocalLedgerClient(ledger()), lambda provider, call_id: lost.append((provider, call_id))
    ):
        worker = RemoteLedgerClient(path)
        async with worker.open():
            await worker.ask("admit", "C1", "+1")
            worker.send("begins", "C1", "+1", "twilio")
            worker.send("ends", "C1")
            worker.send("begins", "C2", "+1", "telnyx")
            await worker.ask("state", "C2")
        await eventually(lambda: bool(lost))
    assert lost == [("telnyx", "C2")]
