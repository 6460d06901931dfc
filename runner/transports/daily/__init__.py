"""Daily: the bot as a participant of a room.

room ─ library.py    daily-python, whose callbacks come on a foreign thread
     → call.py       the same, handed to the loop in order; nothing here waits for the library
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
