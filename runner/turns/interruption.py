"""Whether speech over the bot interrupts it, and when the user is muted. Pure: facts in, a decision out.

Speech()            any speech interrupts (the default)
MinWords(3)         this many words interrupt
Confirm()           the bot pauses at once, and resumes if it was an "mm-hmm", a cough or a door
NoInterruptions()   nothing does; what was said is answered when the bot has finished
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum

from runner.errors import UsageError
from runner.turns.end_of_turn import ENGLISH, Words
from runner.turns.segments import join_texts, words_of

_ROUNDING_S = 1e-6
"""Added to the time at which speech has become long: sums of fractions must not come out just below it, or
who asks again at that time asks for ever where the clock waits for it."""


class Decision(Enum):
    """What becomes of the bot's reply."""

    WAIT = 1
    """Not known yet: it goes on, or stays paused."""
    PAUSE = 2
    """Not known yet, and the bot is silent until it is."""
    INTERRUPT = 3
    """The reply is over."""
    DISMISS = 4
    """It was nothing: the bot goes on, and what was said is forgotten."""


@dataclass(slots=True)
class Overlap:
    """The user's speech while a reply is being made or heard, as far as it is known. Times in seconds.

    Attributes:
        began_at: when this piece of speech began.
        stopped_at: when it ended; None while it goes on.
        spoken_before_s: speech before this piece that belongs to the same attempt.
        text: what the recogniser has understood so far.
        final: whether it has said its last word about it.
        sure: the part of `text` that will not change.
        confidence: of the last words, on the recogniser's own scale; None where it reports none.
        murmur: whether the recogniser took all of it for murmurs or noises; None where it cannot say.
    """

    began_at: float
    stopped_at: float | None = None
    spoken_before_s: float = 0.0
    text: str = ""
    final: bool = False
    sure: str = ""
    confidence: float | None = None
    murmur: bool | None = None

    def hear(
        self, text: str, *, final: bool, confidence: float | None = None, murmur: bool | None = None
    ) -> None:
        """The recogniser has understood this, behind what is sure."""
        self.confidence = confidence
        self.text = join_texts(self.sure, text)
        if final:
            if murmur is not None:
                self.murmur = murmur and self.murmur is not False
            self.sure = self.text
            self.final = self.stopped_at is not None

    def spoken_s(self, now: float) -> float:
        """How long the user has spoken."""
        end = now if self.stopped_at is None else self.stopped_at
        return self.spoken_before_s + end - self.began_at

    def go_on(self, at: float) -> None:
        """The user speaks again before it was decided."""
        self.spoken_before_s = self.spoken_s(at)
        self.began_at, self.stopped_at, self.final = at, None, False


class InterruptionStrategy(ABC):
    """Decides about an `Overlap`; asked whenever more is known, and at the time it names itself.

    Attributes:
        keeps_reply: nothing ever ends a reply.
    """

    keeps_reply = False

    @abstractmethod
    def decide(self, overlap: Overlap, now: float) -> Decision:
        """What to do as things stand."""

    def look_again_at(self, overlap: Overlap, now: float) -> float | None:
        """When (s) to ask again although nothing new is known; None: need not be."""
        return None


@dataclass(frozen=True)
class Speech(InterruptionStrategy):
    """Any speech that the VAD notices interrupts, at once."""

    def decide(self, overlap: Overlap, now: float) -> Decision:
        return Decision.INTERRUPT


@dataclass(frozen=True)
class NoInterruptions(InterruptionStrategy):
    """The bot finishes what it says."""

    keeps_reply = True

    def decide(self, overlap: Overlap, now: float) -> Decision:
        return Decision.WAIT


@dataclass(frozen=True)
class MinWords(InterruptionStrategy):
    """So many words interrupt; fewer are forgotten. Quick with interim transcripts."""

    words: int = 3
    wait_s: float = 1.5
    """How long (s) after the end of speech the recogniser is waited for."""

    def decide(self, overlap: Overlap, now: float) -> Decision:
        if len(words_of(overlap.text)) >= self.words:
            return Decision.INTERRUPT
        if overlap.stopped_at is None:
            return Decision.WAIT
        late = now >= overlap.stopped_at + self.wait_s
        return Decision.DISMISS if overlap.final or late else Decision.WAIT

    def look_again_at(self, overlap: Overlap, now: float) -> float | None:
        return None if overlap.stopped_at is None else overlap.stopped_at + self.wait_s


@dataclass(frozen=True)
class Confirm(InterruptionStrategy):
    """The bot pauses at once and listens: an interruption ends its reply, anything else lets it go on.

    Attributes:
        long_s: speech so long (s) is an interruption, whatever it is.
        long_backchannel_s: the same for what is understood as nothing but backchannels.
        unclear_s: speech that could not be understood is one from this length (s) on.
        wait_s: how long (s) after the end of speech the recogniser is waited for.
        least_confidence: speech shorter than `unclear_s` needs so much, on the recogniser's own scale, to
            count as understood; None: any.

    A recogniser that distinguishes murmurs from requests to stop (`TranscriptionFrame.murmur`), as the local
    ears do, is believed: its words do not count then.

    What counts of speech that goes on includes the silence in which the VAD has not yet noticed its end.
    """

    long_s: float = 1.4
    long_backchannel_s: float = 2.5
    unclear_s: float = 0.7
    wait_s: float = 0.8
    least_confidence: float | None = None
    words: Words = ENGLISH

    def decide(self, overlap: Overlap, now: float) -> Decision:
        murmur = self._is_murmur(overlap)
        spoken_s = overlap.spoken_s(now)
        if overlap.murmur is False:
            return Decision.INTERRUPT
        if words_of(overlap.text) and not murmur and not self._is_doubtful(overlap, spoken_s):
            return Decision.INTERRUPT
        if spoken_s >= self._limit_s(overlap):
            return Decision.INTERRUPT
        if overlap.stopped_at is None or not (overlap.final or now >= overlap.stopped_at + self.wait_s):
            return Decision.PAUSE
        if murmur or spoken_s < self.unclear_s:
            return Decision.DISMISS
        return Decision.INTERRUPT

    def _is_murmur(self, overlap: Overlap) -> bool:
        return bool(overlap.murmur) or self.words.is_backchannel(overlap.text)

    def _limit_s(self, overlap: Overlap) -> float:
        return self.long_backchannel_s if self._is_murmur(overlap) else self.long_s

    def _is_doubtful(self, overlap: Overlap, spoken_s: float) -> bool:
        if self.least_confidence is None or overlap.confidence is None:
            return False
        return spoken_s < self.unclear_s and overlap.confidence < self.least_confidence

    def look_again_at(self, overlap: Overlap, now: float) -> float | None:
        if overlap.stopped_at is not None:
            return overlap.stopped_at + self.wait_s
        return overlap.began_at + self._limit_s(overlap) - overlap.spoken_before_s + _ROUNDING_S


def strategy_of(named: InterruptionStrategy | str) -> InterruptionStrategy:
    """A strategy by its name: "speech", "min_words", "confirm", "none"."""
    if isinstance(named, InterruptionStrategy):
        return named
    kinds: dict[str, type[InterruptionStrategy]] = {
        "speech": Speech,
        "min_words": MinWords,
        "confirm": Confirm,
        "none": NoInterruptions,
    }
    if named not in kinds:
        raise UsageError(f"interruption_strategy is one of {', '.join(kinds)}, not {named!r}")
    return kinds[named]()


@dataclass(slots=True)
class CallState:
    """What a mute may go by.

    Attributes:
        bot_speaking: the listener hears the bot.
        bot_has_spoken: the listener has heard a speech of the bot to its end, or interrupted one.
        tools: names of the tools that run.
    """

    bot_speaking: bool = False
    bot_has_spoken: bool = False
    tools: list[str] = field(default_factory=list)


Mute = Callable[[CallState], bool]
"""Whether the user is muted: one of these, or a function of your own."""


@dataclass(frozen=True)
class MuteDuringTools:
    """While a tool runs that must not be disturbed: one of `names`, or any."""

    names: Collection[str] | None = None

    def __call__(self, state: CallState) -> bool:
        return any(self.names is None or tool in self.names for tool in state.tools)


@dataclass(frozen=True)
class MuteUntilBotSpoke:
    """Until the bot's first speech is over: a greeting, a notice that must be heard."""

    def __call__(self, state: CallState) -> bool:
        return not state.bot_has_spoken


@dataclass(frozen=True)
class MuteWhileBotSpeaks:
    """While the bot speaks."""

    def __call__(self, state: CallState) -> bool:
        return state.bot_speaking
