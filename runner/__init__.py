"""botrun runs a voice bot, one Python file, on every way that people can reach it.

The way of one packet of a phone call:

    caller ─ server/telephony.py      accept, verify, handshake; start a Session
           → transports/websocket.py  receive()
           → serializers/twilio.py    message → InputAudioRawFrame
           → transports/input.py      VAD, turn, push
           → stt → context.user() → llm → tts
           → transports/output.py     cut to 20 ms, wait until due (audio/pacer.py)
           → serializers/twilio.py    frame → message
           → transports/websocket.py  send()  ─ caller

WebRTC and Daily change only the two wire lines at each end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.arguments import (
    DailyRunnerArguments,
    RunnerArguments,
    SmallWebRTCRunnerArguments,
    WebSocketRunnerArguments,
)

if TYPE_CHECKING:
    from runner.transports.create import create_transport
    from runner.transports.handshake import parse_telephony_websocket

__all__ = [
    "DailyRunnerArguments",
    "RunnerArguments",
    "SmallWebRTCRunnerArguments",
    "WebSocketRunnerArguments",
    "create_transport",
    "parse_telephony_websocket",
]

_LATER = {
    "create_transport": "runner.transports.create",
    "parse_telephony_websocket": "runner.transports.handshake",
}


def __getattr__(name: str) -> Any:
    """What loads packages is imported when it is asked for: `botrun --help` needs none of it."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
