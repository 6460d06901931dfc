"""What travels through a pipeline: frozen, slotted dataclasses.

Import them from here. Their base classes are in `kinds.py`, sound and pictures in `media.py`, words in
`text.py`, tools in `tools.py`.

Sound is `pcm`: signed 16-bit little-endian samples, interleaved if there are several channels.
Times are seconds on the session's clock (`clock.Clock`); durations in names carry their unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runner.frames.kinds import ControlFrame as ControlFrame
from runner.frames.kinds import DataFrame as DataFrame
from runner.frames.kinds import Frame as Frame
from runner.frames.kinds import FrameDirection as FrameDirection
from runner.frames.kinds import InputFrame as InputFrame
from runner.frames.kinds import SystemFrame as SystemFrame
from runner.frames.media import InputAudioRawFrame as InputAudioRawFrame
from runner.frames.media import InputDTMFFrame as InputDTMFFrame
from runner.frames.media import InputImageRawFrame as InputImageRawFrame
from runner.frames.media import OutputAudioRawFrame as OutputAudioRawFrame
from runner.frames.media import OutputDTMFFrame as OutputDTMFFrame
from runner.frames.media import OutputImageRawFrame as OutputImageRawFrame
from runner.frames.media import TTSAudioRawFrame as TTSAudioRawFrame
from runner.frames.media import UserAudioRawFrame as UserAudioRawFrame
from runner.frames.media import UserImageRawFrame as UserImageRawFrame
from runner.frames.text import FunctionCall as FunctionCall
from runner.frames.text import FunctionCallCancelFrame as FunctionCallCancelFrame
from runner.frames.text import FunctionCallInProgressFrame as FunctionCallInProgressFrame
from runner.frames.text import FunctionCallResultFrame as FunctionCallResultFrame
from runner.frames.text import FunctionCallsStartedFrame as FunctionCallsStartedFrame
from runner.frames.text import HeardWord as HeardWord
from runner.frames.text import InterimTranscriptionFrame as InterimTranscriptionFrame
from runner.frames.text import LLMContextFrame as LLMContextFrame
from runner.frames.text import LLMFullResponseEndFrame as LLMFullResponseEndFrame
from runner.frames.text import LLMFullResponseStartFrame as LLMFullResponseStartFrame
from runner.frames.text import LLMMessagesAppendFrame as LLMMessagesAppendFrame
from runner.frames.text import LLMRunFrame as LLMRunFrame
from runner.frames.text import LLMTextFrame as LLMTextFrame
from runner.frames.text import SubtitleFrame as SubtitleFrame
from runner.frames.text import TextFrame as TextFrame
from runner.frames.text import TranscriptionFrame as TranscriptionFrame
from runner.frames.text import TTSSpeakFrame as TTSSpeakFrame
from runner.frames.text import TTSStartedFrame as TTSStartedFrame
from runner.frames.text import TTSStoppedFrame as TTSStoppedFrame
from runner.frames.text import TTSTextFrame as TTSTextFrame
from runner.frames.text import UnspokenTextFrame as UnspokenTextFrame

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
    """The listener begins to hear the bot. `sent_at`: when its first sound left (s), if that is known."""

    at: float = 0.0
    sent_at: float | None = None


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
    """The bot does not listen to the user from here on; the client is notified."""


@dataclass(frozen=True, slots=True)
class UserMuteStoppedFrame(ControlFrame):
    """The bot listens to the user again."""


# ------------------------------------------------------------------ messages and metrics


@dataclass(frozen=True, slots=True)
class InputTransportMessageFrame(SystemFrame):
    """A message from the client's application (data channel, WebSocket): a JSON value."""

    message: Any


@dataclass(frozen=True, slots=True)
class OutputTransportMessageFrame(DataFrame):
    """A message for the client's application, in its place among the sound."""

    message: Any


@dataclass(frozen=True, slots=True)
class OutputTransportMessageUrgentFrame(SystemFrame):
    """A message for the client's application, sent at once."""

    message: Any


@dataclass(frozen=True, slots=True)
class MetricsFrame(SystemFrame):
    """A measured duration: `name` is one of "ttfb", "processing", "turn_latency", "stop_latency"; `reply_id`
    names the reply whose making was measured."""

    metric: str
    processor: str
    value_ms: float
    reply_id: int | None = field(default=None, kw_only=True)
