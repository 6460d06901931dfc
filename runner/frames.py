"""What travels through a pipeline: frozen, slotted dataclasses.

All of them are imported from here. Their roots and what tells them apart stand in `frame_kinds.py`, those of
sound and pictures in `sound_frames.py`, of words in `text_frames.py`, of tools in `tool_frames.py`.

Sound is `pcm`: signed 16-bit little-endian samples, interleaved if there are several channels.
Times are seconds on the session's clock (`clock.Clock`); durations in names carry their unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runner.frame_kinds import ControlFrame as ControlFrame
from runner.frame_kinds import DataFrame as DataFrame
from runner.frame_kinds import Frame as Frame
from runner.frame_kinds import FrameDirection as FrameDirection
from runner.frame_kinds import InputFrame as InputFrame
from runner.frame_kinds import SystemFrame as SystemFrame
from runner.sound_frames import InputAudioRawFrame as InputAudioRawFrame
from runner.sound_frames import InputDTMFFrame as InputDTMFFrame
from runner.sound_frames import InputImageRawFrame as InputImageRawFrame
from runner.sound_frames import OutputAudioRawFrame as OutputAudioRawFrame
from runner.sound_frames import OutputDTMFFrame as OutputDTMFFrame
from runner.sound_frames import OutputImageRawFrame as OutputImageRawFrame
from runner.sound_frames import TTSAudioRawFrame as TTSAudioRawFrame
from runner.sound_frames import UserAudioRawFrame as UserAudioRawFrame
from runner.sound_frames import UserImageRawFrame as UserImageRawFrame
from runner.text_frames import HeardWord as HeardWord
from runner.text_frames import InterimTranscriptionFrame as InterimTranscriptionFrame
from runner.text_frames import LLMContextFrame as LLMContextFrame
from runner.text_frames import LLMFullResponseEndFrame as LLMFullResponseEndFrame
from runner.text_frames import LLMFullResponseStartFrame as LLMFullResponseStartFrame
from runner.text_frames import LLMMessagesAppendFrame as LLMMessagesAppendFrame
from runner.text_frames import LLMRunFrame as LLMRunFrame
from runner.text_frames import LLMTextFrame as LLMTextFrame
from runner.text_frames import SubtitleFrame as SubtitleFrame
from runner.text_frames import TextFrame as TextFrame
from runner.text_frames import TranscriptionFrame as TranscriptionFrame
from runner.text_frames import TTSSpeakFrame as TTSSpeakFrame
from runner.text_frames import TTSStartedFrame as TTSStartedFrame
from runner.text_frames import TTSStoppedFrame as TTSStoppedFrame
from runner.text_frames import TTSTextFrame as TTSTextFrame
from runner.text_frames import UnspokenTextFrame as UnspokenTextFrame
from runner.tool_frames import FunctionCall as FunctionCall
from runner.tool_frames import FunctionCallCancelFrame as FunctionCallCancelFrame
from runner.tool_frames import FunctionCallInProgressFrame as FunctionCallInProgressFrame
from runner.tool_frames import FunctionCallResultFrame as FunctionCallResultFrame
from runner.tool_frames import FunctionCallsStartedFrame as FunctionCallsStartedFrame

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
