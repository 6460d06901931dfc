"""Decides whether speech over the bot interrupts it, and when the user is muted. Pure.

Speech()            any speech interrupts (the default)
MinWords(3)         three words interrupt
Confirm()           the bot pauses at once, and resumes if it was an "mm-hmm", a cough or a door
NoInterruptions()   nothing interrupts; the bot answers after it has finished
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
"""Added to the time at which speech counts as long. Without it, a rounding error could make a check at
exactly that time fail and be repeated forever in virtual time."""


class Decision(Enum):
    """What happens to the bot's reply."""

    WAIT = 1
    """Undecided: the reply continues, or stays paused."""
    PAUSE = 2
    """Undecided: the bot pauses until it is decided."""
    INTERRUPT = 3
    """The reply ends."""
    DISMISS = 4
    """No interruption: the bot continues, and what was said is discarded."""


@dataclass(slots=True)
class Overlap:
    """What is known about the user's speech during a reply. Times in seconds.

    Attributes:
        began_at: when this speech began.
        stopped_at: when it ended; None while it continues.
        spoken_before_s: duration of earlier speech that belongs to the same attempt.
        text: what the recogniser has understood so far.
        final: whether `text` is final.
        sure: the part of `text` that will not change.
        confidence: confidence of the last words, on the recogniser's own scale; None if it reports none.
        murmur: whether the recogniser heard only murmurs or noises; None if it cannot tell.
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
        """The recogniser has transcribed this, following `sure`."""
        self.confidence = confidence
        self.text = join_texts(self.sure, text)
        if final:
            if murmur is not None:
                self.murmur = murmur and self.murmur is not False
            self.sure = self.text
            self.final = self.stopped_at is not None

    def spoken_s(self, now: float) -> float:
        """How long (s) the user has spoken."""
        end = now if self.stopped_at is None else self.stopped_at
        return self.spoken_before_s + end - self.began_at

    def go_on(self, at: float) -> None:
        """The user speaks again before the decision."""
        self.spoken_before_s = self.spoken_s(at)
        self.began_at, self.stopped_at, self.final = at, None, False


class InterruptionStrategy(ABC):
    """Decides about an `Overlap`; called on each change and at the time `look_again_at` returns.

    Attributes:
        keeps_reply: whether it never ends a reply.
    """

    keeps_reply = False

    @abstractmethod
    def decide(self, overlap: Overlap, now: float) -> Decision:
        """The decision, given what is known now."""

    def look_again_at(self, overlap: Overlap, now: float) -> float | None:
        """When (s) to call `decide` again even without a change; None: not needed."""
        return None


@dataclass(frozen=True)
class Speech(InterruptionStrategy):
    """Any speech that the VAD detects interrupts at once."""

    def decide(self, overlap: Overlap, now: float) -> Decision:
        return Decision.INTERRUPT


@dataclass(frozen=True)
class NoInterruptions(InterruptionStrategy):
    """The bot always finishes what it is saying."""

    keeps_reply = True

    def decide(self, overlap: Overlap, now: float) -> Decision:
        return Decision.WAIT


@dataclass(frozen=True)
class MinWords(InterruptionStrategy):
    """`words` words interrupt; fewer are discarded. Fast if the recogniser gives interim transcripts."""

    words: int = 3
    wait_s: float = 1.5
    """Time (s) to wait for the transcript after the end of speech."""

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
    """The bot pauses at once; then an interruption ends its reply, and anything else resumes it.

    Attributes:
        long_s: speech of this length (s) always interrupts.
        long_backchannel_s: backchannels of this length (s) interrupt.
        unclear_s: speech of this length (s) interrupts even if it was not understood.
        wait_s: time (s) to wait for the transcript after the end of speech.
        least_confidence: minimum confidence, on the recogniser's own scale, for speech shorter than
            `unclear_s` to count as understood; None: any.

    If the recogniser marks murmurs (`TranscriptionFrame.murmur`), as the local one does, the mark decides and
    the words do not. The length of continuing speech includes the silence before the VAD detects its end.
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
    """The facts that a mute decides by.

    Attributes:
        bot_speaking: whether the bot is being heard.
        bot_has_spoken: whether the caller has heard or interrupted at least one utterance of the bot.
        tools: names of the running tools.
    """

    bot_speaking: bool = False
    bot_has_spoken: bool = False
    tools: list[str] = field(default_factory=list)


Mute = Callable[[CallState], bool]
"""Whether the user is muted: one of the classes below, or your own function."""


@dataclass(frozen=True)
class MuteDuringTools:
    """Mutes the user while one of the tools in `names` runs; None: any tool."""

    names: Collection[str] | None = None

    def __call__(self, state: CallState) -> bool:
        return any(self.names is None or tool in self.names for tool in state.tools)


@dataclass(frozen=True)
class MuteUntilBotSpoke:
    """Mutes the user until the bot's first utterance is over, such as a mandatory notice."""

    def __call__(self, state: CallState) -> bool:
        return not state.bot_has_spoken


@dataclass(frozen=True)
class MuteWhileBotSpeaks:
    """Mutes the user while the bot speaks."""

    def __call__(self, state: CallState) -> bool:
        return state.bot_speaking
