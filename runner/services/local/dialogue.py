"""`ScriptedDialogue`, a small script in place of a language model, with its answers as pure functions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from runner.frames import (
    EndTaskFrame,
    Frame,
    FrameDirection,
    FunctionCall,
    InterruptionFrame,
    TranscriptionFrame,
)
from runner.processors.base import DOWNSTREAM, UPSTREAM
from runner.processors.context import LLMContext
from runner.services.llm import LLMService
from runner.services.local.understanding import NUMBER_WORDS, Kind, Request, understand

COUNT_MOST = len(NUMBER_WORDS) - 1
PATIENCE = 3
"""Number of misses in a row after which the bot is silent until it understands something; it probably hears a
television or itself."""

JOKES = (
    "Why did the robot cross the road? It was programmed by the chicken.",
    "I would tell you a joke about the network, but you might not get it.",
    "What do you call an alligator in a vest? An investigator.",
    "Why was the computer cold? It left its windows open.",
    "Why do programmers mix up Halloween and Christmas? Because October thirty one is December twenty five.",
    "I asked my phone for a joke about time travel. It said: you did not like it.",
)

HELP = (
    "You can ask me for the time, the date, or a joke. I can count, up to twenty. "
    "Or say: repeat after me, good morning. When you are done, say goodbye."
)
HINT = "Say help, and I tell you what I know."

MISSES = (
    "Sorry, I did not get that.",
    f"I still did not get that. I know only a few things. {HINT}",
    "I am afraid I do not understand. I stay here: say help when you need me.",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say; `ends_call` after it has been heard."""

    text: str
    ends_call: bool = False


def answer(text: str, now: datetime, asked_before: Sequence[str] = ()) -> Answer:
    """Answer `text`. `asked_before`: earlier texts of the user, so that no joke is repeated at once."""
    request = understand(text)
    if request.kind is Kind.GOODBYE:
        return Answer("Goodbye! It was nice to talk to you.", ends_call=True)
    if request.kind is Kind.JOKE:
        jokes_before = sum(understand(earlier).kind is Kind.JOKE for earlier in asked_before)
        return Answer(JOKES[jokes_before % len(JOKES)])
    return Answer(_ANSWERS[request.kind](request, now))


def answer_to_a_miss(misses: int) -> Answer | None:
    """The answer to speech without words, for the `misses`-th time in a row; None to be silent."""
    return Answer(MISSES[misses - 1]) if 1 <= misses <= PATIENCE else None


def say_time(now: datetime) -> str:
    """The time in spoken form."""
    hour = now.hour % 12 or 12
    part = "in the morning" if 4 <= now.hour < 12 else "at night" if not 4 <= now.hour < 22 else ""
    part = part or ("in the afternoon" if now.hour < 18 else "in the evening")
    clock = f"{hour} o'clock" if now.minute == 0 else f"{hour}:{now.minute:02}"
    return f"It is {clock} {part}."


def say_date(now: datetime) -> str:
    """The date in spoken form."""
    day = now.day
    ending = "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"Today is {now:%A}, the {day}{ending} of {now:%B}."


def count_to(number: str) -> str:
    """The numbers from one on, in words."""
    if not number.isdecimal():
        return "I can count to any number from one to twenty."
    last = int(number[:6])
    if last < 1:
        return "There is nothing to count."
    words = ", ".join(NUMBER_WORDS[1 : last + 1])
    more = " That is as far as I count." if last > COUNT_MOST else ""
    return f"{words.capitalize()}.{more}"


def repeat(words: str) -> str:
    """The same words, as a sentence."""
    return f"{words[0].upper()}{words[1:]}." if words else "Say the words right after: repeat after me."


def greet(part_of_day: str) -> str:
    """A greeting for a greeting."""
    hello = f"Good {part_of_day}!" if part_of_day else "Hello!"
    return f"{hello} Ask me for the time, or for a joke."


_ANSWERS: dict[Kind, Callable[[Request, datetime], str]] = {
    Kind.TIME: lambda request, now: say_time(now),
    Kind.DATE: lambda request, now: say_date(now),
    Kind.COUNT: lambda request, now: count_to(request.detail),
    Kind.REPEAT: lambda request, now: repeat(request.detail),
    Kind.HELP: lambda request, now: HELP,
    Kind.HELLO: lambda request, now: greet(request.detail),
    Kind.THANKS: lambda request, now: "You are welcome.",
    Kind.STOP: lambda request, now: "All right.",
    Kind.YES: lambda request, now: "Good. What would you like to hear?",
    Kind.NO: lambda request, now: "All right. I am here if you need me.",
    Kind.UNKNOWN: lambda request, now: f"I am a small scripted bot and do not know about that. {HINT}",
}


_A_MISS = LLMContext()
"""The context used when there was speech but no words."""


def _local_time() -> datetime:
    return datetime.now().astimezone()


class ScriptedDialogue(LLMService):
    """Answers a handful of requests without any model: time, date, jokes, counting, repeating, help.

    After "goodbye" it ends the call, once its own goodbye has been played. It also answers speech that was
    not understood (a `TranscriptionFrame` without text).

    Args:
        now: returns the local time; for tests.
    """

    def __init__(self, *, now: Callable[[], datetime] = _local_time, name: str | None = None) -> None:
        super().__init__(name=name)
        self.now = now
        self._misses = 0
        self._interrupted = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self._interrupted = True
        if not (isinstance(frame, TranscriptionFrame) and direction is DOWNSTREAM):
            return
        # Do not answer a backchannel ("mm-hmm"), which would interrupt the bot. But if it did interrupt the
        # bot, because the recogniser was slow, an answer is needed or nobody would speak.
        if not frame.text.strip() and (frame.murmur is not True or self._interrupted):
            self._misses += 1
            if answer_to_a_miss(self._misses) is not None:
                await self.answer(_A_MISS)

    def reply_to(self, context: LLMContext) -> Answer | FunctionCall:
        """The reply to a context. Override it for your own script; a `FunctionCall` calls a tool."""
        said = _said_by_the_user(context)
        return answer(said[-1], self.now(), said[:-1]) if said else Answer(greet(""))

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        self._interrupted = False
        reply = self._reply_to(context)
        if isinstance(reply, FunctionCall):
            yield reply
        elif reply is not None:
            yield reply.text
        if isinstance(reply, Answer) and reply.ends_call:
            await self.push_frame(EndTaskFrame(reason="the user said goodbye"), UPSTREAM)

    def _reply_to(self, context: LLMContext) -> Answer | FunctionCall | None:
        if context is _A_MISS:
            return answer_to_a_miss(self._misses)
        self._misses = 0
        return self.reply_to(context)


def _said_by_the_user(context: LLMContext) -> list[str]:
    return [str(m.get("content") or "") for m in context.messages if m.get("role") == "user"]
