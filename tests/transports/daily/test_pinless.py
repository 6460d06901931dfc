"""Daily's dial-in webhook: who sent it, and who waits."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from runner.providers.daily import check_pinless, is_test, read_waiting_call
from runner.providers.webhooks import RefusedError, WebRequest

SECRET = base64.b64encode(b"a secret of the number").decode()
NOW = 1_700_000_000.0
CALL = {
    "From": "+14150000001",
    "To": "+14150000002",
    "callId": "c1",
    "callDomain": "d1",
    "sipHeaders": {"a": 1},
}


def webhook(fields: dict[str, Any] = CALL, *, stamp: str = "1700000000", **headers: str) -> WebRequest:
    body = json.dumps(fields).encode()
    raw = hmac.digest(base64.b64decode(SECRET), stamp.encode() + b"." + body, hashlib.sha256)
    signed = {"x-pinless-timestamp": stamp, "x-pinless-signature": base64.b64encode(raw).decode()}
    return WebRequest("POST", "https://h/daily/dialin", {**signed, **headers}, body)


@pytest.mark.parametrize("stamp", ["1700000000", "1700000000000", "1699999800.5"])
def test_a_signed_webhook_of_now_is_taken(stamp: str) -> None:
    check_pinless(webhook(stamp=stamp), SECRET, NOW)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (webhook(stamp="1699999000"), "timestamp differs from this"),
        (webhook(stamp="1699999000000"), "timestamp differs from this"),
        (webhook(stamp="soon"), "not a number"),
        (webhook(**{"x-pinless-signature": "AAAA"}), "signature does not match"),
        (webhook(**{"x-pinless-signature": ""}), "has no x-pinless-signature"),
        (webhook(**{"x-pinless-timestamp": "1700000001"}), "signature does not match"),
        (WebRequest("POST", "https://h/", {}, b"{}"), "has no x-pinless-timestamp"),
        (
            WebRequest("POST", "https://h/", webhook().headers, webhook().body + b" "),
            "signature does not match",
        ),
    ],
)
def test_what_is_not_daily_s_is_refused(request_: WebRequest, sentence: str) -> None:
    with pytest.raises(RefusedError, match=sentence):
        check_pinless(request_, SECRET, NOW)


def test_a_secret_that_is_no_base64_is_reported() -> None:
    with pytest.raises(RefusedError, match="DAILY_DIALIN_SECRET is not base64"):
        check_pinless(webhook(), "§", NOW)


def test_the_caller_who_waits_is_read() -> None:
    call = read_waiting_call(webhook())
    assert (call.call_id, call.call_domain) == ("c1", "d1")
    assert (call.from_number, call.to_number, call.sip_headers) == (
        "+14150000001",
        "+14150000002",
        {"a": "1"},
    )


@pytest.mark.parametrize("fields", [{}, {"callId": 7, "callDomain": "d"}, {"callId": "c"}, {"callId": ["c"]}])
def test_a_webhook_that_names_no_call_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="has no callId"):
        read_waiting_call(webhook(fields))


@pytest.mark.parametrize(("fields", "test"), [({"test": "x"}, True), ({"Test": "x"}, True), (CALL, False),
                                            ({**CALL, "test": True}, False)])  # fmt: skip
def test_a_configuration_s_test_is_known(fields: dict[str, Any], test: bool) -> None:
    assert is_test(webhook(fields)) is test
