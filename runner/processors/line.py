"""Which frames keep their place among a service's replies."""

from __future__ import annotations

from runner.frames import (
    BotPausedSpeakingFrame,
    BotResumedSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InputFrame,
    SystemFrame,
    UserMuteStartedFrame,
    UserMuteStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)

_PASSING = (
    BotPausedSpeakingFrame,
    BotResumedSpeakingFrame,
    SystemFrame,
    InputFrame,
    UserMuteStartedFrame,
    UserMuteStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
)


def stands_in_line(frame: Frame) -> bool:
    """Whether a frame must not overtake a reply that is being made: all but what the caller does and
    what is told about who speaks."""
    return not isinstance(frame, _PASSING)
