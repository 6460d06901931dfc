"""When to say "one moment" while a tool takes long, and which one. `now` (s) is an argument. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runner.services.tools.toolbox import ToolOptions

AGAIN_AFTER_S = 5.0
"""Silence (s) after a filler, until the next."""

VOICE_S = 2.0
"""How long (s) a voice may take to be heard, once it was given words."""


class VoiceWatch:
    """Whether the bot is heard, as far as the language model knows."""

    def __init__(self) -> None:
        self.speaking = False
        self.stopped_at = float("-inf")

    def began(self) -> None:
        """The listener begins to hear the bot."""
        self.speaking = True

    def ended(self, now: float) -> None:
        """The listener has heard the last of it."""
        self.speaking = False
        self.stopped_at = now


class Fillers:
    """The fillers of the tools of one round.

    Args:
        options: of the tools that run.
        voice: whether the bot is heard.
        now: when they began.
        spoke: whether the model said something before it called them.
        turn: how many fillers the call has heard before, so that they differ.
    """

    def __init__(
        self, options: Sequence[ToolOptions], voice: VoiceWatch, now: float, *, spoke: bool, turn: int
    ) -> None:
        texts = _distinct(text for option in options for text in option.fillers)
        offset = turn % len(texts) if texts else 0
        self._texts = [*texts[offset:], *texts[:offset]]
        self._after_s = min((o.filler_after_s for o in options if o.fillers), default=0.0)
        self._voice = voice
        self._given_words = spoke
        self._since = now

    def wait_s(self, now: float) -> float | None:
        """How long until the next is due, if nothing changes; None if there is none."""
        return max(self._due_at(now) - now, 0.0) if self._texts else None

    def take(self, now: float) -> str | None:
        """The filler that is due now."""
        if not self._texts or self._due_at(now) > now:
            return None
        self._given_words, self._since, self._after_s = True, now, AGAIN_AFTER_S
        return self._texts.pop(0)

    def _due_at(self, now: float) -> float:
        return self._quiet_since(now) + self._after_s

    def _quiet_since(self, now: float) -> float:
        if self._voice.speaking:
            return now
        if self._given_words and self._voice.stopped_at < self._since:
            return self._since + VOICE_S
        return max(self._since, self._voice.stopped_at)


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text.strip()))
