"""`TestCall`: a caller for your own tests: speaks, listens, interrupts, with a provider's real messages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.callers.bot_process import BotProcess
from runner.callers.call import new_wire
from runner.callers.call_report import Report, answer_latency, bot_spans, caller_spans, measure, stop_latency
from runner.callers.phone import Phone
from runner.callers.sound.line import ROOM_DBFS, Line
from runner.callers.sound.microphone import CallerVoice, Manner, Speech, caller_voice, read_wav
from runner.callers.talk import Talk
from runner.errors import UsageError
from runner.records.folder import calls_folder
from runner.records.reports import attach_report

if TYPE_CHECKING:
    from runner.callers.sound.bot_sound import Span

QUIET_S = 0.8
"""Time (s) of silence after which the bot's answer is complete."""

WORDS_S = 1.0
"""Maximum time (s) to wait for the bot's last words."""


class NoAnswerError(AssertionError):
    """The bot did not say anything in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the bot said. `latency_s`: from the end of the caller's words to the bot's first audio; None if
    the caller has not spoken yet. `began_s`: time since the call was answered."""

    text: str
    began_s: float
    duration_s: float
    latency_s: float | None = None


class TestCall:
    """One call under test, made by `call_under_test`.

    Attributes:
        phone: the phone, with its measurements.
        report: the call's figures, once it is over.
        record: the folder of its record, once it is over; None if it was not recorded.
    """

    __test__ = False  # pytest would collect a class of this name

    def __init__(self, phone: Phone, talk: Talk, voice: CallerVoice) -> None:
        self.phone = phone
        self.report: Report | None = None
        self.record: Path | None = None
        self._talk = talk
        self._voice = voice
        self._heard_spans = 0
        self._heard_words = 0

    # ------------------------------------------------------------ speaking

    async def say(self, text: str = "", *, wav: str | Path | None = None) -> None:
        """Say a text or play a WAV file; return when it has been said."""
        await self._say(text, wav, Manner.TURN)

    async def interrupt(self, text: str = "Stop!", *, after_s: float = 0.7, within_s: float = 10.0) -> float:
        """Say this over the bot after `after_s` of its speech; return how long (s) the bot still spoke.

        Raises:
            NoAnswerError: the bot was silent, or did not stop.
        """
        if not await self.phone.until(self._speaks, within_s):
            raise NoAnswerError(f"the bot was silent for {within_s:g} s: nothing to interrupt")
        begun = self.phone.speech.spans[-1].begin
        await asyncio.sleep(max(0.0, begun + after_s - self.phone.now))
        await self._say(text, None, Manner.INTERRUPTION)
        said = caller_spans(self.phone)[-1]
        await self.phone.until(lambda: self.phone.bot_quiet_s() > QUIET_S, within_s)
        stopped = stop_latency(said, bot_spans(self.phone))
        if stopped is None or self.phone.bot_quiet_s() <= QUIET_S:
            raise NoAnswerError("the bot did not stop for the interruption")
        return stopped

    async def press(self, keys: str) -> None:
        """Press these keys."""
        await self.phone.press(keys)

    async def hang_up(self) -> None:
        """End the call."""
        await self.phone.hang_up()

    # ------------------------------------------------------------ listening

    async def hear(self, *, within_s: float = 10.0, quiet_s: float = QUIET_S) -> Reply:
        """Wait until the bot has spoken and been silent for `quiet_s`; return what it said.

        Raises:
            NoAnswerError: it did not speak within `within_s`; the message contains the conversation.
        """
        before = self._heard_spans
        if not await self.phone.until(lambda: len(self.phone.speech.spans) > before, within_s):
            raise NoAnswerError(f"the bot said nothing within {within_s:g} s\n{self.conversation()}")
        await self.phone.until(lambda: self.phone.bot_quiet_s() > quiet_s, 60.0)
        spans = bot_spans(self.phone)
        self._heard_spans = len(spans)
        await self._words_of(spans[before:])
        words = [word for _, word in self._talk.words[self._heard_words :]]
        self._heard_words = len(self._talk.words)
        said = caller_spans(self.phone)
        latency = answer_latency(said[-1], float("inf"), spans) if said else None
        return Reply(
            text=" ".join(words),
            began_s=spans[before].begin,
            duration_s=spans[-1].end - spans[before].begin,
            latency_s=latency,
        )

    async def ended(self, within_s: float = 10.0) -> bool:
        """Wait until the bot hangs up; return whether it did."""
        await self.phone.until(self.phone.ended.is_set, within_s)
        return self.phone.ended_by == "bot"

    @property
    def understood(self) -> list[str]:
        """What the bot's recogniser has understood so far."""
        return [text for _, text in self._talk.understood]

    def conversation(self) -> str:
        """The conversation so far, one line per utterance."""
        lines = self._talk.lines
        return "\n".join(f"{line.at:7.2f} s  {line.who:<7} {line.text}" for line in lines)

    # ------------------------------------------------------------ inside

    async def _say(self, text: str, wav: str | Path | None, manner: Manner) -> None:
        speech: Speech = read_wav(Path(wav)) if wav is not None else await self._voice.speak(text)
        self._heard_spans = max(self._heard_spans, len(self.phone.speech.spans))
        utterance = self.phone.say(speech.pcm, speech.sample_rate, text or str(wav), manner)
        self._talk.caller_said(utterance)
        await self.phone.until(lambda: utterance.done, 600.0)

    def _speaks(self) -> bool:
        spans = self.phone.speech.spans
        return len(spans) > self._heard_spans or (bool(spans) and self.phone.bot_quiet_s() < 0.1)

    async def _words_of(self, spans: list[Span]) -> None:
        """Wait for the words, which arrive a moment later on a separate channel."""
        count = self._heard_words
        await self.phone.until(lambda: len(self._talk.words) > count, WORDS_S)


@contextlib.asynccontextmanager
async def call_under_test(
    bot: str | Path, *, transport: str = "twilio", body: Any = None, line: Line | None = None
) -> AsyncIterator[TestCall]:
    """Start the bot, call it over this provider's messages, and end both with the block.

    Raises:
        UsageError: the transport is unknown.
        BotStartError: the bot did not start.
    """
    if transport not in ("twilio", "telnyx", "plivo", "exotel"):
        raise UsageError(f"transport is {transport!r}, but must be twilio, telnyx, plivo or exotel")
    process = BotProcess(
        str(bot), transport, body=_as_json(body), reload=False, environment={"BOTRUN_RECORD": "1"}
    )
    wire = new_wire(transport)
    async with caller_voice() as voice, process.running() as running:
        quiet = line or Line(room_dbfs=ROOM_DBFS)
        async with Phone(running.url, wire, line=quiet) as phone:
            talk = Talk(phone)
            following = asyncio.create_task(talk.follow(), name="follow")
            call = TestCall(phone, talk, voice)
            try:
                yield call
            finally:
                await phone.hang_up()
                await asyncio.wait([following], timeout=0.5)
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
                call.report = measure(phone)
                call.record = await asyncio.to_thread(_attach, wire.facts.call_id)


def _attach(call_id: str) -> Path | None:
    return attach_report(calls_folder(), call_id, {"kind": "call", "scenario": "pytest"}, {})


def _as_json(body: Any) -> str | None:
    import json

    return None if body is None else json.dumps(body)
