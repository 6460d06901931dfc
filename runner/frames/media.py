"""Audio, image and DTMF frames, in both directions. Bots import them from `runner.frames`."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.frames.kinds import DataFrame, InputFrame


@dataclass(frozen=True, slots=True)
class InputAudioRawFrame(InputFrame):
    """Sound from the caller."""

    audio: bytes
    sample_rate: int
    num_channels: int = 1


@dataclass(frozen=True, slots=True)
class UserAudioRawFrame(InputAudioRawFrame):
    """Audio from several participants; `user_id` is the loudest of them."""

    user_id: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class OutputAudioRawFrame(DataFrame):
    """Audio for the listener. Downstream of `transport.output()`, `heard_at` is when its first sample was
    played, and only audio that was played arrives there."""

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
    """One picture from one of several participants."""

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
