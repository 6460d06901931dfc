"""`BaseTransport`: events (`@transport.event_handler("on_client_connected")`), an input and an output."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from runner.botcode.location import describe
from runner.errors import UsageError
from runner.processors import handover_state as conversation
from runner.transports.params import TransportParams

if TYPE_CHECKING:
    from runner.transports.input import BaseInputTransport
    from runner.transports.output import BaseOutputTransport

logger = logging.getLogger(__name__)

GREETS = "on_client_connected"
"""The event in whose handlers the bot says its greeting."""

Handler = Callable[..., Awaitable[None] | None]
"""A plain function is allowed, too, as in Pipecat."""

HandlerT = TypeVar("HandlerT", bound=Handler)


class Events:
    """The event handlers of one object. Each runs in its own task, so that a slow one delays nothing."""

    def __init__(self, owner: Any, *names: str) -> None:
        self._owner = owner
        self._handlers: dict[str, list[Handler]] = {name: [] for name in names}
        self._tasks: set[asyncio.Task[None]] = set()

    def handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """The decorator for an event's handler. Raises `UsageError` for an unknown event."""
        if name not in self._handlers:
            near = difflib.get_close_matches(name, self._handlers, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; its events are {', '.join(self._handlers)}"
            raise UsageError(f"{type(self._owner).__name__} has no event {name!r}{hint}")

        def add(handler: HandlerT) -> HandlerT:
            self._handlers[name].append(handler)
            return handler

        return add

    def has_handler(self, *names: str) -> bool:
        """Whether there is a handler of one of these events."""
        return any(self._handlers[name] for name in names)

    def emit(self, name: str, *args: Any) -> None:
        """Start the handlers of an event: `handler(owner, *args)`."""
        for handler in self._handlers[name]:
            task = asyncio.get_running_loop().create_task(self._run(name, handler, args), name=name)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, name: str, handler: Handler, args: tuple[Any, ...]) -> None:
        try:
            with conversation.greeting() if name == GREETS else contextlib.nullcontext():
                outcome = handler(self._owner, *args)
                if inspect.isawaitable(outcome):
                    await outcome
        except Exception as error:  # the bot's own code
            logger.exception("the bot's handler of %s failed: %s", name, describe(error, handler))

    async def aclose(self, timeout_s: float = 1.0) -> None:
        """Wait for running handlers, and cancel them after the timeout."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=timeout_s)


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
