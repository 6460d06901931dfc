"""`DailyParams`: the parameters of a Daily transport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.transports.daily.library import Camera, Microphone
from runner.transports.params import TransportParams


@dataclass(frozen=True, kw_only=True)
class DailyDialinSettings:
    """A caller waiting at Daily until the room is ready; from the dial-in webhook."""

    call_id: str
    call_domain: str


@dataclass(frozen=True, kw_only=True)
class DailyTranscriptionSettings:
    """Settings of Daily's transcription; `extra` is passed on unchanged."""

    language: str = "en"
    model: str = "nova-2-general"
    punctuate: bool = True
    endpointing: bool | int = True
    includeRawResponse: bool = True
    extra: Mapping[str, Any] = field(default_factory=lambda: {"interim_results": True})


@dataclass(kw_only=True)
class DailyParams(TransportParams):
    """The parameters of a `DailyTransport`.

    Attributes:
        api_url: base URL of Daily's REST interface, if not the usual one.
        api_key: for connecting a waiting caller; by default `DAILY_API_KEY`.
        audio_in_user_tracks: whether sound frames name the speaker (`UserAudioRawFrame.user_id`).
        camera_out_enabled: False keeps the bot's camera off even with `video_out_enabled`.
        microphone_out_enabled: False joins without a microphone.
        camera_out_send_settings: Daily's `sendSettings` of the camera; by default made from `video_out_*`.
        dialin_settings: a waiting caller, who is connected as soon as the room is ready for phones.
        transcription_enabled: whether Daily transcribes; the bot then needs no STT service.
        transcription_settings: settings of the transcription.
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
    """The waiting caller in a bot's `body`; None without a dial-in."""
    settings = body.get("dialin_settings") if isinstance(body, Mapping) else None
    if not isinstance(settings, Mapping) or not settings.get("call_id") or not settings.get("call_domain"):
        return None
    return DailyDialinSettings(call_id=str(settings["call_id"]), call_domain=str(settings["call_domain"]))


UNSEEN = {"base": {"camera": "unsubscribed", "screenVideo": "unsubscribed"}}
"""Subscription profiles: pictures come only on request."""


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
    """One encoding with the bitrate and framerate of `params`; the size is the camera's."""
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
