"""The bot's input from and output to a Daily room."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from runner.errors import TransportError
from runner.frames import (
    ControlFrame,
    Frame,
    InputAudioRawFrame,
    OutputImageRawFrame,
    StartFrame,
    UserAudioRawFrame,
    UserImageRawFrame,
)
from runner.processors.base import FrameProcessor
from runner.transports.daily.library import Camera, Microphone, nearest_rate
from runner.transports.daily.params import DailyParams
from runner.transports.input import BaseInputTransport
from runner.transports.output import BaseOutputTransport
from runner.transports.pictures import PictureError, PicturePacer, check_picture
from runner.transports.session_port import current_port


class Room(Protocol):
    """The bot's room as seen by input and output; its transport implements it."""

    joined: asyncio.Event
    phone_session: str

    @property
    def has_input(self) -> bool:
        """Whether the bot uses `input()`, which then joins."""

    async def join(self, processor: FrameProcessor) -> None:
        """Join; a failure ends the call."""

    async def leave(self) -> None:
        """Leave; once."""

    async def ask(self, what: str, *given: Any, **more: Any) -> Any:
        """Call one of the library's methods. Raises `TransportError`."""

    async def send_message(self, message: Any) -> None:
        """Send a JSON value to the others' applications. Raises `TransportError`."""

    def hand_over(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function on the loop, from any thread."""


@dataclass(frozen=True, slots=True)
class DailySIPTransferFrame(ControlFrame):
    """Transfer a phone call to another room, SIP address or number (Daily's `sip_call_transfer`)."""

    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DailySIPReferFrame(ControlFrame):
    """Transfer a SIP call to an endpoint outside of Daily (Daily's `sip_refer`)."""

    settings: Mapping[str, Any] = field(default_factory=dict)


MOST_WAITING = 3
"""Maximum number of chunks (20 ms) of a participant that wait for the leader's. With more, this participant
becomes the leader, because the leader sends no sound."""


class Voices:
    """Mixes the participants' sound. Each chunk of one participant, the leader, is mixed with one of every
    other, so the leader sets the pace."""

    def __init__(self) -> None:
        self._leader = ""
        self._waiting: dict[str, deque[bytes]] = {}

    def hear(self, who: str, pcm: bytes) -> tuple[str, bytes] | None:
        """Add a participant's chunk; returns the loudest participant and the mix when one is due."""
        waiting = self._waiting.setdefault(who, deque())
        if not self._leader:
            self._leader = who
        if len(self._waiting) == 1:
            return who, pcm
        waiting.append(pcm)
        if who != self._leader:
            if len(waiting) <= MOST_WAITING:
                return None
            self._leader = who
        return self._sum()

    def forget(self, who: str) -> None:
        """Remove a participant who left."""
        self._waiting.pop(who, None)
        if self._leader == who:
            self._leader = next(iter(self._waiting), "")

    def _sum(self) -> tuple[str, bytes]:
        pieces = {who: queue.popleft() for who, queue in self._waiting.items() if queue}
        if len(pieces) == 1:
            return next(iter(pieces.items()))
        samples = {who: np.frombuffer(pcm, "<i2").astype(np.int32) for who, pcm in pieces.items()}
        total: npt.NDArray[np.int32] = np.zeros(max(map(len, samples.values())), np.int32)
        for piece in samples.values():
            total[: len(piece)] += piece
        loudest = max(samples, key=lambda who: int(np.abs(samples[who]).sum()))
        return loudest, np.clip(total, -32768, 32767).astype("<i2").tobytes()


class DailyInput(BaseInputTransport):
    """The sound of all participants mixed into one stream, and the requested pictures."""

    def __init__(self, room: Room, params: DailyParams) -> None:
        super().__init__(params, name="DailyInput")
        self._room = room
        self._voices = Voices()
        self._names_speaker = params.audio_in_user_tracks
        self._tape = current_port().tape

    @property
    def capture_rate(self) -> int:
        """The rate (Hz) at which the library delivers sound."""
        return nearest_rate(self.sample_rate)

    async def started(self, frame: StartFrame) -> None:
        self.create_task(self._room.join(self), "join")

    def hear(self, participant: str, pcm: bytes) -> None:
        """20 ms of a participant's sound."""
        heard = self._voices.hear(participant, pcm)
        if heard is None:
            return
        who, pcm = heard
        if self._tape is not None:
            self._tape.pcm(pcm, self.capture_rate, inbound=True)
        # `capture_rate` may differ from the pipeline's: the library does not take every rate.
        pcm = self._at_our_rate(InputAudioRawFrame(pcm, self.capture_rate)).audio
        if self._names_speaker:
            self.receive_audio(UserAudioRawFrame(pcm, self.sample_rate, user_id=who))
        else:
            self.receive_audio(InputAudioRawFrame(pcm, self.sample_rate))

    def see(self, participant: str, rgb: bytes, width: int, height: int) -> None:
        """A picture of a participant's camera."""
        self.receive_picture(UserImageRawFrame(rgb, (width, height), user_id=participant))

    def forget(self, participant: str) -> None:
        """A participant has left."""
        self._voices.forget(participant)

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._room.leave()


CHUNKS_AHEAD = 2
"""Chunks (20 ms) queued in the library. It cannot drop them, so there are few; with one, a late event loop
would leave a gap."""

LISTENER_DELAY_S = 0.08
"""Delay from the microphone to the listener, through Daily's servers and the browser's buffer. Assumed: the
library does not report it."""

STUCK_S = 1.0
"""A microphone that has not played its chunk after this time (s) counts as stuck."""


class DailyOutput(BaseOutputTransport):
    """Paced by the library's microphone: `write_audio` returns when there is room."""

    carries_messages = True
    takes_back = False
    """The library plays all that it has queued."""

    def __init__(self, room: Room, params: DailyParams) -> None:
        super().__init__(params, name="DailyOutput")
        self._room = room
        self._microphone: Microphone | None = None
        self._camera: Camera | None = None
        self._pictures = PicturePacer(params.video_out_framerate)
        self._space = asyncio.Semaphore(CHUNKS_AHEAD)
        self._tape = current_port().tape

    async def started(self, frame: StartFrame) -> None:
        if not self._room.has_input:
            self.create_task(self._room.join(self), "join")

    def carry(self, microphone: Microphone | None, camera: Camera | None) -> None:
        """Send sound and pictures to these from now on."""
        self._microphone, self._camera = microphone, camera

    # ------------------------------------------------------------ sound

    def wire_rate(self, asked: int) -> int:
        return nearest_rate(asked)

    async def write_audio(self, pcm: bytes) -> None:
        await self._room.joined.wait()
        if self._microphone is None:
            await asyncio.sleep(self.chunk_ms / 1000)
            return
        if self._space.locked():
            try:
                async with asyncio.timeout(STUCK_S):
                    await self._space.acquire()
            except TimeoutError:
                await self.push_error(
                    f"Daily's microphone has played nothing for {STUCK_S:g} s; sound was dropped"
                )
                return
        else:
            await self._space.acquire()
        self._microphone.write(pcm, partial(self._room.hand_over, self._taken))
        if self._tape is not None:
            self._tape.pcm(pcm, self.sample_rate, inbound=False)

    def _taken(self, samples: int) -> None:
        """On the loop: a chunk was played. Waits after a refused one (0 samples), to avoid a busy loop."""
        if samples:
            self._space.release()
        else:
            asyncio.get_running_loop().call_later(self.chunk_ms / 1000, self._space.release)

    def playout_delay(self) -> float:
        return CHUNKS_AHEAD * self.chunk_ms / 1000 + LISTENER_DELAY_S

    # ------------------------------------------------------------ pictures

    def write_picture(self, picture: OutputImageRawFrame) -> None:
        check_picture(picture)
        size = (self.params.video_out_width, self.params.video_out_height)
        if picture.format != "RGB" or picture.size != size:
            raise PictureError(
                f"Daily's camera takes RGB pictures of {size[0]}x{size[1]} (video_out_width, _height),"
                f" not {picture.format} of {picture.size[0]}x{picture.size[1]}"
            )
        now = self.processor_setup.clock()
        if self._camera is not None and self._pictures.wait_secs(now) == 0:
            self._pictures.sent(now)
            self._camera.write(picture.image)

    # ------------------------------------------------------------ messages and phones

    async def send_message(self, message: Any) -> None:
        try:
            await self._room.send_message(message)
        except TransportError as error:
            await self.push_error(f"Could not send a message to the room: {error}")

    def dtmf_message(self, digit: str) -> Any:
        session = self._room.phone_session
        return {"sessionId": session, "tones": digit} if session else None

    async def send_dtmf(self, message: Any) -> None:
        await self._do("send_dtmf", message)

    async def transfer_call(self, to: str) -> None:
        session = self._room.phone_session
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
            await self._room.ask(what, settings)
        except TransportError as error:
            await self.push_error(f"{what}: {error}")

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._room.leave()
