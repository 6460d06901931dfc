"""The running conversation: who said what when, for the terminal and for expectations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from runner.callers.connections import SideChannel
from runner.callers.phone import Phone
from runner.callers.sound.microphone import Manner, Utterance

CUT_REPORT_DELAY_S = 0.1
"""Maximum time (s) between the reports of the bot's silence and of its interruption."""

LONGEST_HOLD_S = 15.0
"""Time (s) after which an unfinished sentence of the bot is reported anyway."""

REPORT_AFTER_S = 0.6
"""Time (s) of silence after which the bot's speech is reported."""


@dataclass(frozen=True, slots=True)
class Said:
    """A line of the conversation: `at` s after the start of the call, by "caller", "bot" or "phone"; "print"
    is a line that the bot's process wrote to its standard output."""

    at: float
    who: str
    text: str


OnLine = Callable[[Said], None]


def conversation_of(lines: Iterable[Said]) -> list[tuple[str, str]]:
    """The conversation: speaker ("caller" or "bot") and text, in order."""
    return [(line.who, line.text) for line in lines if line.who in ("caller", "bot")]


class Talk:
    """One call and its words.

    Lines are reported in order of time. A sentence of the bot has the time of its first word and is reported
    when it ends; lines by others in between are reported after it.

    Attributes:
        phone: the call.
        words: the bot's words and when they were heard (s on the loop's clock), if known.
        understood: what the bot understood, and when; "" is speech that it could not understand.
        lines: the conversation so far; the constructor's `lines` are from before the call.
    """

    def __init__(self, phone: Phone, on_line: OnLine | None = None, lines: Iterable[Said] = ()) -> None:
        self.phone = phone
        self.words: list[tuple[float, str]] = []
        self.understood: list[tuple[float, str]] = []
        self.lines = list(lines)
        self.side = SideChannel(phone.url, phone.wire.facts.call_id, self._on_message)
        self._on_line = on_line
        self._sentence: list[str] = []
        self._sentence_at = 0.0
        self._held: list[Said] = []
        self._reported_spans = 0

    @property
    def knows_words(self) -> bool:
        """Whether the bot's words are known: only from a botrun on this machine."""
        return self.side.open

    def conversation(self) -> list[tuple[str, str]]:
        """The conversation so far: speaker ("caller" or "bot") and text."""
        return conversation_of([*self.lines, *self._held])

    async def follow(self) -> None:
        """Follow the call until its end."""
        following = asyncio.create_task(self.side.run(), name="events")
        try:
            while not self.phone.ended.is_set():
                await self.phone.until(self._spoke, 1.0)
                self._tell_speech()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            self.finish()

    def finish(self) -> None:
        """Report the rest after the call."""
        self._flush()
        self._tell_speech(over=True)

    def say(self, who: str, text: str, at: float | None = None) -> None:
        """Add a line; `at` on the loop's clock, now by default."""
        when = (self.phone.now if at is None else at) - self.phone.started_at
        line = Said(round(when, 3), who, text)
        if self.phone.now - self._sentence_at > LONGEST_HOLD_S:
            self._flush()
        if self._sentence:
            self._held.append(line)
        else:
            self._report_spans("(speaks)")
            self._report(line)

    def _report(self, line: Said) -> None:
        self.lines.append(line)
        if self._on_line is not None:
            self._on_line(line)

    def caller_said(self, utterance: Utterance) -> None:
        """Add an utterance of the caller that starts now."""
        text = utterance.text
        self.say("caller", f"({text})" if utterance.manner is Manner.MURMUR else text)

    # ------------------------------------------------------------ the bot's words

    def _on_message(self, kind: str, data: dict[str, Any]) -> None:
        text = str(data.get("text") or "").strip()
        match kind:
            case "bot-tts-text" if text:
                self._word(text)
            case "bot-interrupted":
                self._flush(cut=True)
            case "bot-stopped-speaking":
                asyncio.get_running_loop().call_later(
                    CUT_REPORT_DELAY_S, partial(self._flush_one, self._sentence)
                )
            case "user-transcription" if text and data.get("final", True):
                self.understood.append((self.phone.now, text))
                self.say("phone", f"the bot understood: {text}")
            case "server-message" if data.get("type") == "not-understood":
                self.understood.append((self.phone.now, ""))
                self.say("phone", "the bot heard speech, but understood no words")
            case "error":
                self.say("phone", f"the bot reports: {data.get('error') or data.get('message')}")

    def _word(self, word: str) -> None:
        now = self.phone.now
        if not self._sentence:
            self._sentence_at = now
        self.words.append((now, word))
        self._sentence.append(word)
        if word.endswith((".", "!", "?")):
            self._flush()

    def _flush_one(self, sentence: list[str]) -> None:
        """Report this sentence, unless it has been reported and the next one has begun."""
        if sentence is self._sentence:
            self._flush()

    def _flush(self, *, cut: bool = False) -> None:
        if not self._sentence:
            return
        text = " ".join(self._sentence) + (" —" if cut else "")
        self._sentence = []
        held, self._held = self._held, []
        self.say("bot", text, self._sentence_at)
        for line in held:
            self._report(line)

    # ------------------------------------------------------------ without words

    def _spoke(self) -> bool:
        return (
            not self.side.opening
            and len(self.phone.speech.spans) > self._reported_spans
            and self.phone.bot_quiet_s() > REPORT_AFTER_S
        )

    def _tell_speech(self, *, over: bool = False) -> None:
        """Report, if the words are not known, that the bot spoke and for how long."""
        if over or self._spoke():
            self._report_spans("(speaks for {:.1f} s)")

    def _report_spans(self, text: str) -> None:
        if self.side.opening:
            return
        spans = self.phone.speech.spans[self._reported_spans :]
        self._reported_spans += len(spans)
        if spans and not self.knows_words:
            begin = spans[0].begin - self.phone.started_at
            self._report(Said(round(begin, 3), "bot", text.format(spans[-1].end - spans[0].begin)))
