"""What a Daily transport carries, beyond what every transport does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.transports.daily.library import Camera, Microphone
from runner.transports.params import TransportParams


@dataclass(frozen=True, kw_only=True)
class DailyDialinSettings:
    """A caller whom Daily holds until the room is ready: from the dial-in webhook."""

    call_id: str
    call_domain: str


@dataclass(frozen=True, kw_only=True)
class DailyTranscriptionSettings:
    """How Daily transcribes, if enabled; `extra` is added as it is."""

    language: str = "en"
    model: str = "nova-2-general"
    punctuate: bool = True
    endpointing: bool | int = True
    includeRawResponse: bool = True
    extra: Mapping[str, Any] = field(default_factory=lambda: {"interim_results": True})


@dataclass(kw_only=True)
class DailyParams(TransportParams):
    """What a `DailyTransport` carries.

    Attributes:
        api_url: another address of Daily's REST interface than the usual one.
        api_key: connects a caller who waits; without it, `DAILY_API_KEY`.
        audio_in_user_tracks: whether frames of sound say who spoke (`UserAudioRawFrame.user_id`).
        camera_out_enabled: False keeps the bot's camera off whatever `video_out_enabled` says.
        microphone_out_enabled: False joins without a microphone.
        camera_out_send_settings: how the camera is sent, in Daily's words; made of `video_out_*` without.
        dialin_settings: a caller who waits is connected as soon as the room is ready for phones.
        transcription_enabled: whether Daily transcribes; the bot's own STT is then not needed.
        transcription_settings: how.
    """

    api_url: str = ""
    api_key: str = ""
    audio_in_user_tracks: bool = True
    camera_out_enabled: bool = True
    microphone_out_enabled: bool = True
    camera_out_send_settings: Mapping[str, Any] | None = None
    dialin_settings: DailyDialinSettings | None = None
    transcription_enabled: bool = False
    transcription_settings: DailyTranscriptionSettings = field(default_factory=DailyTranscriptionSettings)


def dialin_of(body: Any) -> DailyDialinSettings | None:
    """The caller who waits, from the body that a dial-in gives to its bot; None if nobody does."""
    dialin = body.get("dialin_settings") if isinstance(body, Mapping) else None
    if not isinstance(dialin, Mapping) or not dialin.get("call_id") or not dialin.get("call_domain"):
        return None
    return DailyDialinSettings(call_id=str(dialin["call_id"]), call_domain=str(dialin["call_domain"]))


UNSEEN = {"base": {"camera": "unsubscribed", "screenVideo": "unsubscribed"}}
"""Subscription profiles: nobody's pictures come unless they are asked for."""


def join_settings(
    params: DailyParams, microphone: Microphone | None, camera: Camera | None
) -> dict[str, Any]:
    """`client_settings` of a join."""
    publishing: dict[str, Any] = {}
    if camera is not None:
        publishing["camera"] = {"sendSettings": dict(params.camera_out_send_settings or _as_asked(params))}
    return {
        "inputs": {"camera": _input(camera), "microphone": _input(microphone)},
        **({"publishing": publishing} if publishing else {}),
    }


def _input(source: Microphone | Camera | None) -> dict[str, Any]:
    if source is None:
        return {"isEnabled": False}
    return {"isEnabled": True, "settings": {"customTrack": {"id": source.id}}}


def _as_asked(params: DailyParams) -> dict[str, Any]:
    """One quality, of the bitrate and rate asked for; the size is the camera's own."""
    quality = {"maxBitrate": params.video_out_bitrate, "maxFramerate": params.video_out_framerate}
    return {"maxQuality": "low", "encodings": {"low": quality}}


def transcription_settings(settings: DailyTranscriptionSettings) -> dict[str, Any]:
    """For `start_transcription`."""
    return {
        "language": settings.language,
        "model": settings.model,
        "punctuate": settings.punctuate,
        "endpointing": settings.endpointing,
        "includeRawResponse": settings.includeRawResponse,
        "extra": dict(settings.extra),
    }
