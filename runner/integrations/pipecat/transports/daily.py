"""A Daily room that botrun opened: the session learns from Pipecat's transport who comes and leaves."""

from __future__ import annotations

from typing import Any

from pipecat.transports.base_transport import BaseTransport

from runner.integrations.pipecat.call import PipecatCall


def follow_room(call: PipecatCall, processors: list[Any]) -> None:
    """Report the room's participants to the session, whichever handlers the bot has."""
    transport = next((found for p in processors if (found := _transport_of(p)) is not None), None)
    if transport is None:
        return
    port, present = call.port, set[str]()

    async def joined(transport: Any, participant: Any) -> None:
        present.add(_id_of(participant))
        port.joined()

    async def left(transport: Any, participant: Any, *reason: Any) -> None:
        present.discard(_id_of(participant))
        if not present:
            port.left()

    async def lost(transport: Any, error: Any) -> None:
        port.lost(str(error))

    for name, handler in (
        ("on_participant_joined", joined),
        ("on_participant_left", left),
        ("on_error", lost),
    ):
        transport.add_event_handler(name, handler)


def _transport_of(processor: Any) -> BaseTransport | None:
    found = getattr(processor, "_transport", None)
    return found if isinstance(found, BaseTransport) else None


def _id_of(participant: Any) -> str:
    return str(participant.get("id", "")) if isinstance(participant, dict) else str(participant)
