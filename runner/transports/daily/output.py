"""The bot's sound, pictures and messages in a room."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from runner.errors import TransportError
from runner.frames import Frame, OutputImageRawFrame, StartFrame
from runner.transports.daily.client import Camera, Microphone
from runner.transports.daily.frames import DailySIPReferFrame, DailySIPTransferFrame
from runner.transports.daily.params import DailyParams
from runner.transports.output import BaseOutputTransport
from runner.transports.pictures import PictureError, PicturePacer, check_picture

if TYPE_CHECKING:
    from runner.transports.daily.transport import DailyTransport

CHUNKS_AHEAD = 2
"""Chunks (20 ms) that the library holds. It gives none back, so there are few; one alone would leave a gap
whenever the loop is late."""

LISTENER_DELAY_S = 0.08
"""From the microphone's clock to the listener's ear: the way through Daily's servers and a browser's buffer.
An assumption: the library does not tell."""

STUCK_S = 1.0
"""A microphone that has not taken its chunk after so long (s) will not tell any more."""


class DailyOutput(BaseOutputTransport):
    """The microphone's clock paces: `write_audio` returns when there is room."""

    carries_messages = True
    takes_back = False
    """What the library holds is heard."""

    def __init__(self, transport: DailyTransport, params: DailyParams) -> None:
        super().__init__(params, name="DailyOutput")
        self._transport = transport
        self._microphone: Microphone | None = None
        self._camera: Camera | None = None
        self._pictures = PicturePacer(params.video_out_framerate)
        self._room = asyncio.Semaphore(CHUNKS_AHEAD)

    async def started(self, frame: StartFrame) -> None:
        if not self._transport.has_input:
            self.create_task(self._transport.join(self), "join")

    def carry(self, microphone: Microphone | None, camera: Camera | None) -> None:
        """Where sound and pictures go from now on."""
        self._microphone, self._camera = microphone, camera

    # ------------------------------------------------------------ sound

    async def write_audio(self, pcm: bytes) -> None:
        await self._transport.joined.wait()
        if self._microphone is None:
            await asyncio.sleep(self.chunk_ms / 1000)
            return
        if self._room.locked():
            try:
                async with asyncio.timeout(STUCK_S):
                    await self._room.acquire()
            except TimeoutError:
                await self.push_error("Daily's microphone takes no sound any more")
                return
        else:
            await self._room.acquire()
        self._microphone.write(pcm, partial(self._transport.hand_over, self._taken))

    def _taken(self, samples: int) -> None:
        """On the loop: a chunk was played. One that was refused still takes its time, or we would spin."""
        if samples:
            self._room.release()
        else:
            asyncio.get_running_loop().call_later(self.chunk_ms / 1000, self._room.release)

    def playout_delay(self) -> float:
        return CHUNKS_AHEAD * self.chunk_ms / 1000 + LISTENER_DELAY_S

    # ------------------------------------------------------------ pictures

    def write_picture(self, picture: OutputImageRawFrame) -> None:
        check_picture(picture)
        size = (self.params.video_out_width, self.params.video_out_height)
        if picture.format != "RGB" or picture.size != size:
            raise PictureError(
                f"Daily's camera takes RGB pictures of {size[0]}x{size[1]}, as in video_out_width and"
                f" _height, not {picture.format} of {picture.size[0]}x{picture.size[1]}"
            )
        now = self.lent.clock()
        if self._camera is not None and self._pictures.wait_secs(now) == 0:
            self._pictures.sent(now)
            self._camera.write(picture.image)

    # ------------------------------------------------------------ messages and phones

    async def send_message(self, message: Any) -> None:
        try:
            await self._transport.send_message(message)
        except TransportError as error:
            await self.push_error(f"a message could not be sent: {error}")

    def dtmf_message(self, digit: str) -> Any:
        session = self._transport.phone_session
        return {"sessionId": session, "tones": digit} if session else None

    async def send_dtmf(self, message: Any) -> None:
        await self._do("send_dtmf", message)

    async def transfer_call(self, to: str) -> None:
        session = self._transport.phone_session
        if not session:
            await super().transfer_call(to)
        else:
            await self._do("sip_call_transfer", {"sessionId": session, "toEndPoint": to})

    async def _deliver(self, frame: Frame) -> None:
        match frame:
            case DailySIPTransferFrame(settings=settings):
                await self._do("sip_call_transfer", dict(settings))
            case DailySIPReferFrame(settings=settings):
                await self._do("sip_refer", dict(settings))
        await super()._deliver(frame)

    async def _do(self, what: str, settings: Any) -> None:
        try:
            await self._transport.ask(what, settings)
        except TransportError as error:
            await self.push_error(f"{what}: {error}")

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._transport.leave()
