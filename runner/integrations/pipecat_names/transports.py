"""Transports' parameters with Pipecat's further fields, and helpers of its runner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.transports import params
from runner.transports.base import BaseTransport

__all__ = [
    "EvalTransportParams",
    "FastAPIWebsocketParams",
    "IceServer",
    "PipecatParams",
    "TransportParams",
    "get_transport_client_id",
    "maybe_capture_participant_camera",
    "maybe_capture_participant_screen",
]


@dataclass(kw_only=True)
class PipecatParams:
    """Fields of Pipecat's parameters that ask for what botrun does anyway, or that change nothing here."""

    audio_in_channels: int = 1
    audio_in_passthrough: bool = True
    audio_in_stream_on_start: bool = True
    audio_out_10ms_chunks: int = 4
    audio_out_auto_silence: bool = True
    audio_out_bitrate: int = 96000
    audio_out_channels: int = 1
    audio_out_end_silence_secs: int = 2
    audio_out_is_live: bool = False
    audio_out_write_timeout_secs: float = 10.0
    camera_in_enabled: bool = False
    camera_out_color_format: str = "RGB"
    camera_out_is_live: bool = False
    session_timeout: int | None = None
    fixed_audio_packet_size: int | None = None
    vad_audio_passthrough: bool = True
    vad_enabled: bool = True
    video_out_codec: str | None = None
    video_out_color_format: str = "RGB"
    ws_close_timeout: float = 1.0


@dataclass(kw_only=True)
class TransportParams(PipecatParams, params.TransportParams):
    """`TransportParams` that also takes Pipecat's further fields."""


@dataclass(kw_only=True)
class FastAPIWebsocketParams(PipecatParams, params.FastAPIWebsocketParams):
    """`FastAPIWebsocketParams` that also takes Pipecat's further fields."""


class EvalTransportParams(FastAPIWebsocketParams):
    """For the key "eval", which no call of botrun's asks for."""


@dataclass(kw_only=True)
class IceServer:
    """An ICE server. botrun's are set with `--ice-server`."""

    urls: str | list[str]
    username: str = ""
    credential: str = field(default="", repr=False)


def get_transport_client_id(transport: BaseTransport, client: Any) -> str:
    """`transport.get_client_id(client)`."""
    return transport.get_client_id(client)


async def maybe_capture_participant_camera(transport: BaseTransport, client: Any, framerate: int = 0) -> None:
    """Ask for the caller's camera, where there is one."""
    await _capture(transport, client, framerate, "camera")


async def maybe_capture_participant_screen(transport: BaseTransport, client: Any, framerate: int = 0) -> None:
    """Ask for the caller's screen, where there is one."""
    await _capture(transport, client, framerate, "screenVideo")


async def _capture(transport: BaseTransport, client: Any, framerate: int, source: str) -> None:
    capture = getattr(transport, "capture_participant_video", None)
    if capture is not None:  # a phone has none
        who = client["id"] if isinstance(client, Mapping) else ""
        await capture(who, framerate=framerate, video_source=source)
