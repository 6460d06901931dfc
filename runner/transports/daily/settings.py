"""The settings of a join, in the library's words. Pure."""

from __future__ import annotations

from typing import Any

from runner.transports.daily.client import Camera, Microphone
from runner.transports.daily.params import DailyParams, DailyTranscriptionSettings

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
