"""Daily's dial-in webhook: a caller hears music until a room takes the call (PROTOCOLS.md §5). Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.providers.webhooks import RefusedError, WebRequest, as_base64, from_base64, same

SECRET = "DAILY_DIALIN_SECRET"
SIGNATURE, TIMESTAMP = "x-pinless-signature", "x-pinless-timestamp"
SKEW_S = 300.0
MILLISECONDS_FROM = 1e11
"""A timestamp beyond this is in ms: in s it would be the year 5138. [?] The unit is not written down."""


@dataclass(frozen=True)
class WaitingCall:
    """A caller whom Daily holds."""

    call_id: str
    call_domain: str
    from_number: str = ""
    to_number: str = ""
    sip_headers: Mapping[str, str] = field(default_factory=dict)


def is_test(request: WebRequest) -> bool:
    """Whether this is Daily trying the address while a number is being set up: it wants a 200."""
    told = request.json
    return ("test" in told or "Test" in told) and "callId" not in told


def check_pinless(request: WebRequest, secret: str, now: float) -> None:
    """See that Daily sent this webhook, and just now. `now` is Unix time (s).

    Raises:
        RefusedError: it did not, or it cannot be told.
    """
    told = request.header(TIMESTAMP)
    key = from_base64(secret, SECRET)
    ours = as_base64(hmac.digest(key, told.encode() + b"." + request.body, hashlib.sha256))
    if not same(ours, request.header(SIGNATURE)):
        raise RefusedError(f"the signature does not fit: is {SECRET} the hmac of this number's dial-in?")
    if abs(_seconds(told) - now) > SKEW_S:
        raise RefusedError("its timestamp is not of now: an old message, or this machine's clock is wrong")


def _seconds(told: str) -> float:
    try:
        value = float(told)
    except ValueError:
        raise RefusedError("its timestamp is no number") from None
    return value / 1000 if value > MILLISECONDS_FROM else value


def read_waiting_call(request: WebRequest) -> WaitingCall:
    """The caller that a webhook tells of. Raises `RefusedError` if it names no call."""
    told = request.json
    call_id, domain = told.get("callId"), told.get("callDomain")
    if not isinstance(call_id, str) or not isinstance(domain, str) or not call_id or not domain:
        raise RefusedError("it names no call")
    headers = told.get("sipHeaders")
    return WaitingCall(
        call_id,
        domain,
        str(told.get("From") or ""),
        str(told.get("To") or ""),
        {str(k): str(v) for k, v in headers.items()} if isinstance(headers, dict) else {},
    )
