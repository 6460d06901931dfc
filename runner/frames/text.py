"""Text of the caller and of the bot, and tool calls. Bots import them from `runner.frames`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.frames.kinds import ControlFrame, DataFrame, InputFrame, SystemFrame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class TextFrame(DataFrame):
    """A piece of text on its way to the TTS."""

    text: str


@dataclass(frozen=True, slots=True)
class LLMTextFrame(TextFrame):
    """A piece of a language model's reply, as it streams in."""


@dataclass(frozen=True, slots=True)
class TTSTextFrame(TextFrame):
    """A word of the bot's speech; in scripts without spaces between words, a character.

    Attributes:
        audio_offset_ms: when it begins, in ms after its `TTSStartedFrame`. None: at its place in the queue of
            audio frames.
        heard_at: downstream of `transport.output()`, when the listener heard it. Words that were not played
            do not arrive there.
        joined: whether it follows the text before it without a space.
    """

    audio_offset_ms: float | None = field(default=None, kw_only=True)
    heard_at: float | None = field(default=None, kw_only=True)
    joined: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class UnspokenTextFrame(DataFrame):
    """A sentence of a reply that is shown, not spoken (`skip_tts`).

    `joined`: it follows the text before it without a space.
    """

    text: str
    joined: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class TTSSpeakFrame(DataFrame):
    """Say this as a separate reply, without calling the language model."""

    text: str


@dataclass(frozen=True, slots=True)
class TTSStartedFrame(ControlFrame):
    """The TTS begins an utterance."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class TTSStoppedFrame(ControlFrame):
    """The TTS has delivered the last audio of an utterance."""


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word that the user said, from `at` to `until` (s on the session's clock)."""

    text: str
    at: float
    until: float
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class TranscriptionFrame(InputFrame):
    """What the user said. `text` is empty if the speech was not understood; `words` is empty if the
    recogniser reports no word times. `murmur`: whether short speech over the bot was a backchannel ("mm-hmm")
    or noise; None if the recogniser cannot say."""

    text: str
    user_id: str = ""
    timestamp: str = ""
    confidence: float | None = None
    words: tuple[HeardWord, ...] = field(default=(), kw_only=True)
    murmur: bool | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class InterimTranscriptionFrame(InputFrame):
    """An interim transcript; replaced by the next one or by a `TranscriptionFrame`."""

    text: str
    user_id: str = ""
    timestamp: str = ""


@dataclass(frozen=True, slots=True)
class LLMContextFrame(DataFrame):
    """Ask the language model to answer this context; with `skip_tts` the answer is shown, not spoken."""

    context: Any
    skip_tts: bool = False


@dataclass(frozen=True, slots=True)
class LLMMessagesAppendFrame(InputFrame):
    """Add messages (`{"role": …, "content": …}`) to the context, and answer if `run_llm`; with `skip_tts`
    the answer is shown, not spoken."""

    messages: Sequence[Mapping[str, Any]]
    run_llm: bool = True
    skip_tts: bool = False


@dataclass(frozen=True, slots=True)
class LLMRunFrame(ControlFrame):
    """Ask the language model to answer the current context, for example so that the bot speaks first."""


@dataclass(frozen=True, slots=True)
class LLMFullResponseStartFrame(ControlFrame):
    """The language model begins a reply; with `skip_tts` it is shown, not spoken."""

    skip_tts: bool = False


@dataclass(frozen=True, slots=True)
class LLMFullResponseEndFrame(ControlFrame):
    """The language model has finished a reply."""


@dataclass(frozen=True, slots=True)
class SubtitleFrame(SystemFrame):
    """What `speaker` ("user", "bot") is saying: a cue of `Subtitles` that grows until it is `final`. Times
    are in ms since the start of the call."""

    speaker: str
    text: str
    start_ms: int
    end_ms: int
    final: bool = True


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A tool call requested by the language model. `arguments` is the model's JSON object."""

    function_name: str
    tool_call_id: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FunctionCallsStartedFrame(SystemFrame):
    """The language model requested these tool calls, which now start; pushed both ways."""

    calls: Sequence[FunctionCall]


@dataclass(frozen=True, slots=True)
class FunctionCallInProgressFrame(SystemFrame):
    """A tool runs; `cancel_on_interruption`: whether an interruption cancels it. Pushed both ways."""

    call: FunctionCall
    cancel_on_interruption: bool = True


@dataclass(frozen=True, slots=True)
class FunctionCallResultFrame(SystemFrame):
    """A tool returned a result, which may be any JSON value; pushed both ways."""

    call: FunctionCall
    result: Any


@dataclass(frozen=True, slots=True)
class FunctionCallCancelFrame(SystemFrame):
    """An interruption cancelled a tool; pushed both ways."""

    call: FunctionCall
