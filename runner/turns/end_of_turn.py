"""Decides whether a pause ends the user's turn, and what to do when the user says nothing. Pure.

The VAD says when speech ended and the recogniser what was said. The turn analyzer then decides how long the
silence must be: short after "What time is it?", longer after "I would like a, um". Its words are English; for
another language, pass your own `Words` to the turn analyzer and to the interruption strategy.

`Speeches` assigns each transcript to the caller's speech it belongs to, even if the recogniser is late.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from runner.turns.segments import words_of


def _listed(text: str) -> frozenset[str]:
    return frozenset(" ".join(item.split()) for item in text.split(","))


FILLERS = _listed(
    """
    ah, eh, er, erm, hm, hmm, so, uh, uhm, um, well, you know
    """
)
GOING_ON = _listed(
    """
    a, although, an, and, as, at, because, but, by, can, cause, could, during, for, from, he, her, his, i,
    i'd, i'll, i'm, if, into, is, my, of, onto, or, our, she, should, since, than, that's, the, their,
    there's, they, they're, though, to, unless, until, was, we, we're, were, when, which, while, whose, with,
    within, without, would, you're, your
    """
)
"""Words that rarely end a turn."""

WHOLE = _listed(
    """
    bye, goodbye, hello, help, hey, hi, i am, i can, i did, i do, i don't, i don't want to, i have,
    i will, i would, i'd like to, it is, me too, no, no thank you, no thanks, nope, not really, not
    yet, of course, of course not, ok, okay, please, right, stop, sure, thank you, thanks, that is
    it, that's it, wait, yeah, yep, yes, yes please, yup
    """
)
"""Turns that are complete although they are short or end with one of `GOING_ON`."""

BACKCHANNELS = _listed(
    """
    ah, ah ha, aha, all right, alright, cool, eh, er, erm, exactly, fine, go on, good, got it,
    great, hm, hmm, hmmm, huh, i see, indeed, k, mhm, mhmm, mm, mm-hm, mm-hmm, mmhm, mmhmm, mmm,
    nice, of course, oh, oh i see, oh okay, oh really, ok, okay, ooh, really, right, sure, true, uh,
    uh huh, uh-huh, uhhuh, uhuh, um, wow, yeah, yep, yes, yup
    """
)
"""What people say to show that they are listening, not to make the speaker stop."""

NUMBERS = _listed(
    """
    double, eight, eighteen, eighty, eleven, fifteen, fifty, five, forty, four, fourteen, hundred,
    nine, nineteen, ninety, oh, one, seven, seventeen, seventy, six, sixteen, sixty, ten, thirteen,
    thirty, thousand, three, triple, twelve, twenty, two, zero
    """
)
NUMBER_COMES = re.compile(
    r"\b(?:number|code|pin|account|card|postcode|zip|phone|reference|extension)\b.{,120}?\b(?:is|was|it's)\b",
    re.I,
)
"""Announces a number of several digits."""

LEAST_DIGITS = 4


_PAUSING = ("...", "…", ",", "-", "–", "—", ":", "，", "、", "：", "،", "፣", "၊", "៖")
_ENDING = (*".!?。！？｡．؟۔।॥։።፧။។៕།༎܀", "\u037e")
"""Characters that end an unfinished text, and those that end a whole turn, in all scripts."""


@dataclass(frozen=True)
class Words:
    """A language's words about turns, in lower case.

    Attributes:
        fillers: said while thinking ("um").
        going_on: words that rarely end a turn ("and", "the").
        whole: short but complete turns.
        backchannels: said to show that one is listening ("mm-hmm").
        numbers: digits and number words.
    """

    fillers: frozenset[str] = FILLERS
    going_on: frozenset[str] = GOING_ON
    whole: frozenset[str] = WHOLE
    backchannels: frozenset[str] = BACKCHANNELS
    numbers: frozenset[str] = NUMBERS

    def is_backchannel(self, text: str) -> bool:
        """Whether the text consists only of backchannels and fillers. False for an empty text."""
        words = words_of(text)
        known = self._listening
        longest = max(map(len, known), default=0)
        while words:
            sizes = range(min(longest, len(words)), 0, -1)
            length = next((n for n in sizes if tuple(words[:n]) in known), 0)
            if not length:
                return False
            words = words[length:]
        return bool(text.strip())

    def is_unfinished(self, text: str) -> bool:
        """Whether the text certainly goes on: it ends with a filler, a conjunction, half a number or "…"."""
        words = tuple(words_of(text))
        bare = text.rstrip()
        if not words or words in self._whole:
            return False
        if bare.endswith(_PAUSING):
            return True
        if self._half_a_number(text):
            return True
        if _ends_with_one_of(words, self._fillers):
            return not bare.endswith(_ENDING)
        return _ends_with_one_of(words, self._going_on) and not bare.endswith(("?", "!", "？", "！", "؟"))

    def is_complete(self, text: str) -> bool:
        """Whether the text is certainly a whole turn."""
        if self.is_unfinished(text):
            return False
        return text.rstrip().endswith(_ENDING) or tuple(words_of(text)) in self._whole

    @cached_property
    def _listening(self) -> frozenset[tuple[str, ...]]:
        return _split(self.backchannels | self.fillers)

    @cached_property
    def _fillers(self) -> frozenset[tuple[str, ...]]:
        return _split(phrase for phrase in self.fillers if " " not in phrase)

    @cached_property
    def _going_on(self) -> frozenset[tuple[str, ...]]:
        return _split(phrase for phrase in self.going_on if " " not in phrase)

    @cached_property
    def _whole(self) -> frozenset[tuple[str, ...]]:
        return _split(self.whole)

    def _half_a_number(self, text: str) -> bool:
        """Whether a number is announced but too short, as in "My number is oh seven nine"."""
        announced = list(NUMBER_COMES.finditer(text))
        if not announced:
            return False
        said = words_of(text[announced[-1].end() :])
        digits = [word for word in said if word in self.numbers or word.isdigit()]
        count = sum(len(word) if word.isdigit() else 1 for word in digits)
        return len(digits) == len(said) and count < LEAST_DIGITS


def _split(phrases: Iterable[str]) -> frozenset[tuple[str, ...]]:
    """The phrases split by `words_of`: Chinese, for example, by character."""
    return frozenset(tuple(words_of(phrase)) for phrase in phrases)


def _ends_with_one_of(words: tuple[str, ...], phrases: frozenset[tuple[str, ...]]) -> bool:
    return any(phrase and words[-len(phrase) :] == phrase for phrase in phrases)


ENGLISH = Words()


@dataclass(frozen=True, kw_only=True)
class TurnPauses:
    """Silence (s) after the end of speech that ends a turn; never less than the VAD's `stop_secs`.

    With `VADParams(stop_secs=0.2)` and `unsure_s=0.5`, a question is answered 0.3 s sooner.
    """

    complete_s: float = 0.0
    unsure_s: float = 0.0
    unfinished_s: float = 1.6


class TurnAnalyzer(ABC):
    """Decides when one call's turns end; set with `TransportParams(turn_analyzer=…)`.

    Attributes:
        wants_sound: whether `hear` needs the caller's sound.
        slow: whether `pause_s` takes milliseconds and is called in a thread.
    """

    wants_sound = False
    slow = False

    @abstractmethod
    def pause_s(self, text: str) -> float:
        """The silence (s) after this text that ends the turn."""

    def hear(self, pcm: bytes, sample_rate: int) -> None:  # noqa: B027 - most need no sound
        """Receives each chunk of the caller's sound (mono) if `wants_sound`."""

    def reset(self) -> None:  # noqa: B027 - most remember nothing
        """The turn is over: discard what was said in it."""


@dataclass
class RuleTurnAnalyzer(TurnAnalyzer):
    """The default: decides by punctuation, fillers, conjunctions and unfinished numbers."""

    pauses: TurnPauses = field(default_factory=TurnPauses)
    words: Words = ENGLISH

    def pause_s(self, text: str) -> float:
        if self.words.is_unfinished(text):
            return self.pauses.unfinished_s
        return self.pauses.complete_s if self.words.is_complete(text) else self.pauses.unsure_s


@dataclass(frozen=True)
class Say:
    """The bot says this text verbatim."""

    text: str


@dataclass(frozen=True)
class AskLLM:
    """The language model answers this instruction."""

    instruction: str


@dataclass(frozen=True)
class EndCall:
    """The bot says `text`, then the call ends."""

    text: str = ""


Step = Say | AskLLM | EndCall


@dataclass(frozen=True)
class IdlePrompt:
    """After `after_s` seconds of silence on both sides, takes the first of `steps`; after as long again, the
    next.

    A string is said verbatim. When the user speaks, it starts again with the first step.

        IdlePrompt(8, ["Are you still there?", EndCall("I will hang up then. Goodbye.")])
    """

    after_s: float = 8.0
    steps: Sequence[Step | str] = field(default=("Are you still there?",))

    def step(self, index: int) -> Step | None:
        """The step for silence number `index`, counted from 0; None if there are no more."""
        if index >= len(self.steps):
            return None
        step = self.steps[index]
        return Say(step) if isinstance(step, str) else step


WORDS_S = 1.5
"""Time (s) to wait for a transcript after the end of speech, unless the recogniser has been slower before."""

MARGIN_S = 0.5
LONGEST_WAIT_S = 6.0
"""If the recogniser was slow, wait `MARGIN_S` longer than its slowest answer, up to `LONGEST_WAIT_S`."""

SLACK_S = 0.3
"""Maximum time (s) by which a word may start before its speech does according to the VAD."""

REMEMBERED = 32


@dataclass(slots=True)
class _Speech:
    number: int
    began_at: float
    stopped_at: float | None = None
    transcribed: bool = False


class Speeches:
    """The caller's speeches, numbered from 1, and which of them have been transcribed.

    A recogniser answers in order, so a transcript that arrives during later speech belongs to the earliest
    speech without one. If words have timestamps, these decide.
    """

    def __init__(self) -> None:
        self._speeches: deque[_Speech] = deque(maxlen=REMEMBERED)
        self._slowest_s = 0.0

    @property
    def last(self) -> int:
        """The number of the last speech that began; 0 before the first."""
        return self._speeches[-1].number if self._speeches else 0

    @property
    def wait_s(self) -> float:
        """Time (s) to wait for a transcript after the end of speech."""
        return min(max(WORDS_S, self._slowest_s + MARGIN_S), LONGEST_WAIT_S)

    def started(self, at: float) -> None:
        """A speech begins."""
        self._speeches.append(_Speech(self.last + 1, at))

    def stopped(self, at: float) -> None:
        """The last speech ends."""
        if self._speeches:
            self._speeches[-1].stopped_at = at

    def transcribed(self, now: float, spoken_at: float | None = None) -> int:
        """A final transcript has come; returns the number of its speech. `spoken_at`: when its first word was
        said, if the recogniser reports it."""
        speech = self._at(spoken_at) if spoken_at is not None else self._next(now)
        if speech is None:
            return self.last
        if speech.stopped_at is not None and not speech.transcribed:
            self._slowest_s = max(self._slowest_s, now - speech.stopped_at)
        for earlier in self._speeches:
            if earlier.number <= speech.number:
                earlier.transcribed = True
        return speech.number

    def waiting(self, now: float) -> float | None:
        """The end (s) of the last speech still waiting for its transcript; None if there is none."""
        for speech in reversed(self._speeches):
            if speech.stopped_at is not None and not speech.transcribed:
                return speech.stopped_at if now < speech.stopped_at + self.wait_s else None
        return None

    def _at(self, spoken_at: float) -> _Speech | None:
        began = [speech for speech in self._speeches if speech.began_at - SLACK_S <= spoken_at]
        return began[-1] if began else self._next(spoken_at)

    def _next(self, now: float) -> _Speech | None:
        """The earliest speech still waiting, or else the last one."""
        for speech in self._speeches:
            over = speech.stopped_at is not None and now >= speech.stopped_at + LONGEST_WAIT_S
            if not speech.transcribed and not over:
                return speech
        return self._speeches[-1] if self._speeches else None
