"""`create_transport` for a transport that the bot's `transport_params` do not name."""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from pipecat.transports.base_transport import TransportParams

from runner.integrations.pipecat.call import current

logger = logging.getLogger(__name__)

Factories = Mapping[str, Callable[[], Any]]

PHONES = ("twilio", "telnyx", "plivo", "exotel")
_NEAREST = (*PHONES, "websocket", "webrtc", "daily")

_CLASSES = {
    **dict.fromkeys(
        (*PHONES, "websocket"), ("pipecat.transports.websocket.fastapi", "FastAPIWebsocketParams")
    ),
    "webrtc": ("pipecat.transports.base_transport", "TransportParams"),
    "daily": ("pipecat.transports.daily.transport", "DailyParams"),
}


def from_another(get: Any) -> Any:
    """Pipecat raises for a transport without parameters; a call gets those of the bot's nearest transport."""

    @functools.wraps(get)
    def _get_transport_params(transport_key: str, transport_params: Factories) -> Any:
        nearest = next((name for name in _NEAREST if name in transport_params), None)
        if (
            current() is None
            or transport_key in transport_params
            or transport_key not in _CLASSES
            or nearest is None
        ):
            return get(transport_key, transport_params)
        logger.info("the bot names no parameters for %s; those for %s are used", transport_key, nearest)
        return _converted(transport_params[nearest](), transport_key)

    return _get_transport_params


def _converted(params: Any, transport: str) -> Any:
    """The same parameters in the class of this transport, without pictures where it carries none."""
    module, name = _CLASSES[transport]
    kind = getattr(importlib.import_module(module), name)
    values = {field: getattr(params, field) for field in TransportParams.model_fields}
    if transport in PHONES:
        values |= {"video_in_enabled": False, "video_out_enabled": False}
    return kind(**{field: value for field, value in values.items() if field in kind.model_fields})
