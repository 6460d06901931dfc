"""What all transports share: events, an input and an output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from runner.transports.events import Events, HandlerT
from runner.transports.params import TransportParams

if TYPE_CHECKING:
    from runner.transports.input import BaseInputTransport
    from runner.transports.output import BaseOutputTransport

__all__ = ["COMMON_EVENTS", "BaseTransport", "TransportParams"]

COMMON_EVENTS = ("on_client_connected", "on_client_disconnected", "on_app_message")


class BaseTransport:
    """What a bot builds: `input()` at the beginning of its pipeline, `output()` near the end."""

    def __init__(self, *events: str) -> None:
        self.events = Events(self, *COMMON_EVENTS, *events)

    def input(self) -> BaseInputTransport:
        """The processor through which the caller's sound comes."""
        raise NotImplementedError

    def output(self) -> BaseOutputTransport:
        """The processor through which the bot's sound goes."""
        raise NotImplementedError

    def get_client_id(self, client: Any) -> str:
        """The id of a client that an event tells of, as its frames' `user_id` has it; "" if it has none."""
        found = client.get("id") if isinstance(client, Mapping) else getattr(client, "pc_id", None)
        return str(found or "")

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Decorate `async def handler(transport, …)` to run it on an event."""
        return self.events.handler(name)
