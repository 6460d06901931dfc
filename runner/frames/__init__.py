"""The frames that travel through a pipeline: frozen, slotted dataclasses.

Import them from here. Base classes are in `kinds.py`, audio and images in `media.py`, text and tool calls in
`text.py`.

Sound is `pcm`: signed 16-bit little-endian samples, interleaved if there are several channels.
Times are seconds on the session's clock (`clock.Clock`); names of durations end in their unit.
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
    """The last frame; everything said before it is still played."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class CancelFrame(SystemFrame):
    """Ends the pipeline now; queued frames are dropped."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class EndTaskFrame(SystemFrame):
    """Pushed upstream by a processor to end the call once everything said has been played."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class CancelTaskFrame(SystemFrame):
    """Pushed upstream by a processor to end the call at once."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class TransferCallFrame(ControlFrame):
    """Transfers the caller to another number, such as "+14155550100", once everything said has been played.
    The bot's part of the call ends then. If the transfer fails, an `ErrorFrame` follows; the call goes on."""

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
    """The user interrupted: every reply in progress has been cancelled. Sent once that has taken effect."""


@dataclass(frozen=True, slots=True)
class InterruptionTaskFrame(SystemFrame):
    """Pushed upstream by a processor to silence the bot now."""


@dataclass(frozen=True, slots=True)
class UserStartedSpeakingFrame(ControlFrame):
    """The VAD detected the start of speech at `at`; detection takes `start_secs`."""

    at: float = 0.0


@dataclass(frozen=True, slots=True)
class UserStoppedSpeakingFrame(ControlFrame):
    """The user's turn is over; the speech ended at `at`, and detection takes `stop_secs`."""

    at: float = 0.0


@dataclass(frozen=True, slots=True)
class BotStartedSpeakingFrame(ControlFrame):
    """The listener begins to hear the bot. `sent_at`: when the first audio was sent (s), if known."""

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
    """The bot continues where it paused, after a gap of `gap_ms`."""

    at: float = 0.0
    gap_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class UserMuteStartedFrame(ControlFrame):
    """The bot stops listening to the user; the client is notified."""


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
    """A message for the client's application, sent in order with the audio."""

    message: Any


@dataclass(frozen=True, slots=True)
class OutputTransportMessageUrgentFrame(SystemFrame):
    """A message for the client's application, sent at once."""

    message: Any


@dataclass(frozen=True, slots=True)
class MetricsFrame(SystemFrame):
    """A measured duration: `metric` is one of "ttfb", "processing", "turn_latency", "stop_latency";
    `reply_id` is the measured reply."""

    metric: str
    processor: str
    value_ms: float
    reply_id: int | None = field(default=None, kw_only=True)
