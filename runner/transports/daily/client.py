"""What we ask of Daily's client library: narrow, so that a fake can behave as it was seen to.

All callbacks come on a thread of the library's. What was seen of daily-python 0.36.0, without a network:

* A join that fails takes 19 s. Meanwhile `leave`, and every getter, wait for it; what has a completion does
  not. So nothing of a client but `ask` may be called on the loop, and getters not at all.
* An error comes twice: to the completion, and 1 ms later as `on_error` ("Error handling join: …").
* A virtual microphone exists once in a process, and takes nothing (0 frames, at once) until its call has
  begun. A custom source takes sound at its real rate from the beginning, and there may be many.
* After `release` every method raises `RuntimeError`; a process may end while a join goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

OnEvent = Callable[[str, tuple[Any, ...]], None]
"""An event's name, as the library has it, and what it tells. Called on a foreign thread, in order."""

OnSound = Callable[[bytes], None]
"""20 ms of pcm. Called on a foreign thread."""

OnPicture = Callable[[bytes, int, int], None]
"""RGB, width and height. Called on a foreign thread."""

Completion = Callable[..., None]
"""(error) or (value, error), error being None or a text. Called on a foreign thread."""


class RoomClient(Protocol):
    """One participant."""

    def ask(self, what: str, *given: Any, completion: Completion, **more: Any) -> None:
        """Call one of the library's methods that have a completion. `leave` may wait, up to 19 s."""

    def hear(self, participant: str, sample_rate: int, on_sound: OnSound, source: str) -> None:
        """Bring a participant's sound."""

    def see(self, participant: str, on_picture: OnPicture, source: str) -> None:
        """Bring a participant's pictures."""

    def release(self) -> None:
        """Let go of everything; once."""


class Microphone(Protocol):
    """The bot's sound on its way out. `id` names it in the settings of a join."""

    @property
    def id(self) -> str: ...

    def write(self, pcm: bytes, completion: Callable[[int], None]) -> None:
        """Take sound; the completion comes when it was played, with the samples taken."""


class Camera(Protocol):
    """The bot's pictures on their way out."""

    @property
    def id(self) -> str: ...

    def write(self, rgb: bytes) -> None:
        """Show a picture of the camera's size."""


class Library(Protocol):
    """daily-python, or a fake."""

    def client(self, user_name: str, on_event: OnEvent) -> RoomClient:
        """A participant who has not joined yet."""

    def microphone(self, sample_rate: int) -> Microphone:
        """A microphone of this rate (Hz), mono."""

    def camera(self, width: int, height: int) -> Camera:
        """A camera of this size (pixels), RGB."""


EVENTS = (
    "on_active_speaker_changed", "on_app_message", "on_call_state_updated", "on_dialin_connected",
    "on_dialin_error", "on_dialin_ready", "on_dialin_stopped", "on_dialin_warning", "on_dialout_answered",
    "on_dialout_connected", "on_dialout_error", "on_dialout_stopped", "on_dialout_warning", "on_dtmf_event",
    "on_error", "on_network_connection_status_updated", "on_participant_joined", "on_participant_left",
    "on_participant_updated", "on_recording_error", "on_recording_started", "on_recording_stopped",
    "on_transcription_error", "on_transcription_message", "on_transcription_started",
    "on_transcription_stopped",
)  # fmt: skip
"""The library's events that we hear."""
