"""daily-python as it was seen to behave (runner/transports/daily/library.py), without Daily.

All that it tells comes on one foreign thread, in order, and some of it after a `leave`. A join takes
`join_s`, and `leave` waits for a join that goes on; errors come twice; a microphone takes sound at its real
rate.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runner.transports.daily.library import Completion, OnEvent, OnPicture, OnSound

NOT_IN_CALL = "(CallState(NotInACall))"
NO_NETWORK = (
    "Connection(Api(RoomLookup(RoomInfoFetchFailed(Get(hyper_util::client::legacy::Error(Connect, Custom { "
    'kind: Uncategorized, error: "failed to lookup address information: Temporary failure in name '
    'resolution" }))))))'
)
ECHO_S = 0.001


class FakeDaily:
    """The library and the world behind it: use it as a context manager, for its thread.

    Attributes:
        join_s: what a join takes.
        join_error: what it fails with.
        leave_s: what leaving takes.
        rate: 2.0 plays sound twice as fast as it should.
        clients: all that were made.
        rooms: who is in which room, by its address.
    """

    def __init__(self, *, join_s: float = 0.005, leave_s: float = 0.0, rate: float = 1.0) -> None:
        self.join_s, self.leave_s, self.rate = join_s, leave_s, rate
        self.join_error: str | None = None
        self.clients: list[FakeClient] = []
        self.rooms: dict[str, list[FakeClient]] = {}
        self.microphones: list[FakeMicrophone] = []
        self.cameras: list[FakeCamera] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._change = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="fake daily", daemon=False)

    def __enter__(self) -> FakeDaily:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._over = True
            self._change.notify()
        self._thread.join()

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """On the foreign thread."""
        with self._change:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._count), function))
            self._change.notify()

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._over and (not self._due or self._due[0][0] > time.monotonic()):
                    self._change.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._over:
                    return
                function = heapq.heappop(self._due)[2]
            function()

    # ------------------------------------------------------------ the library

    def client(self, user_name: str, on_event: OnEvent) -> FakeClient:
        client = FakeClient(self, user_name, on_event)
        self.clients.append(client)
        return client

    def microphone(self, sample_rate: int) -> FakeMicrophone:
        self.microphones.append(FakeMicrophone(self, sample_rate))
        return self.microphones[-1]

    def camera(self, width: int, height: int) -> FakeCamera:
        self.cameras.append(FakeCamera(width, height))
        return self.cameras[-1]

    # ------------------------------------------------------------ the people in the room

    def visit(self, url: str, who: str = "visitor-1") -> Visitor:
        """Somebody opens the room's address."""
        visitor = Visitor(self, url, who)
        visitor.tell("on_participant_joined", visitor.participant)
        return visitor

    def tell(self, url: str, name: str, *details: Any) -> None:
        """Something happens in a room."""
        for client in self.rooms.get(url, []):
            self.later(0, lambda client=client: client.on_event(name, details))  # type: ignore[misc]


@dataclass
class Visitor:
    """A person in a room."""

    daily: FakeDaily
    url: str
    who: str

    @property
    def participant(self) -> dict[str, Any]:
        return {"id": self.who, "info": {"isLocal": False, "userName": self.who}}

    def tell(self, name: str, *details: Any) -> None:
        self.daily.tell(self.url, name, *details)

    def speak(self, pcm: bytes) -> None:
        for client in self.daily.rooms[self.url]:
            if (on_sound := client.ears.get(self.who)) is not None:
                self.daily.later(0, lambda on_sound=on_sound: on_sound(pcm))  # type: ignore[misc]

    def show(self, rgb: bytes, width: int, height: int) -> None:
        for client in self.daily.rooms[self.url]:
            if (on_picture := client.eyes.get(self.who)) is not None:
                self.daily.later(0, lambda see=on_picture: see(rgb, width, height))  # type: ignore[misc]

    def say(self, message: Any) -> None:
        self.tell("on_app_message", message, self.who)

    def leave(self, reason: str = "leftCall") -> None:
        self.tell("on_participant_left", self.participant, reason)


@dataclass(eq=False)
class FakeClient:
    """One participant. `asked`: what was asked of it, but for joining and leaving."""

    daily: FakeDaily
    user_name: str
    on_event: OnEvent
    url: str = ""
    token: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    ears: dict[str, OnSound] = field(default_factory=dict)
    ear_rates: dict[str, int] = field(default_factory=dict)
    eyes: dict[str, OnPicture] = field(default_factory=dict)
    state: str = "new"
    released: bool = False
    joining: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.joining.set()

    def ask(self, what: str, *given: Any, completion: Completion, **more: Any) -> None:
        if self.released:
            raise RuntimeError("this object has already been released")
        if what == "join":
            self._join(*given, completion)
        elif what == "leave":
            self._leave(completion)
        elif self.state != "joined" and what != "update_subscription_profiles":
            error = "AppMessage(Signalling(ChannelNotOpen))" if what == "send_app_message" else NOT_IN_CALL
            self._refuse(what, error, completion)
        else:
            self.asked.append((what, given, more))
            value = (f"{what}-1", None) if what in ("start_dialout", "start_recording") else (None,)
            self.daily.later(0, lambda: completion(*value))

    def _refuse(self, what: str, error: str, completion: Completion, value: tuple[Any, ...] = ()) -> None:
        """To the completion, and once more as an event."""
        self.daily.later(0, lambda: completion(*value, error))
        self.daily.later(ECHO_S, lambda: self.on_event("on_error", (f"Error handling {what}: {error}",)))

    def _join(self, url: str, token: str | None, settings: dict[str, Any], completion: Completion) -> None:
        self.url, self.token, self.settings = url, token, settings
        self.state = "joining"
        self.joining.clear()

        def joined() -> None:
            self.joining.set()
            if (error := self.daily.join_error) is not None:
                self.state = "left"
                self.on_event("on_call_state_updated", ("leaving",))
                self.on_event("on_call_state_updated", ("left",))
                self._refuse("join", error, completion, (None,))
                return
            self.state = "joined"
            self.daily.rooms.setdefault(url, []).append(self)
            self.on_event("on_call_state_updated", ("joined",))
            local = {"id": "bot", "info": {"isLocal": True}}
            completion({"participants": {"local": local}}, None)

        self.daily.later(self.daily.join_s, joined)

    def _leave(self, completion: Completion) -> None:
        self.joining.wait()  # as the real one does

        def left() -> None:
            self.state = "left"
            if self in self.daily.rooms.get(self.url, []):
                self.daily.rooms[self.url].remove(self)
            completion(None)
            # What was on its way comes after the end as well.
            self.on_event("on_call_state_updated", ("left",))
            self.on_event("on_participant_joined", ({"id": "late", "info": {"isLocal": False}},))

        self.daily.later(self.daily.leave_s, left)

    def hear(self, participant: str, sample_rate: int, on_sound: OnSound, source: str) -> None:
        self.ear_rates[participant] = sample_rate
        self.ears[participant] = on_sound

    def see(self, participant: str, on_picture: OnPicture, source: str) -> None:
        self.eyes[participant] = on_picture

    def release(self) -> None:
        if self.released:
            raise RuntimeError("this object has already been released")
        self.released = True


class FakeMicrophone:
    """Takes sound at its real rate, a completion for each piece. `pcm`: all that was played."""

    def __init__(self, daily: FakeDaily, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.id = f"microphone-{id(self)}"
        self.pcm = b""
        self.played_at: list[float] = []
        self._daily = daily
        self._free_at = 0.0

    def write(self, pcm: bytes, completion: Callable[[int], None]) -> None:
        now, samples = time.monotonic(), len(pcm) // 2
        self._free_at = max(now, self._free_at) + samples / self.sample_rate / self._daily.rate

        def played() -> None:
            self.pcm += pcm
            self.played_at.append(time.monotonic())
            completion(samples)

        self._daily.later(self._free_at - now, played)


class FakeCamera:
    """Refuses what is not of its size, as the real one does."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self.id = f"camera-{id(self)}"
        self.shown: list[bytes] = []

    def write(self, rgb: bytes) -> None:
        if len(rgb) != self.size[0] * self.size[1] * 3:
            raise ValueError("frame size mismatch")
        self.shown.append(rgb)
