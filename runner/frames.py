"""What travels through a pipeline: frozen, slotted dataclasses.

Their roots and what tells them apart stand in `frame_kinds.py`, those of tools in `tool_frames.py`.

Sound is `pcm`: signed 16-bit little-endian samples, interleaved if there are several channels.
Times are seconds on the session's clock (`clock.Clock`); durations in names carry their unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.frame_kinds import ControlFrame as ControlFrame
from runner.frame_kinds import DataFrame as DataFrame
from runner.frame_kinds import Frame as Frame
from runner.frame_kinds import FrameDirection as FrameDirection
from runner.frame_kinds import InputFrame as InputFrame
from runner.frame_kinds import SystemFrame as SystemFrame
from runner.tool_frames import FunctionCall as FunctionCall
from runner.tool_frames import FunctionCallCancelFrame as FunctionCallCancelFrame
from runner.tool_frames import FunctionCallInProgressFrame as FunctionCallInProgressFrame
from runner.tool_frames import FunctionCallResultFrame as FunctionCallResultFrame
from runner.tool_frames import FunctionCallsStartedFrame as FunctionCallsStartedFrame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


# ------------------------------------------------------------------ life of a pipeline


@dataclass(frozen=True, slots=True)
class StartFrame(SystemFrame):
    """The first frame of every pipeline. Sample rates in Hz."""

    audio_in_sample_rate: int = 16000
    audio_out_sample_rate: int = 24000
    allow_interruptions: bool = True


@dataclass(frozen=True, slots=True)
class EndFrame(ControlFrame):
    """The last frame: everything said before it is still heard."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class CancelFrame(SystemFrame):
    """The pipeline ends now; what waits is dropped."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class EndTaskFrame(SystemFrame):
    """Pushed upstream by a processor that wants the call to end after the last word was heard."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class CancelTaskFrame(SystemFrame):
    """Pushed upstream by a processor that wants the call to end at once."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class TransferCallFrame(ControlFrame):
    """Hand the caller to another phone, "+14155550100", when everything said before was heard. The bot's
    part of the call ends with it; if it cannot be done, an `ErrorFrame` says so and the call goes on."""

    to: str = ""


@dataclass(frozen=True, slots=True)
class ErrorFrame(SystemFrame):
    """Something failed in `processor`; a fatal error ends the call."""

    error: str
    processor: str = ""
    fatal: bool = False
    exception: BaseException | None = None


# ------------------------------------------------------------------ turns


@dataclass(frozen=True, slots=True)
class InterruptionFrame(SystemFrame):
    """The user cut in: every reply that was under way is over. Sent after it has taken effect."""


@dataclass(frozen=True, slots=True)
class InterruptionTaskFrame(SystemFrame):
    """Pushed upstream by a processor that wants the bot to be silent now."""


@dataclass(frozen=True, slots=True)
class UserStartedSpeakingFrame(ControlFrame):
    """The VAD heard speech begin. `at` is when (it is noticed `start_secs` later)."""

    at: float = 0.0


@dataclass(frozen=True, slots=True)
class UserStoppedSpeakingFrame(ControlFrame):
    """The user's turn is over. `at` is when the speech ended (it is noticed `stop_secs` later)."""

    at: float = 0.0


@dataclass(frozen=True, slots=True)
class BotStartedSpeakingFrame(ControlFrame):
    """The listener begins to hear the bot."""

    at: float = 0.0


@dataclass(frozen=True, slots=True)
class BotStoppedSpeakingFrame(ControlFrame):
    """The listener has heard the last of the bot, or its silence after an interruption."""

    at: float = 0.0
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class BotPausedSpeakingFrame(ControlFrame):
    """The bot is silent from `at` on, because the user may want to speak; its reply is kept."""

    at: float = 0.0


@dataclass(frozen=True, slots=True)
class BotResumedSpeakingFrame(ControlFrame):
    """The bot goes on where it had paused, `gap_ms` later."""

    at: float = 0.0
    gap_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class UserMuteStartedFrame(ControlFrame):
    """The bot does not listen to the user from here on; told to the far end."""


@dataclass(frozen=True, slots=True)
class UserMuteStoppedFrame(ControlFrame):
    """The bot listens to the user again."""


# ------------------------------------------------------------------ sound and pictures


@dataclass(frozen=True, slots=True)
class InputAudioRawFrame(InputFrame):
    """Sound from the caller."""

    audio: bytes
    sample_rate: int
    num_channels: int = 1


@dataclass(frozen=True, slots=True)
class UserAudioRawFrame(InputAudioRawFrame):
    """Sound from one of several: `user_id` is who is loudest in it."""

    user_id: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class OutputAudioRawFrame(DataFrame):
    """Sound for the listener. Behind `transport.output()`, `heard_at` tells when its first sample
    was heard, and only what was heard arrives there."""

    audio: bytes
    sample_rate: int
    num_channels: int = 1
    heard_at: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class TTSAudioRawFrame(OutputAudioRawFrame):
    """Speech of the bot."""


@dataclass(frozen=True, slots=True)
class InputImageRawFrame(InputFrame):
    """One picture from the caller: `size` is (width, height) in pixels, `format` as "RGB"."""

    image: bytes
    size: tuple[int, int]
    format: str = "RGB"


@dataclass(frozen=True, slots=True)
class UserImageRawFrame(InputImageRawFrame):
    """One picture from one of several."""

    user_id: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class OutputImageRawFrame(DataFrame):
    """One picture for the viewer: `size` is (width, height) in pixels, `format` as "RGB"."""

    image: bytes
    size: tuple[int, int]
    format: str = "RGB"


@dataclass(frozen=True, slots=True)
class InputDTMFFrame(InputFrame):
    """A key pressed by the caller: one of 0-9 * # A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class OutputDTMFFrame(DataFrame):
    """A key for the bot to press: one of 0-9 * # A-D."""

    digit: str


# ------------------------------------------------------------------ text and language model


@dataclass(frozen=True, slots=True)
class TextFrame(DataFrame):
    """A piece of text on its way to the voice."""

    text: str


@dataclass(frozen=True, slots=True)
class LLMTextFrame(TextFrame):
    """A piece of a language model's reply, as it streams in."""


@dataclass(frozen=True, slots=True)
class TTSTextFrame(TextFrame):
    """A word of the bot's speech.

    `audio_offset_ms` places it after the beginning of its `TTSStartedFrame`; without one it stands
    where it comes among the sound. Behind `transport.output()`, `heard_at` tells when it was heard,
    and words that nobody heard do not arrive.
    """

    audio_offset_ms: float | None = field(default=None, kw_only=True)
    heard_at: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class UnspokenTextFrame(DataFrame):
    """A sentence of a reply that is to be read, not heard (`skip_tts`)."""

    text: str


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
    empty when the recogniser does not tell when each was said. `murmur` tells of short speech over the bot
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


# ------------------------------------------------------------------ messages and metrics


@dataclass(frozen=True, slots=True)
class InputTransportMessageFrame(SystemFrame):
    """A message from the far end's application (data channel, WebSocket): a JSON value."""

    message: Any


@dataclass(frozen=True, slots=True)
class OutputTransportMessageFrame(DataFrame):
    """A message for the far end's application, in its place among the sound."""

    message: Any


@dataclass(frozen=True, slots=True)
class OutputTransportMessageUrgentFrame(SystemFrame):
    """A message for the far end's application, sent at once."""

    message: Any


@dataclass(frozen=True, slots=True)
class MetricsFrame(SystemFrame):
    """A measured duration: `name` is one of "ttfb", "processing", "turn_latency", "stop_latency"; `reply_id`
    names the reply whose making was measured."""

    metric: str
    processor: str
    value_ms: float
    reply_id: int | None = field(default=None, kw_only=True)
