"""What a caller can do, step by step. Durations in seconds; `line` is the step's in its file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from runner.callers.sound.line import Line

USUAL_SPEED = 150
"""Words per minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The root of all steps."""

    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Say(Step):
    """Say this in turn, at `speed` words per minute, and go on when it is said."""

    text: str
    speed: int = USUAL_SPEED


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayWav(Step):
    """Say what is in this file, and go on when it is said."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Beep(Step):
    """A tone of 1 kHz, as answering machines make it."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Step):
    """Let time go by."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitForSilence(Step):
    """Let the bot have its say: go on when it has been quiet for so long; `at_most` is the patience."""

    quiet_s: float = 0.7
    at_most_s: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Press(Step):
    """Press these keys."""

    keys: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakOver(Step):
    """Once the bot has spoken for `after_s`, say this over it: to cut it short, or as a mere murmur. With
    `path` it is what is in this WAV file."""

    text: str = ""
    path: Path | None = None
    after_s: float = 0.7
    murmur: bool = False
    speed: int = USUAL_SPEED


@dataclass(frozen=True, slots=True, kw_only=True)
class StaySilent(Step):
    """Say nothing for so long, or until the bot hangs up."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp(Step):
    """End the call; with `text`, in the middle of saying it, `after_s` from its beginning."""

    text: str = ""
    after_s: float = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect(Step):
    """What has to be so. None is no demand.

    Attributes:
        words: each is heard from the bot, since the caller last spoke, within `within_s`.
        understood: the bot's recogniser reports each of these about what the caller said last, within
            `within_s`; "" is that it understood nothing.
        greeting_within_s: from the answered call to the bot's first sound.
        answer_within_s: from the end of the caller's last words to the bot's first sound after them.
        stops_within_s: from the beginning of the caller's last interruption to the bot's silence.
        keeps_talking: the bot is still heard after the caller's last murmur.
        hangs_up: whether the bot ends the call within `within_s`.
        tools: the bot called these, in this order, and after those expected before. Judged by the record when
            the call is over.
        keys: what the bot has pressed.
        violations: at most so many messages against the provider's rules, in the whole call so far.
        underruns: at most so many silences of up to 0.3 s in the bot's speech.
    """

    words: tuple[str, ...] = ()
    understood: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    greeting_within_s: float | None = None
    answer_within_s: float | None = None
    stops_within_s: float | None = None
    keeps_talking: bool | None = None
    hangs_up: bool | None = None
    keys: str | None = None
    violations: int | None = None
    underruns: int | None = None
    within_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One caller's plan.

    Attributes:
        name: as it is asked for.
        about: a sentence for the list.
        path: where it stands; None if it was made up.
        line: how bad the line is; None leaves it to the command line.
        parameters: custom parameters of the answer document.
        steps: in order.
        bot: the bot's file; None: it is named where the scenario is run.
        transport: whose wire the call is made over; "" likewise.
    """

    name: str
    about: str = ""
    path: Path | None = None
    line: Line | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    bot: Path | None = None
    transport: str = ""

    @property
    def speaks(self) -> bool:
        """Whether the local voice is needed."""
        return any(getattr(step, "text", "") for step in self.steps)

    def without_words(self) -> Scenario:
        """The same for a call whose words nobody follows: nothing is expected of words."""
        steps = (
            replace(step, words=(), understood=(), tools=()) if isinstance(step, Expect) else step
            for step in self.steps
        )
        return replace(self, steps=tuple(steps))

    def place(self, step: Step) -> str:
        """File and line of a step, for people; what was typed has no lines."""
        return f"{self.path.name}:{step.line}" if self.path else self.name
