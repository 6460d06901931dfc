"""HTTP requests to an OpenAI-compatible server: connects in advance, retries temporary refusals."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runner.errors import ServiceError, ServiceRefusal, UsageError
from runner.eventloop.trace_context import trace_headers
from runner.services.common import warmup
from runner.services.common.failures import push_failure, refusal
from runner.settings import credentials as keys

if TYPE_CHECKING:
    import httpx2

    from runner.processors.base import FrameProcessor

logger = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"

CONNECT_TIMEOUT_S = 5.0
TRIES = 3
PAUSE_S = 0.5
LONGEST_PAUSE_S = 4.0
"""A temporarily refused request is retried after doubling pauses (s), or after the server's `Retry-After` if
that is at most `LONGEST_PAUSE_S`."""

KEPT_OPEN_S = 300.0
"""Time (s) for which an idle connection is kept open."""


class Patience:
    """Reads a body in pieces, with a deadline that content extends and keep-alives do not.

    Args:
        seconds: time for the first content, and from one to the next.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = 0.0
        self.restart(seconds)

    def restart(self, seconds: float) -> None:
        """Wait this long (s) from now: content arrived, or was requested."""
        self._until = asyncio.get_running_loop().time() + seconds

    async def next(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        """The next piece; None at the end of the body. Raises `TimeoutError`."""
        async with asyncio.timeout_at(self._until):
            return await anext(pieces, None)


class ServiceHttp:
    """An HTTP client of one server. Requests with a partial answer are never retried.

    Args:
        owner: the service, for its name and its tasks.
        api_key: the key; default `OPENAI_API_KEY`. Optional with a `base_url`.
        base_url: the server's address including `/v1`; None is OpenAI.
    """

    def __init__(self, owner: FrameProcessor, *, api_key: str | None, base_url: str | None) -> None:
        if base_url is not None and not base_url.startswith(("http://", "https://")):
            raise UsageError(f"base_url={base_url!r} must begin with http:// or https://")
        self._owner = owner
        self._url = (base_url or OPENAI_URL).rstrip("/")
        self.service = urlsplit(base_url).netloc if base_url else "OpenAI"
        self.hint = _hint(self._url)
        own_server = base_url is not None
        self._key = (
            keys.remember(api_key or keys.read(KEY))
            if own_server
            else keys.need(KEY, api_key, type(owner).__name__)
        )
        self._client: httpx2.AsyncClient | None = None

    def open(self, *, connect: bool = True) -> None:
        """Create the client, and connect in the background unless `connect` is False."""
        import httpx2

        self._client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            limits=httpx2.Limits(keepalive_expiry=KEPT_OPEN_S),
            verify=_tls(),
        )
        if connect:
            self._owner.create_task(self._connect(), "connect")

    async def aclose(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.aclose()

    @contextlib.asynccontextmanager
    async def post(self, path: str, *, silence_s: float, **request: Any) -> AsyncIterator[httpx2.Response]:
        """Send a request; yields a successful response whose body has not been read. Raises `ServiceError`.

        `silence_s`: time (s) for the first byte and between bytes.
        """
        import httpx2

        async with contextlib.AsyncExitStack() as stack:
            answer = await self._answer(stack, path, silence_s, request)
            try:
                yield answer
            except httpx2.TimeoutException:
                raise ServiceError(f"{self.service} sent nothing for {silence_s:g} s") from None
            except httpx2.HTTPError as error:
                raise ServiceError(f"{self.service} broke off: {_why(error)}") from error

    async def _answer(
        self, stack: contextlib.AsyncExitStack, path: str, silence_s: float, request: dict[str, Any]
    ) -> httpx2.Response:
        for tries in range(1, TRIES):
            try:
                return await self._send(stack, path, silence_s, request)
            except ServiceRefusal as error:
                if error.lasting:
                    raise
                pause_s = (
                    error.retry_after_s if error.retry_after_s is not None else PAUSE_S * 2 ** (tries - 1)
                )
                if pause_s > LONGEST_PAUSE_S:
                    raise
                retry = {"service": self._owner.name, "attempt": tries + 1, "wait_s": pause_s}
                logger.info(
                    "%s: %s; retrying in %.1f s",
                    self._owner.name,
                    error,
                    pause_s,
                    extra={"call_event": ("retry", {**retry, "message": str(error)})},
                )
                await asyncio.sleep(pause_s)
        return await self._send(stack, path, silence_s, request)

    async def _send(
        self, stack: contextlib.AsyncExitStack, path: str, silence_s: float, request: dict[str, Any]
    ) -> httpx2.Response:
        import httpx2

        assert self._client is not None
        timeout = httpx2.Timeout(silence_s, connect=CONNECT_TIMEOUT_S)
        request["headers"] = {**trace_headers(), **request.get("headers", {})}
        sending = self._client.stream("POST", f"{self._url}{path}", timeout=timeout, **request)
        try:
            answer = await stack.enter_async_context(sending)
            if answer.status_code == 200:
                return answer
            body = await answer.aread()
        except httpx2.RemoteProtocolError as error:
            # The server closed an idle connection just as it was used: a temporary refusal.
            raise ServiceRefusal(
                f"{self.service} broke off: {_why(error)}", status=503, retry_after_s=0
            ) from error
        except httpx2.TimeoutException:
            raise ServiceError(f"{self.service} did not answer within {silence_s:g} s") from None
        except httpx2.HTTPError as error:
            raise ServiceError(f"{self.service} cannot be reached: {_why(error)}") from error
        raise refusal(self.service, KEY, answer.status_code, body, dict(answer.headers), self.hint)

    async def get_json(self, path: str) -> Any:
        """Request a small answer; the connection stays open. Raises `ServiceError`."""
        import httpx2

        assert self._client is not None
        try:
            answer = await self._client.get(f"{self._url}{path}", timeout=CONNECT_TIMEOUT_S)
            if answer.status_code != 200:
                raise refusal(self.service, KEY, answer.status_code, answer.content, dict(answer.headers))
            return answer.json()
        except httpx2.HTTPError as error:
            raise ServiceError(f"{self.service} cannot be reached: {_why(error)}") from error
        except ValueError:
            raise ServiceError(f"{self.service} sent an answer that is not JSON") from None

    async def _connect(self) -> None:
        """Connect and check the key, before the first request."""
        import httpx2

        assert self._client is not None
        try:
            answer = await self._client.get(f"{self._url}/models", timeout=CONNECT_TIMEOUT_S)
        except httpx2.HTTPError as error:
            await push_failure(self._owner, ServiceError(f"{self.service} cannot be reached: {_why(error)}"))
            return
        if answer.status_code in (401, 403):  # a server without this route may still work
            await push_failure(self._owner, refusal(self.service, KEY, answer.status_code, answer.content))


@functools.cache
def _tls() -> ssl.SSLContext:
    """One context for all clients: creating it blocks the event loop for 30 to 200 ms."""
    import httpx2

    return httpx2.create_ssl_context()


async def _get_ready() -> None:
    await asyncio.to_thread(_tls)


warmup.register("HTTP", _get_ready)


def _hint(url: str) -> str:
    """What to try if the server answers 404."""
    if re.search(r"/v\d|/openai\b", urlsplit(url).path):
        return ""
    return f"; base_url usually ends with /v1: try {url}/v1"


def _why(error: Exception) -> str:
    return keys.hide(str(error)) or type(error).__name__
