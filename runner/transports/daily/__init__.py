"""Daily: the bot as a participant of a room.

room ─ library.py    daily-python, whose callbacks come on its own thread
     → call.py       passes callbacks to the event loop in order; never blocks on the library
     → transport.py  participants, events, phones
     → input.py, output.py
"""

from __future__ import annotations

from runner.transports.daily.media import DailySIPReferFrame, DailySIPTransferFrame
from runner.transports.daily.params import DailyDialinSettings, DailyParams, DailyTranscriptionSettings
from runner.transports.daily.transport import DailyTransport

__all__ = [
    "DailyDialinSettings",
    "DailyParams",
    "DailySIPReferFrame",
    "DailySIPTransferFrame",
    "DailyTranscriptionSettings",
    "DailyTransport",
]
