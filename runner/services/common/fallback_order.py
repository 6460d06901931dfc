"""Which of several services is asked: in order of preference, those that failed lately last."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from runner.errors import UsageError
from runner.processors.base import FrameProcessor

logger = logging.getLogger(__name__)

Service = TypeVar("Service", bound=FrameProcessor)


class Order(Generic[Service]):
    """The order of a fallback's services.

    Args:
        owner: whose log it is.
        services: in order of preference.
        cool_down_s: how long (s) one that failed is asked last.
    """

    def __init__(self, owner: FrameProcessor, services: Sequence[Service], cool_down_s: float) -> None:
        self._owner = owner
        self._services = list(services)
        self._cool_down_s = cool_down_s
        self._failed_until: dict[int, float] = {}
        self._current = self._services[0]

    def now(self) -> Iterator[tuple[Service, bool]]:
        """The services in the order in which to ask them, and whether each is the last."""
        row = sorted(self._services, key=self.is_resting)
        for service in row:
            yield service, service is row[-1]

    def is_resting(self, service: Service) -> bool:
        """Whether it failed a short while ago."""
        return self._failed_until.get(id(service), 0.0) > self._owner.lent.clock()

    def failed(self, service: Service, error: BaseException) -> None:
        """This one failed just now."""
        told = str(error) or type(error).__name__
        logger.warning("%s: %s failed: %s", self._owner.name, service.name, told)
        self._failed_until[id(service)] = self._owner.lent.clock() + self._cool_down_s

    def worked(self, service: Service) -> None:
        """This one has answered."""
        if service is not self._current:
            self._current = service
            logger.warning("%s: %s answers now", self._owner.name, service.name)


def check_services(owner: FrameProcessor, services: Sequence[object], kind: type[FrameProcessor]) -> None:
    """Raises `UsageError` unless there is a service, and all are of this kind."""
    if not services:
        raise UsageError(f"{type(owner).__name__} needs at least one service")
    for service in services:
        if not isinstance(service, kind):
            what = getattr(service, "__name__", type(service).__name__)
            raise UsageError(f"{type(owner).__name__} takes {kind.__name__}s, and {what} is none")
