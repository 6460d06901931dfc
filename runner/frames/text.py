"""Text, of the caller and of the bot, and calls of tools. Bots import them from `runner.frames`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.frames.kinds import ControlFrame, DataFrame, InputFrame, SystemFrame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class TextFrame(DataFrame):
    """A piece of text on its way to the voice."""

    text: str


@dataclass(frozen=True, slots=True)
class LLMTextFrame(TextFrame):
    """A piece of a language model's reply, as it streams in."""


@dataclass(frozen=True, slots=True)
class TTSTextFrame(TextFrame):
    """A word of the bot's speech; in scripts without spaces between words, a character.

    Attributes:
        audio_offset_ms: when it begins, in ms after its `TTSStartedFrame`. None: where it stands among the
            sound.
        heard_at: behind `transport.output()`, when the listener heard it. Words that nobody heard do not
            arrive there.
        joined: whether it follows the text before it without a space.
    """

    audio_offset_ms: float | None = field(default=None, kw_only=True)
    heard_at: float | None = field(default=None, kw_only=True)
    joined: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class UnspokenTextFrame(DataFrame):
    """A sentence of a reply that is to be read, not heard (`skip_tts`).

    `joined`: it follows the text before it without a space.
    """

    text: str
    joined: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class TTSSpeakFrame(DataFrame):
    """Say this, in a reply of its own, without asking the language model."""

    text: str


@dataclass(frozen=True, slots=True)
class TTSStartedFrame(ControlFrame):
    """The voice begins an utterance."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class TTSStoppedFrame(ControlFrame):
    """The voice has delivered the last sound of an utterance."""


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word that the user said, from `at` to `until` (s on the session's clock)."""

    text: str
    at: float
    until: float
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class TranscriptionFrame(InputFrame):
    """What the user said. `text` is empty when there was speech that could not be understood; `words` is
    empty when the recogniser does not report when each was said. `murmur` says of short speech over the bot
    whether it only showed that one listens ("mm-hmm"), or was a noise; None where the recogniser cannot."""

    text: str
    user_id: str = ""
    timestamp: str = ""
    confidence: float | None = None
    words: tuple[HeardWord, ...] = field(default=(), kw_only=True)
    murmur: bool | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class InterimTranscriptionFrame(InputFrame):
    """What the user seems to be saying; replaced by the next one or by a `TranscriptionFrame`."""

    text: str
    user_id: str = ""
    timestamp: str = ""


@dataclass(frozen=True, slots=True)
class LLMContextFrame(DataFrame):
    """Ask the language model to answer this context; with `skip_tts` the answer is to be read, not heard."""

    context: Any
    skip_tts: bool = False


@dataclass(frozen=True, slots=True)
class LLMMessagesAppendFrame(InputFrame):
    """Add messages (`{"role": …, "content": …}`) to the context, and answer if `run_llm`; with `skip_tts`
    the answer is to be read, not heard."""

    messages: Sequence[Mapping[str, Any]]
    run_llm: bool = True
    skip_tts: bool = False


@dataclass(frozen=True, slots=True)
class LLMRunFrame(ControlFrame):
    """Answer the context as it stands (a bot that speaks first begins with it)."""


@dataclass(frozen=True, slots=True)
class LLMFullResponseStartFrame(ControlFrame):
    """The language model begins a reply; with `skip_tts` it is to be read, not heard."""

    skip_tts: bool = False


@dataclass(frozen=True, slots=True)
class LLMFullResponseEndFrame(ControlFrame):
    """The language model has finished a reply."""


@dataclass(frozen=True, slots=True)
class SubtitleFrame(SystemFrame):
    """What `speaker` ("user", "bot") is saying: a cue of `Subtitles` that grows until it is `final`. Times
    are ms since the call began."""

    speaker: str
    text: str
    start_ms: int
    end_ms: int
    final: bool = True


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a tool, as the language model asked for it. `arguments` is the model's JSON object."""

    function_name: str
    tool_call_id: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FunctionCallsStartedFrame(SystemFrame):
    """The language model asked for these tools, which now begin; goes both ways."""

    calls: Sequence[FunctionCall]


@dataclass(frozen=True, slots=True)
class FunctionCallInProgressFrame(SystemFrame):
    """A tool runs. `cancel_on_interruption` is False for one that must not be disturbed; goes both ways."""

    call: FunctionCall
    cancel_on_interruption: bool = True


@dataclass(frozen=True, slots=True)
class FunctionCallResultFrame(SystemFrame):
    """A tool has answered: any JSON value; goes both ways."""

    call: FunctionCall
    result: Any


@dataclass(frozen=True, slots=True)
class FunctionCallCancelFrame(SystemFrame):
    """A tool was ended by an interruption; goes both ways."""

    call: FunctionCall
