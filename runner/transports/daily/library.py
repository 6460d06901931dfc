"""daily-python behind a Protocol that tests can fake. No decisions are made here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

from runner.errors import MissingPackageError

OnEvent = Callable[[str, tuple[Any, ...]], None]
"""The library's name of an event, and its arguments. Called in order, on the library's thread."""

OnSound = Callable[[bytes], None]
"""20 ms of pcm. Called on the library's thread."""

OnPicture = Callable[[bytes, int, int], None]
"""RGB, width and height. Called on the library's thread."""

Completion = Callable[..., None]
"""(error) or (value, error), error being None or a text. Called on the library's thread."""


class RoomClient(Protocol):
    """One participant."""

    def ask(self, what: str, *given: Any, completion: Completion, **more: Any) -> None:
        """Call one of the library's methods that have a completion. `leave` may wait, up to 19 s."""

    def hear(self, participant: str, sample_rate: int, on_sound: OnSound, source: str) -> None:
        """Deliver a participant's sound at this rate (Hz)."""

    def see(self, participant: str, on_picture: OnPicture, source: str) -> None:
        """Deliver a participant's pictures."""

    def release(self) -> None:
        """Free the client's resources; called once."""


class Microphone(Protocol):
    """Takes the bot's sound. `id` names it in the settings of a join."""

    @property
    def id(self) -> str: ...

    def write(self, pcm: bytes, completion: Callable[[int], None]) -> None:
        """Play sound; the completion is called when it was played, with the number of samples."""


class Camera(Protocol):
    """Takes the bot's pictures."""

    @property
    def id(self) -> str: ...

    def write(self, rgb: bytes) -> None:
        """Show a picture of the camera's size."""


class Library(Protocol):
    """daily-python, or a fake."""

    def client(self, user_name: str, on_event: OnEvent) -> RoomClient:
        """A new participant, not joined yet."""

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
"""The library's events that are passed on."""


SAMPLE_RATES = (8000, 16000, 24000, 32000, 44100, 48000)
"""Sample rates (Hz) for the library: WebRTC uses chunks of 10 ms, which at 11025 or 22050 Hz would not be a
whole number of samples."""


def nearest_rate(sample_rate: int) -> int:
    """The lowest of `SAMPLE_RATES` that is at least this rate, or the highest."""
    return next((rate for rate in SAMPLE_RATES if rate >= sample_rate), SAMPLE_RATES[-1])


INSTALL = "pip install 'botrun[daily]'"
INTERVAL_MS = 20
WORKERS = 2

_starting = threading.Lock()


def load_library() -> Library:
    """The library, initialised once per process.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import daily  # noqa: F401
    except ImportError:
        raise MissingPackageError("Daily", "daily-python", INSTALL) from None
    with _starting:
        return _initialised()


@cache
def _initialised() -> Library:
    import daily

    daily.Daily.init(worker_threads=WORKERS)
    return DailyLibrary()


class DailyLibrary:
    """daily-python."""

    def client(self, user_name: str, on_event: OnEvent) -> DailyClient:
        return DailyClient(user_name, on_event)

    def microphone(self, sample_rate: int) -> DailyMicrophone:
        return DailyMicrophone(sample_rate)

    def camera(self, width: int, height: int) -> DailyCamera:
        return DailyCamera(width, height)


class DailyClient:
    """One `CallClient`."""

    def __init__(self, user_name: str, on_event: OnEvent) -> None:
        import daily

        self._client = daily.CallClient(event_handler=_event_handler(on_event))
        self._client.set_user_name(user_name)

    def ask(self, what: str, *given: Any, completion: Completion, **more: Any) -> None:
        getattr(self._client, what)(*given, completion=completion, **more)

    def hear(self, participant: str, sample_rate: int, on_sound: OnSound, source: str) -> None:
        def heard(_: str, data: Any, __: str) -> None:
            on_sound(data.audio_frames)

        self._client.set_audio_renderer(
            participant, heard, audio_source=source, sample_rate=sample_rate, callback_interval_ms=INTERVAL_MS
        )

    def see(self, participant: str, on_picture: OnPicture, source: str) -> None:
        def seen(_: str, frame: Any, __: str) -> None:
            on_picture(frame.buffer, frame.width, frame.height)

        self._client.set_video_renderer(participant, seen, video_source=source, color_format="RGB")

    def release(self) -> None:
        self._client.release()


class DailyMicrophone:
    """A custom source. It plays in real time; a process may have many."""

    def __init__(self, sample_rate: int) -> None:
        import daily

        self._source = daily.CustomAudioSource(sample_rate, 1)
        self._track = daily.CustomAudioTrack(self._source)

    @property
    def id(self) -> str:
        return self._track.id

    def write(self, pcm: bytes, completion: Callable[[int], None]) -> None:
        self._source.write_frames(pcm, completion=completion)


class DailyCamera:
    """A custom source of pictures."""

    def __init__(self, width: int, height: int) -> None:
        import daily

        self._source = daily.CustomVideoSource(width, height, "RGB")
        self._track = daily.CustomVideoTrack(self._source)

    @property
    def id(self) -> str:
        return self._track.id

    def write(self, rgb: bytes) -> None:
        self._source.write_frame(rgb)


def _event_handler(on_event: OnEvent) -> Any:
    """An `EventHandler` whose methods all call `on_event`."""
    import daily

    def forward(name: str) -> Callable[..., None]:
        def method(_: Any, *arguments: Any) -> None:
            on_event(name, arguments)

        return method

    methods = {name: forward(name) for name in EVENTS}
    return type("Handler", (daily.EventHandler,), dict(methods))()
