"""`BaseTransport`: events, an input and an output."""

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
    """A bot's connection to its caller: `input()` begins its pipeline, `output()` comes near the end."""

    def __init__(self, *events: str) -> None:
        self.events = Events(self, *COMMON_EVENTS, *events)

    def input(self) -> BaseInputTransport:
        """The processor that receives the caller's sound."""
        raise NotImplementedError

    def output(self) -> BaseOutputTransport:
        """The processor that sends the bot's sound."""
        raise NotImplementedError

    def get_client_id(self, client: Any) -> str:
        """The id of an event's client, which is its frames' `user_id`; "" if it has none."""
        found = client.get("id") if isinstance(client, Mapping) else getattr(client, "pc_id", None)
        return str(found or "")

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Decorate `async def handler(transport, …)` to run it on an event."""
        return self.events.handler(name)
