"""The steps of a scenario. Durations are in seconds; `line` is the step's line in its file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from runner.callers.sound.line import Line

USUAL_SPEED = 150
"""Words per minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Base class of all steps."""

    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Say(Step):
    """Say this at `speed` words per minute, and continue when it has been said."""

    text: str
    speed: int = USUAL_SPEED


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayWav(Step):
    """Play this file, and continue when it has been played."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Beep(Step):
    """Play a tone of 1 kHz, like an answering machine."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Step):
    """Wait for this time."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitForSilence(Step):
    """Wait until the bot has spoken and then been silent for `quiet_s`, for at most `at_most_s`."""

    quiet_s: float = 0.7
    at_most_s: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Press(Step):
    """Press these keys."""

    keys: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakOver(Step):
    """Say this, or the WAV file `path`, over the bot after `after_s` of its speech: an interruption, or a
    backchannel (`murmur`)."""

    text: str = ""
    path: Path | None = None
    after_s: float = 0.7
    murmur: bool = False
    speed: int = USUAL_SPEED


@dataclass(frozen=True, slots=True, kw_only=True)
class StaySilent(Step):
    """Say nothing for this time, or until the bot hangs up."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp(Step):
    """End the call; with `text`, while saying it, `after_s` after its start."""

    text: str = ""
    after_s: float = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayPersona(Step):
    """Let a language model play the caller, until it hangs up or has spoken `most_turns` times."""

    persona: str
    goal: str
    most_turns: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How to judge the call once it is over.

    Attributes:
        rules: rules that a language model checks against the transcript.
        base_url, model: the language model that plays the caller and judges; "" = from the environment.
        end_state: a file and the name of a function in it.
    """

    rules: tuple[str, ...] = ()
    base_url: str = ""
    model: str = ""
    end_state: tuple[Path, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect(Step):
    """Expectations; None is not checked.

    Attributes:
        words: the bot says each of these within `within_s` of the caller's last words.
        understood: the bot's recogniser reports each of these for the caller's last words, within `within_s`;
            "" = it understood nothing.
        greeting_within_s: from the answered call to the bot's first audio.
        answer_within_s: from the end of the caller's last words to the bot's next audio.
        stops_within_s: from the start of the caller's last interruption to the bot's silence.
        keeps_talking: whether the bot is still heard after the caller's last murmur.
        hangs_up: whether the bot ends the call within `within_s`.
        tools: the bot called these, in this order, after those of earlier steps. Checked in the call's record
            after the call.
        keys: keys that the bot has pressed.
        violations: maximum number of violations of the provider's rules in the call so far.
        underruns: maximum number of silences of up to 0.3 s in the bot's speech.
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
    """A caller's script.

    Attributes:
        name: the name for `--scenario`.
        about: a sentence for the list of scenarios.
        path: its file; None if it was made in code.
        line: the quality of the line; None: as on the command line.
        parameters: custom parameters of the answer document.
        steps: in order.
        bot: the bot's file; None: it is named where the scenario is run.
        transport: whose wire the call is made over; "" likewise.
        evaluation: what is judged when the call is over.
    """

    name: str
    about: str = ""
    path: Path | None = None
    line: Line | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    bot: Path | None = None
    transport: str = ""
    evaluation: Evaluation = Evaluation()

    @property
    def asks_a_model(self) -> bool:
        """Whether a language model plays the caller, or judges."""
        return bool(self.evaluation.rules) or any(isinstance(step, PlayPersona) for step in self.steps)

    @property
    def speaks(self) -> bool:
        """Whether it needs the local voice."""
        return any(getattr(step, "text", "") for step in self.steps)

    def without_words(self) -> Scenario:
        """This scenario without expectations about words, for a call whose words are not followed."""
        steps = (
            replace(step, words=(), understood=(), tools=()) if isinstance(step, Expect) else step
            for step in self.steps
        )
        return replace(self, steps=tuple(steps))

    def place(self, step: Step) -> str:
        """File and line of a step for messages; the scenario's name if it has no file."""
        return f"{self.path.name}:{step.line}" if self.path else self.name
