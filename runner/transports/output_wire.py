"""What an output asks of its wire: a transport's output overrides it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runner.frames import OutputImageRawFrame, StartFrame
from runner.processors.base import FrameProcessor

CHUNK_MS = 20


class OutputWire(FrameProcessor):
    """The wire's side of an output; most of it does nothing where a wire has no such thing."""

    chunk_ms = CHUNK_MS
    """Length (ms) of the chunks that `write_audio` gets."""

    takes_back = True
    """Whether `clear_audio` makes the peer drop what it has not played: a pause then takes it back."""

    carries_messages = False
    """Whether the peer's application can be sent messages: then it is spoken to in RTVI."""

    wire_hz: int | None = None
    """The rate (Hz) that the wire takes, whatever the pipeline's is; None: the pipeline's."""

    async def write_audio(self, pcm: bytes) -> None:
        """Send one chunk of pcm at `sample_rate`; return when there is room for the next."""
        raise NotImplementedError

    def try_write(self, take: Callable[[], bytes]) -> bool:
        """Send the chunk that `take` returns, if that needs no waiting and no task.

        False, without calling `take`, if it does: then `write_audio` is used.
        """
        return False

    def clear_audio(self) -> None:
        """Drop all sound that was written and is not yet played, here and at the peer."""

    def playout_delay(self) -> float:
        """Seconds from `write_audio` to the listener's ear."""
        return 0.0

    def write_picture(self, picture: OutputImageRawFrame) -> None:
        """Show a picture soon; never waits. Raises `PictureError`."""

    async def send_message(self, message: Any) -> None:
        """Send a JSON value to the peer's application."""

    async def transfer_call(self, to: str) -> None:
        """Hand the caller to another phone, now that the last word was heard."""
        await self.push_error("the caller cannot be handed on: this is no phone call")

    async def started(self, frame: StartFrame) -> None:
        """Sound may be written from now on."""

    async def utterance_written(self) -> None:
        """The last sound of an utterance has been written."""

    def dtmf_message(self, digit: str) -> Any:
        """The peer's message for a key, for `send_dtmf`; None where there is none: tones are sent."""
        return None

    async def send_dtmf(self, message: Any) -> None:
        """Send what `dtmf_message` made."""
