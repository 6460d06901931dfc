"""The conversation as it goes: who said what when, for the terminal and for expectations."""

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
"""The bot's silence is reported up to this long (s) before its interruption is."""

LONGEST_HOLD_S = 15.0
"""A sentence of the bot that has not ended after so long (s) is reported as far as it is."""

REPORT_AFTER_S = 0.6
"""Report what the bot said once it has been silent for so long (s)."""


@dataclass(frozen=True, slots=True)
class Said:
    """A line of the conversation: `at` s after the call began, by "caller", "bot" or "phone"; "print" is what
    the bot's process wrote to its standard output."""

    at: float
    who: str
    text: str


OnLine = Callable[[Said], None]


class Talk:
    """One call and its words.

    Lines are reported in the order of their times. A sentence of the bot has the time of its first word and
    is reported when it ends; what others say meanwhile is reported after it.

    Attributes:
        phone: the call.
        words: what the bot was heard to say, and when (s on the loop's clock), if that can be known.
        understood: what the bot understood, the same; "" is speech that it could not understand.
        lines: the conversation so far; `lines` of the constructor came before the call.
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
        """Whether the bot's words can be known: only those of a botrun on this machine."""
        return self.side.open

    async def follow(self) -> None:
        """Follow the call to its end."""
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
        """The call is over: report the rest."""
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
        """The caller begins to say this."""
        text = utterance.text
        self.say("caller", f"({text})" if utterance.manner is Manner.MURMUR else text)

    # ------------------------------------------------------------ what the bot says

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
        """Report this sentence, unless it was; the next one may have begun since."""
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

    # ------------------------------------------------------------ where there are no words

    def _spoke(self) -> bool:
        return (
            not self.side.opening
            and len(self.phone.speech.spans) > self._reported_spans
            and self.phone.bot_quiet_s() > REPORT_AFTER_S
        )

    def _tell_speech(self, *, over: bool = False) -> None:
        """Without words: that it spoke, and for how long."""
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
