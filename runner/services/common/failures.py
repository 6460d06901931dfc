"""Failures of services: refusals as sentences, reports, and the order of fallbacks."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from runner.errors import ServiceError, ServiceRefusal, UsageError
from runner.frames import Frame, FrameDirection, LLMFullResponseStartFrame, StartFrame
from runner.processors.base import DOWNSTREAM, UPSTREAM, FrameProcessor
from runner.settings import credentials as keys

logger = logging.getLogger(__name__)

LONGEST_TEXT = 200
"""Maximum number of characters quoted from the service's message."""


class EmptyAnswer(ServiceError):
    """A language model answered without an error and without content."""


def refusal(
    service: str,
    env: str,
    status: int,
    body: bytes | str = b"",
    headers: Mapping[str, str] | None = None,
    hint: str = "",
) -> ServiceRefusal:
    """The error for a status that is not success. `env`: the variable with the service's key. `hint`: what to
    try on a 404."""
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
            what = f"{service} has an internal error ({status})"
        case _:
            what = f"{service} refused the request ({status})"
    text = own_words(body)
    sentence = f"{what}: {text}" if text else what
    return ServiceRefusal(sentence, status=status, retry_after_s=_retry_after_s(headers or {}))


def own_words(body: bytes | str) -> str:
    """The error message in an answer: the text inside its JSON, or the beginning of the answer."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    with contextlib.suppress(ValueError, RecursionError):
        text = _text_in(json.loads(text)) or text
    # Mask keys before cutting the text: half a key would not be recognised.
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


async def push_failure(service: FrameProcessor, error: Exception) -> None:
    """Push an error that a service's own code raised; the call continues."""
    text = keys.hide(str(error))
    if not isinstance(error, ServiceError):
        text = f"{type(error).__name__}: {text}"
    await service.push_error(f"{service.name} failed: {text}", exception=error)


Service = TypeVar("Service", bound=FrameProcessor)


class Order(Generic[Service]):
    """The order of a fallback's services.

    Args:
        owner: the fallback, for log lines.
        services: in order of preference.
        cool_down_s: time (s) for which a service that failed is tried last.
    """

    def __init__(self, owner: FrameProcessor, services: Sequence[Service], cool_down_s: float) -> None:
        self._owner = owner
        self._services = list(services)
        self._cool_down_s = cool_down_s
        self._failed_until: dict[int, float] = {}
        self._current = self._services[0]

    def now(self) -> Iterator[tuple[Service, bool]]:
        """The services in the order in which to try them, and whether each is the last."""
        row = sorted(self._services, key=self.is_resting)
        for service in row:
            yield service, service is row[-1]

    def is_resting(self, service: Service) -> bool:
        """Whether it failed less than `cool_down_s` ago."""
        return self._failed_until.get(id(service), 0.0) > self._owner.processor_setup.clock()

    def failed(self, service: Service, error: BaseException) -> None:
        """Note that this service failed just now."""
        reason = str(error) or type(error).__name__
        logger.warning("%s: %s failed: %s", self._owner.name, service.name, reason)
        self._failed_until[id(service)] = self._owner.processor_setup.clock() + self._cool_down_s

    def worked(self, service: Service) -> None:
        """Note that this service answered."""
        if service is not self._current:
            self._current = service
            took_over = {"service": self._owner.name, "to": service.name}
            logger.warning(
                "%s: using %s now",
                self._owner.name,
                service.name,
                extra={"call_event": ("fallback", took_over)},
            )


def check_services(owner: FrameProcessor, services: Sequence[object], kind: type[FrameProcessor]) -> None:
    """Raises `UsageError` unless there is a service, and all are of this kind."""
    if not services:
        raise UsageError(f"{type(owner).__name__} needs at least one service")
    for service in services:
        if not isinstance(service, kind):
            what = getattr(service, "__name__", type(service).__name__)
            raise UsageError(f"{type(owner).__name__} takes {kind.__name__}s, and {what} is not one")


class Outlet(FrameProcessor):
    """Before or after an inner service: pushes what the service pushes out of the outer one."""

    def __init__(self, owner: FrameProcessor, direction: FrameDirection) -> None:
        super().__init__(name=f"{owner.name}.outlet")
        self._owner = owner
        self._direction = direction

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        came_in = isinstance(frame, StartFrame | LLMFullResponseStartFrame)
        if direction is self._direction and not came_in:
            await self._owner.push_frame(frame, direction)


def put_inside(owner: FrameProcessor, services: tuple[FrameProcessor, ...]) -> list[FrameProcessor]:
    """Put services inside `owner`; returns all processors inside it."""
    inside: list[FrameProcessor] = []
    for service in services:
        before, behind = Outlet(owner, UPSTREAM), Outlet(owner, DOWNSTREAM)
        before.link(service)
        service.link(behind)
        inside += [before, service, behind]
    return inside
