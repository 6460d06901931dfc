"""What the library says when something fails, in words for the person at the terminal. Pure."""

from __future__ import annotations

import re

ECHO = "Error handling "
"""So begins `on_error` when it repeats what a completion was told."""

_REASONS = (
    (
        re.compile(r"lookup address|RoomInfoFetchFailed|client error|Connect\b|timed? ?out", re.I),
        "Daily cannot be reached from this machine: is there a network, and may it be used?",
    ),
    (re.compile(r"exp-room|room .*expired|RoomExpired", re.I), "the room has expired"),
    (re.compile(r"exp-token|token .*expired", re.I), "the token has expired"),
    (re.compile(r"nbf", re.I), "the room or the token is not valid yet"),
    (
        re.compile(r"not-allowed|NotAllowed|InvalidToken|unauthori[sz]ed|token", re.I),
        "the token does not fit",
    ),
    (re.compile(r"no-room|does not exist|RoomNotFound|not found", re.I), "there is no such room (any more)"),
    (re.compile(r"meeting-full|MeetingFull|is full", re.I), "the room is full"),
    (re.compile(r"parse url|InvalidUrl", re.I), "this is no address of a Daily room"),
    (re.compile(r"NotInACall|ChannelNotOpen", re.I), "the bot is not in the room (yet, or any more)"),
)
"""Only the first and the last two were seen (client.py); the others are words that Daily's pages use."""

LONGEST = 160


def in_words(error: str) -> str:
    """Why something failed."""
    for pattern, sentence in _REASONS:
        if pattern.search(error):
            return sentence
    return "".join(c for c in error if c.isprintable())[:LONGEST]
