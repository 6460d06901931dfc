"""`Rest`: HTTP requests with a deadline, a few retries, and no secrets in errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from runner.errors import ProviderError

if TYPE_CHECKING:
    import httpx2

DEADLINE_S = 4.5
"""Deadline (s) for all tries together: a hang-up delays the end of a call by less than 5 s."""

TRY_S = 2.0
TRIES = 3
PAUSE_S = 0.2
LARGEST_ANSWER = 1 << 20

Gone = Callable[[int, Mapping[str, Any]], bool]


class Rest:
    """One provider's REST interface.

    Args:
        title: the provider's name in errors.
        base: base URL, without a slash at its end.
        secrets: texts that are removed from errors.
        basic: user and password.
        bearer: a key.
    """

    def __init__(
        self,
        title: str,
        base: str,
        *,
        secrets: tuple[str, ...] = (),
        basic: tuple[str, str] | None = None,
        bearer: str = "",
    ) -> None:
        self._title = title
        self._base = base
        self._secrets = tuple(secret for secret in secrets if len(secret) >= 4)
        self._basic = basic
        self._bearer = bearer
        self._client: httpx2.AsyncClient | None = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        repeatable: bool = True,
        gone: Gone | None = None,
        deadline_s: float = DEADLINE_S,
        tries: int = TRIES,
    ) -> dict[str, Any]:
        """Send a request; returns the JSON object of the answer, or {}.

        `repeatable=False` is for requests that must not be carried out twice: they are sent again only if the
        first cannot have arrived. `gone` recognizes answers that mean "already ended"; they count as success.

        Raises:
            ProviderError: the request was refused, or there was no answer in time.
        """
        self._check_header_values()
        asked = {"data": form, "json": body, "params": query}
        given = {name: value for name, value in asked.items() if value is not None}
        last = ProviderError(self._title, "it did not answer in time")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                for attempt in range(tries):
                    await asyncio.sleep(PAUSE_S * 2**attempt if attempt else 0)
                    try:
                        return await self._once(method, path, given, gone)
                    except ProviderError as error:
                        last = error
                        if not _may_repeat(error, repeatable):
                            raise
        raise last

    async def _once(
        self, method: str, path: str, given: Mapping[str, Any], gone: Gone | None
    ) -> dict[str, Any]:
        status, answer = await self._try(method, path, given)
        if 200 <= status < 300 or (gone is not None and gone(status, answer)):
            return answer
        raise self._refused(status, answer)

    async def _try(self, method: str, path: str, given: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        client = await self._open()
        import httpx2

        try:
            async with client.stream(method, self._base + path, **given) as response:
                raw = b""
                async for piece in response.aiter_bytes():
                    raw += piece
                    if len(raw) > LARGEST_ANSWER:
                        break
                return response.status_code, _object(raw)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise ProviderError(self._title, f"cannot reach {self._base}", arrived=False) from None
        except httpx2.TimeoutException:
            raise ProviderError(self._title, "it did not answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, httpx2.CookieConflict) as error:
            # Without the error's text, which may hold a URL with keys.
            raise ProviderError(
                self._title, f"its answer is not valid HTTP ({type(error).__name__})"
            ) from None

    async def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            # In a thread: importing it and loading certificates take over 0.2 s, which would stall all calls.
            made = await asyncio.to_thread(self._make_client)
            if self._client is None:
                self._client = made
            else:
                await made.aclose()
        return self._client

    def _make_client(self) -> httpx2.AsyncClient:
        import httpx2

        headers = {"Authorization": f"Bearer {self._bearer}"} if self._bearer else {}
        # No proxy and no .netrc, so that only the provider gets the keys.
        return httpx2.AsyncClient(
            auth=self._basic, headers=headers, timeout=TRY_S, follow_redirects=False, trust_env=False
        )

    def _check_header_values(self) -> None:
        if not all(secret.isascii() and secret.isprintable() for secret in self._secrets):
            raise ProviderError(
                self._title, "one of its keys has non-ASCII or unprintable characters; copy it again"
            )

    def _refused(self, status: int, answer: Mapping[str, Any]) -> ProviderError:
        reason = self._without_secrets(_reason(answer))
        hint = "; check the keys" if status in (401, 403) else ""
        return ProviderError(self._title, f"it refused with {status}{hint}{reason}", status=status)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return "".join(c for c in text if c.isprintable())[:200]

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _may_repeat(error: ProviderError, repeatable: bool) -> bool:
    """429 means that nothing was done; after a 5xx, or without an answer, that is unknown."""
    if error.status:
        return error.status == 429 or (error.status >= 500 and repeatable)
    return repeatable or not error.arrived


def _object(raw: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _reason(answer: Mapping[str, Any]) -> str:
    """The reason in a provider's error answer; each provider has another key for it."""
    errors = answer.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    nested = answer.get("RestException")
    exception = nested if isinstance(nested, dict) else {}
    # Daily's "error" is a type, and its "info" the sentence (PROTOCOLS.md §5).
    for place in (
        answer.get("message"),
        answer.get("info"),
        answer.get("error"),
        first.get("detail"),
        exception.get("Message"),
    ):
        if isinstance(place, str) and place:
            return f" ({place})"
    return ""


def text_at(answer: Mapping[str, Any], *path: str) -> str:
    """A text at this path of an answer; "" if there is none."""
    value: Any = answer
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
