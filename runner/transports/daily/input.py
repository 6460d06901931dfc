"""What the bot hears and sees in a room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.frames import InputAudioRawFrame, StartFrame, UserAudioRawFrame, UserImageRawFrame
from runner.transports.daily.params import DailyParams
from runner.transports.daily.voices import Voices
from runner.transports.input import BaseInputTransport

if TYPE_CHECKING:
    from runner.transports.daily.transport import DailyTransport


class DailyInput(BaseInputTransport):
    """Everybody's sound as one stream, and the pictures that were asked for."""

    def __init__(self, transport: DailyTransport, params: DailyParams) -> None:
        super().__init__(params, name="DailyInput")
        self._transport = transport
        self._voices = Voices()
        self._tells_who = params.audio_in_user_tracks

    async def started(self, frame: StartFrame) -> None:
        self.create_task(self._transport.join(self), "join")

    def hear(self, participant: str, pcm: bytes) -> None:
        """20 ms of a participant's sound."""
        heard = self._voices.hear(participant, pcm)
        if heard is None:
            return
        who, pcm = heard
        if self._tells_who:
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
        await self._transport.leave()
