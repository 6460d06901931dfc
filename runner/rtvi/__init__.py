"""RTVI, the protocol that page and server speak over the data channel, as Pipecat's clients do too.

messages.py    what we say: builders, pure
requests.py    what the client says: readers, pure
frames.py      what a bot pushes to its client's application, and what it gets from it
speech.py      how far the bot has got with what it is saying, pure
outbox.py      keeps messages until the client is ready
functions.py   tools: reports about ours, and functions that the client runs for us
answers.py     the client's messages -> frames, events, answers
telling.py     frames -> messages
processor.py   `task.rtvi`: an observer of the pipeline, and what a bot uses
"""

from __future__ import annotations

from runner.rtvi.frames import (
    LLMSearchResponseFrame,
    RTVIClientMessageFrame,
    RTVIServerMessageFrame,
    RTVIServerResponseFrame,
    RTVIUICancelJobGroupFrame,
    RTVIUICommandFrame,
    RTVIUIEventFrame,
    RTVIUIJobGroupFrame,
    RTVIUISnapshotFrame,
)
from runner.rtvi.functions import RTVIFunctionCallReportLevel, RTVIObserverParams
from runner.rtvi.processor import RTVI

__all__ = [
    "RTVI",
    "LLMSearchResponseFrame",
    "RTVIClientMessageFrame",
    "RTVIFunctionCallReportLevel",
    "RTVIObserverParams",
    "RTVIServerMessageFrame",
    "RTVIServerResponseFrame",
    "RTVIUICancelJobGroupFrame",
    "RTVIUICommandFrame",
    "RTVIUIEventFrame",
    "RTVIUIJobGroupFrame",
    "RTVIUISnapshotFrame",
]
