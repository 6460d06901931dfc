"""One-time tokens and the bounds of a public address, with a clock of the test's own."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from runner.providers.webhooks import CallFacts, RefusedError
from runner.server.public.ledger import MOST_TICKETS, TICKET_LIFE_S, CallLimits, Ledger, Tickets
from runner.settings import Settings

CALL = CallFacts(call_id="C1")


def test_a_token_is_used_up_by_its_first_use() -> None:
    tickets = Tickets()
    token = tickets.issue("twilio", CALL, 0.0)
    assert tickets.redeem(token, 1.0).call is CALL
    with pytest.raises(RefusedError, match="used up"):
        tickets.redeem(token, 1.0)


def test_a_token_is_good_for_its_time_only() -> None:
    tickets = Tickets()
    token = tickets.issue("twilio", CALL, 0.0)
    with pytest.raises(RefusedError, match="1 s too old"):
        tickets.redeem(token, TICKET_LIFE_S + 1)


def test_a_webhook_that_is_sent_twice_gets_the_same_token_until_the_call_is_connected() -> None:
    tickets = Tickets()
    first, second = tickets.issue("twilio", CALL, 0.0), tickets.issue("twilio", CALL, 1.0)
    assert first == second
    tickets.redeem(first, 2.0)
    with pytest.raises(RefusedError, match="connected already"):
        tickets.issue("twilio", CALL, 3.0)


@pytest.mark.parametrize("provider", ["twilio", "plivo", "exotel"])
def test_a_copy_of_a_webhook_starts_no_call_however_late_it_comes(provider: str) -> None:
    ledger = Ledger(Settings())
    call = asdict(CALL)
    assert ledger.admit(0.0, "C1", "+1") == ""
    ledger.redeem(1.0, ledger.issue(0.0, provider, call, TICKET_LIFE_S))
    ledger.begins(1.0, "C1", "+1")
    ledger.ends(2.0, "C1")
    for now in (3.0, 1e6):
        with pytest.raises(RefusedError, match="connected already"):
            ledger.admit(now, "C1", "+1")
        with pytest.raises(RefusedError, match="connected already"):
            ledger.issue(now, provider, call, TICKET_LIFE_S)
    assert not ledger.limits._open


def test_a_token_that_a_wrong_socket_used_is_good_again() -> None:
    tickets = Tickets()
    token = tickets.issue("twilio", CALL, 0.0)
    tickets.restore(token, tickets.redeem(token, 1.0))
    assert tickets.issue("twilio", CALL, 2.0) == token
    assert tickets.redeem(token, 3.0).call is CALL


def test_exotel_may_come_back_once() -> None:
    tickets = Tickets()
    token = tickets.issue("exotel", CALL, 0.0)
    assert not tickets.redeem(token, 1.0).again
    assert tickets.redeem(token, 3000.0).again
    with pytest.raises(RefusedError):
        tickets.redeem(token, 3000.0)


@pytest.mark.long
def test_tokens_cannot_be_guessed_and_do_not_pile_up() -> None:
    tickets = Tickets()
    tokens = {tickets.issue("twilio", CallFacts(call_id=f"C{n}"), 0.0) for n in range(MOST_TICKETS + 10)}
    assert len(tokens) == MOST_TICKETS + 10
    assert min(map(len, tokens)) >= 32
    assert len(tickets._out) <= MOST_TICKETS
    tickets.issue("twilio", CALL, TICKET_LIFE_S + 1)
    assert len(tickets._out) == 1


def limits(**more: int) -> CallLimits:
    return CallLimits(**{"calls": 0, "per_caller": 0, "starts_per_min": 0, **more}, connect_s=60)


def test_calls_at_once_are_bounded_until_one_is_over() -> None:
    bound = limits(calls=2)
    assert [bool(bound.refusal(f"C{n}", "+1", 0)) for n in range(3)] == [False, False, True]
    bound.over("C0")
    assert bound.refusal("C2", "+1", 0) == ""


def test_calls_of_one_caller_are_bounded_and_strangers_without_a_number_are_not_one() -> None:
    bound = limits(per_caller=1)
    assert bound.refusal("C0", "+1", 0) == ""
    assert "BOTRUN_MAX_CALLS_PER_CALLER" in bound.refusal("C1", "+1", 0)
    assert bound.refusal("C2", "+2", 0) == ""
    assert [bound.refusal(f"C{n}", "", 0) for n in (3, 4)] == ["", ""]


def test_starts_within_a_minute_are_bounded() -> None:
    bound = limits(starts_per_min=2)
    assert [bool(bound.refusal(f"C{n}", "", float(n))) for n in range(3)] == [False, False, True]
    assert bound.refusal("C3", "", 60.5) == ""


def test_a_call_whose_sound_never_came_counts_no_more() -> None:
    bound = limits(calls=1)
    bound.refusal("C0", "", 0)
    assert bound.refusal("C1", "", 59)
    assert bound.refusal("C1", "", 61) == ""
    bound.connected("C1")
    assert bound.refusal("C2", "", 1000)


def test_an_answer_that_is_asked_for_twice_is_one_call() -> None:
    bound = limits(calls=1, starts_per_min=1)
    assert [bound.refusal("C0", "", 0), bound.refusal("C0", "", 0)] == ["", ""]
