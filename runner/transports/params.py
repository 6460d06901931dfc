"""`TransportParams`, the parameters that all transports share, and those of a WebSocket."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.audio.mixer import AudioFilter, AudioMixer
    from runner.serializers.base import FrameSerializer
    from runner.turns.end_of_turn import TurnAnalyzer
    from runner.vad.base import VADAnalyzer


@dataclass(kw_only=True)
class TransportParams:
    """The parameters of a transport.

    All transports accept sample rates from 4000 Hz; sound is resampled if the wire uses another rate.

    Attributes:
        audio_in_enabled: whether the bot receives sound.
        audio_out_enabled: whether the bot sends sound.
        audio_in_sample_rate: Hz; None is the transport's default (8000 for a phone, else 16000).
        audio_out_sample_rate: Hz; None is the transport's default (8000 for a phone, else 24000).
        video_in_enabled: whether the bot receives pictures.
        video_out_enabled: whether the bot sends pictures.
        video_out_width: pixels; `camera_out_width` is its older name, as for the next three.
        video_out_height: pixels.
        video_out_bitrate: bits per second.
        video_out_framerate: pictures per second.
        video_out_is_live: accepted for Pipecat's bots; the newest picture is always shown until the next.
        vad_analyzer: detects speech; without one there are no turns.
        turn_analyzer: decides whether a pause ends a turn; None uses rules about words.
        audio_in_filter: processes the caller's sound first, such as `NoiseFilter`.
        audio_out_mixer: mixes background sound under the bot's voice.
    """

    audio_in_enabled: bool = False
    audio_out_enabled: bool = False
    audio_in_sample_rate: int | None = None
    audio_out_sample_rate: int | None = None
    video_in_enabled: bool = False
    video_out_enabled: bool = False
    video_out_width: int = 1024
    video_out_height: int = 768
    video_out_bitrate: int = 800_000
    video_out_framerate: int = 30
    video_out_is_live: bool = True
    camera_out_width: int | None = None
    camera_out_height: int | None = None
    camera_out_bitrate: int | None = None
    camera_out_framerate: int | None = None
    vad_analyzer: VADAnalyzer | None = None
    turn_analyzer: TurnAnalyzer | None = None
    audio_in_filter: AudioFilter | None = None
    audio_out_mixer: AudioMixer | None = None

    def __post_init__(self) -> None:
        for what in ("width", "height", "bitrate", "framerate"):
            older, newer = f"camera_out_{what}", f"video_out_{what}"
            if getattr(self, older) is not None:
                setattr(self, newer, getattr(self, older))
            setattr(self, older, getattr(self, newer))
        for name in ("vad_analyzer", "turn_analyzer", "audio_in_filter", "audio_out_mixer"):
            if isinstance(given := getattr(self, name), type):
                raise UsageError(f"{name} is the class {given.__name__}: write {given.__name__}()")

    @classmethod
    def of(cls, params: TransportParams) -> Self:
        """Convert the parameters to this class; fields that the other class lacks keep their defaults."""
        if isinstance(params, cls):
            return params
        known = {field.name for field in fields(cls)} & {field.name for field in fields(params)}
        return cls(**{name: getattr(params, name) for name in known})


@dataclass(kw_only=True)
class FastAPIWebsocketParams(TransportParams):
    """`TransportParams` of a WebSocket.

    Attributes:
        serializer: converts messages to frames and back; None uses the one that botrun made for this call.
        add_wav_header: put a WAV header before each chunk of sound (some plain clients need it).
        audio_out_lead_ms: how far (ms) sound is sent ahead of its playout, at most 400. Stalls up to this
            length are not audible.
    """

    serializer: FrameSerializer | None = None
    add_wav_header: bool = False
    audio_out_lead_ms: float = 120
