"""A service's refusals, each as one sentence that says what to do."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from runner.errors import ServiceError, ServiceRefusal
from runner.settings import credentials as keys

LONGEST_TEXT = 200
"""How many characters of the service's own words are quoted."""


class EmptyAnswer(ServiceError):
    """A language model answered, without an error, and said nothing."""


def refusal(
    service: str,
    env: str,
    status: int,
    body: bytes | str = b"",
    headers: Mapping[str, str] | None = None,
    hint: str = "",
) -> ServiceRefusal:
    """A status that is not success. `env` is the variable that holds the service's key; `hint` is what to try
    if the service does not know the address."""
    match status:
        case 401 | 403:
            what = f"{service} refused the key ({status}): check {env}"
        case 402:
            what = f"{service} requires payment ({status}): check your account's balance"
        case 301 | 302 | 303 | 307 | 308:
            where = {name.lower(): value for name, value in (headers or {}).items()}.get("location", "")
            what = f"{service} redirects to {where} ({status}): set base_url to the address that it names"
            body = b""
        case 404 | 405:
            what = f"{service} knows no such model, voice or address ({status}){hint}"
        case 429:
            what = f"{service} limits the rate of requests ({status}): wait, or raise the account's limits"
        case _ if status >= 500:
            what = f"{service} is out of order ({status})"
        case _:
            what = f"{service} refused the request ({status})"
    text = own_words(body)
    sentence = f"{what}: {text}" if text else what
    return ServiceRefusal(sentence, status=status, retry_after_s=_retry_after_s(headers or {}))


def own_words(body: bytes | str) -> str:
    """What an answer says is wrong: the text inside its JSON, or the beginning of the answer."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    with contextlib.suppress(ValueError):
        text = _text_in(json.loads(text)) or text
    # Keys are hidden before the text is cut: half a key would not be recognised as one.
    return " ".join(keys.hide(text).split())[:LONGEST_TEXT]


def _text_in(answer: Any) -> str:
    """The words in an error object. Each service names the field differently; these are the names that
    OpenAI, Deepgram, Cartesia and ElevenLabs use."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, list):
        return _text_in(answer[0]) if answer else ""
    if not isinstance(answer, Mapping):
        return ""
    for name in ("message", "err_msg", "description", "reason", "error", "detail", "title"):
        if text := _text_in(answer.get(name)):
            return text
    return ""


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds (RFC 9110, 10.2.3); a date is not read."""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            try:
                return max(0.0, float(value))
            except ValueError:
                return None
    return None
