"""RTVI, the protocol that page and server speak over the data channel, as Pipecat's clients do too.

messages.py    what goes over the wire: builders and a parser, pure
speech.py      how far the bot has got with what it is saying, pure
outbox.py      keeps messages until the client is ready
processor.py   frames -> messages, and messages -> frames: an observer of a running pipeline
"""

from __future__ import annotations

from runner.rtvi.processor import RTVI

__all__ = ["RTVI"]
