"""daily-python itself, behind the protocol of client.py. Nothing is decided here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from runner.errors import MissingPackageError
from runner.transports.daily.client import EVENTS, Completion, Library, OnEvent, OnPicture, OnSound

INSTALL = "pip install 'botrun[daily]'"
INTERVAL_MS = 20
WORKERS = 2

_starting = threading.Lock()


def load_library() -> Library:
    """The library, initialised once in a process.

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
    """A custom source, which takes sound at its real rate; there may be many in a process."""

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
    """An `EventHandler` whose every method tells `on_event`."""
    import daily

    def telling(name: str) -> Callable[..., None]:
        def tell(_: Any, *told: Any) -> None:
            on_event(name, told)

        return tell

    methods = {name: telling(name) for name in EVENTS}
    return type("Handler", (daily.EventHandler,), dict(methods))()
