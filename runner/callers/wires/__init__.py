"""The other side of the media socket: what Twilio, Telnyx, Plivo, Exotel or a plain client send and accept.

For the local phone. Pure: text in, events out. Written from the fact sheet alone, and strict where the bot's
side is lenient, so that a bot that passes here follows the provider's rules.
"""

from __future__ import annotations

from typing import Any

from runner.callers.wires.base import (
    BotBad,
    BotClear,
    BotDTMF,
    BotMark,
    BotSound,
    PlainWire,
    Wire,
    WireEvent,
)
from runner.callers.wires.providers import ExotelWire, PlivoWire, TelnyxWire, TwilioWire

WIRES: dict[str, type[Wire]] = {
    "twilio": TwilioWire,
    "telnyx": TelnyxWire,
    "plivo": PlivoWire,
    "exotel": ExotelWire,
}

"""The phone providers' wires."""

_ALL: dict[str, type[Wire]] = {**WIRES, PlainWire.provider: PlainWire}


def wire_for(provider: str, **options: Any) -> Wire:
    """A new wire for this provider; `options` are those of `Wire`."""
    try:
        return _ALL[provider](**options)
    except KeyError:
        raise ValueError(f"No wire for {provider!r}; there are {', '.join(WIRES)}.") from None


__all__ = [
    "WIRES",
    "BotBad",
    "BotClear",
    "BotDTMF",
    "BotMark",
    "BotSound",
    "ExotelWire",
    "PlainWire",
    "PlivoWire",
    "TelnyxWire",
    "TwilioWire",
    "Wire",
    "WireEvent",
    "wire_for",
]
