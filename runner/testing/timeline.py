"""The timeline of a tested conversation, for messages of failed tests. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from runner.frames import (
    BotPausedSpeakingFrame,
    BotResumedSpeakingFrame,
    BotStoppedSpeakingFrame,
    TranscriptionFrame,
    TTSTextFrame,
)
from runner.testing.fakes import Seen
from runner.turns.segments import join_units

Entry = tuple[float, str, str]


def timeline(
    said: Sequence[tuple[float, str]], seen: Sequence[Seen], waits: Sequence[tuple[float, str]]
) -> str:
    """What the caller said, what was understood and heard, and what the test still waits for."""
    entries: list[Entry] = [(at, "caller says", repr(text)) for at, text in said]
    entries += _heard(seen)
    entries += [(at, "test waits", f"until {what}") for at, what in waits]
    lines = [f"{at:7.2f} s  {who:<14} {what}".rstrip() for at, who, what in sorted(entries)]
    return "\n".join(["timeline of the conversation:", *(lines or ["  nothing was said or heard"])])


def _heard(seen: Sequence[Seen]) -> list[Entry]:
    entries: list[Entry] = []
    words: list[tuple[str, bool]] = []
    began = 0.0

    def finish() -> None:
        if words:
            entries.append((began, "bot is heard", repr(join_units(words))))
            words.clear()

    for item in seen:
        match item.frame:
            case TTSTextFrame(text=text, joined=joined):
                began = began if words else item.at
                words.append((text, joined))
            case TranscriptionFrame(text=text):
                entries.append((item.at, "understood", repr(text)))
            case BotStoppedSpeakingFrame(interrupted=interrupted):
                finish()
                entries.append((item.at, "bot stops", "interrupted" if interrupted else ""))
            case BotPausedSpeakingFrame():
                entries.append((item.at, "bot pauses", ""))
            case BotResumedSpeakingFrame():
                entries.append((item.at, "bot resumes", ""))
    finish()
    return entries
