"""`SmallWebRTCTransport`: a bot's transport over a `SmallWebRTCConnection`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from runner.errors import ProtocolError, UsageError
from runner.frames import (
    InputAudioRawFrame,
    InputTransportMessageFrame,
    OutputImageRawFrame,
    StartFrame,
)
from runner.transports.base import BaseTransport
from runner.transports.input import BaseInputTransport
from runner.transports.output import BaseOutputTransport
from runner.transports.params import TransportParams
from runner.transports.session_port import current_port
from runner.transports.webrtc.connection import SmallWebRTCConnection
from runner.transports.webrtc.peer import PictureWishes
from runner.transports.webrtc.stats import STATS_EVERY_SECS

if TYPE_CHECKING:
    from runner.transports.webrtc.camera import BotCamera
    from runner.transports.webrtc.tracks import OutboundAudioTrack

logger = logging.getLogger(__name__)

PACING_DELAY_SECS = 0.010
"""Average time (s) that a chunk waits for the next packet: half of 20 ms."""


class SmallWebRTCInput(BaseInputTransport):
    """The caller's sound and messages."""

    def __init__(self, transport: SmallWebRTCTransport, params: TransportParams) -> None:
        super().__init__(params, name="SmallWebRTCInput")
        self._transport = transport
        self._connection = transport.connection

    async def started(self, frame: StartFrame) -> None:
        self._transport.exchange_pictures()
        if self.params.audio_in_enabled:
            self._connection.receive_audio(self.sample_rate, self._receive_pcm)
        self._connection.events.handler("app-message")(self._receive_message)
        await self._connection.connect()
        self.create_task(self._tell_stats(), "stats")

    async def _tell_stats(self) -> None:
        while True:
            await asyncio.sleep(STATS_EVERY_SECS)
            stats = self._connection.read_stats()
            if stats is not None and self._connection.is_connected():
                await self.push_frame(stats)

    def _receive_pcm(self, pcm: bytes) -> None:
        self.receive_audio(InputAudioRawFrame(pcm, self.sample_rate))

    async def _receive_message(self, _: SmallWebRTCConnection, message: Any) -> None:
        await self.push_frame(InputTransportMessageFrame(message))


class SmallWebRTCOutput(BaseOutputTransport):
    """The bot's sound and messages. The track sets the pace: `write_audio` returns when there is room."""

    carries_messages = True
    takes_back = False
    """A sent packet cannot be dropped by the peer."""

    def __init__(self, transport: SmallWebRTCTransport, params: TransportParams) -> None:
        super().__init__(params, name="SmallWebRTCOutput")
        self._transport = transport
        self._connection = transport.connection
        self._track: OutboundAudioTrack | None = None

    def wire_rate(self, asked: int) -> int:
        from runner.transports.webrtc.opus import nearest_rate

        return nearest_rate(asked)

    async def started(self, frame: StartFrame) -> None:
        if self.params.audio_out_enabled:
            from runner.transports.webrtc.tracks import OutboundAudioTrack

            self._track = OutboundAudioTrack(self.sample_rate)
            self._connection.send_audio(self._track)
        if not self._transport.has_input:
            self._transport.exchange_pictures()
            await self._connection.connect()

    async def write_audio(self, pcm: bytes) -> None:
        if self._track is not None:
            await self._track.write(pcm)

    def clear_audio(self) -> None:
        if self._track is not None:
            self._track.clear()

    def write_picture(self, picture: OutputImageRawFrame) -> None:
        if self._transport.camera is not None:
            self._transport.camera.show(picture)

    def playout_delay(self) -> float:
        return PACING_DELAY_SECS + self._connection.listener_delay()

    async def send_message(self, message: Any) -> None:
        try:
            self._connection.send_app_message(message)
        except ProtocolError as error:
            await self.push_error(str(error))

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._connection.disconnect()


class SmallWebRTCTransport(BaseTransport):
    """A browser, or another WebRTC peer.

    Events: `on_client_connected(transport, connection)` when the caller is connected and the pipeline runs,
    `on_client_disconnected(transport, connection)` exactly once after it, unless the call continues with the
    bot's new code, and `on_app_message(transport, message, connection)`.

    Args:
        webrtc_connection: from `runner_args.webrtc_connection`.
        params: what is carried; sample rates are 16000 Hz in and 24000 Hz out unless it says otherwise.
            Opus takes 8000, 16000, 24000 or 48000 Hz out; sound of another rate is resampled.
    """

    def __init__(self, webrtc_connection: SmallWebRTCConnection, params: TransportParams) -> None:
        super().__init__()
        self.connection = webrtc_connection
        self._params = params
        self._input: SmallWebRTCInput | None = None
        self._output: SmallWebRTCOutput | None = None
        self.camera: BotCamera | None = None
        self._port = current_port()
        self._port.disconnect = self._disconnect
        webrtc_connection.event_handler("connected")(self._connected)
        webrtc_connection.event_handler("disconnected")(self._disconnected)
        webrtc_connection.event_handler("app-message")(self._app_message)

    @property
    def has_input(self) -> bool:
        """Whether the bot uses `input()`, which then signals when the pipeline is ready."""
        return self._input is not None

    def input(self) -> SmallWebRTCInput:
        if self._input is None:
            self._input = SmallWebRTCInput(self, self._params)
        return self._input

    def output(self) -> SmallWebRTCOutput:
        if self._output is None:
            self._output = SmallWebRTCOutput(self, self._params)
        return self._output

    async def capture_participant_video(
        self, participant_id: str = "", framerate: int | None = None, video_source: str = "camera"
    ) -> None:
        """For compatibility with Daily: the caller's camera is received automatically with
        `video_in_enabled`."""
        if not self._params.video_in_enabled:
            raise UsageError(
                "cannot receive the caller's pictures: set video_in_enabled=True in TransportParams"
            )
        if "camera" not in (video_source, participant_id):
            logger.warning("the page shares only its camera, not its %s", video_source)

    async def capture_participant_audio(self, participant_id: str = "", audio_source: str = "") -> None:
        """For compatibility with Daily: the caller's sound is received automatically with
        `audio_in_enabled`."""

    def exchange_pictures(self) -> None:
        """Request pictures as set in `params`."""
        params = self._params
        if not (params.video_in_enabled or params.video_out_enabled):
            return
        from runner.transports.webrtc.camera import BotCamera

        if params.video_out_enabled:
            self.camera = BotCamera(
                params.video_out_width,
                params.video_out_height,
                params.video_out_bitrate,
                params.video_out_framerate,
            )
        wanted = self._input.receive_picture if self._input and params.video_in_enabled else None
        self.connection.exchange_pictures(PictureWishes(wanted, self.camera))

    async def _connected(self, connection: SmallWebRTCConnection) -> None:
        self._port.connected()
        self.events.emit("on_client_connected", connection)

    def _disconnect(self) -> bool:
        """botrun stops: emit `on_client_disconnected`; the caller stays connected until the bot has ended."""
        reported = self.connection.report_disconnected()
        return reported and self.events.has_handler("on_client_disconnected")

    async def _disconnected(self, connection: SmallWebRTCConnection) -> None:
        self.events.emit("on_client_disconnected", connection)

    async def _app_message(self, connection: SmallWebRTCConnection, message: Any) -> None:
        self.events.emit("on_app_message", message, connection)
