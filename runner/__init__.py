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

from runner.arguments import (
    DailyRunnerArguments,
    RunnerArguments,
    SmallWebRTCRunnerArguments,
    WebSocketRunnerArguments,
)

__all__ = [
    "DailyRunnerArguments",
    "RunnerArguments",
    "SmallWebRTCRunnerArguments",
    "WebSocketRunnerArguments",
]
