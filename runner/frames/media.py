"""Sound, pictures and keys, of the caller and for the caller. Bots import them from `frames.py`."""

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
    """Sound from one of several: `user_id` is who is loudest in it."""

    user_id: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class OutputAudioRawFrame(DataFrame):
    """Sound for the listener. Behind `transport.output()`, `heard_at` is when its first sample
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
