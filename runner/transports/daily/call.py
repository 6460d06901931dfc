"""One participant, on the event loop's side of the library.

Each call has a thread that calls the library in order, because some of its methods block; what the library
reports on its threads is passed to the event loop in order. The thread is a daemon: it ends with the call,
and the program may end before it.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from runner.errors import TransportError
from runner.transports.daily.library import Library, OnEvent, RoomClient

ECHO = "Error handling "
"""Prefix of an `on_error` that repeats a completion's error."""

_REASONS = (
    (
        re.compile(r"lookup address|RoomInfoFetchFailed|client error|Connect\b|timed? ?out", re.I),
        "cannot reach Daily from this machine: check the network and its firewall",
    ),
    (re.compile(r"exp-room|room .*expired|RoomExpired", re.I), "the room has expired"),
    (re.compile(r"exp-token|token .*expired", re.I), "the token has expired"),
    (re.compile(r"nbf", re.I), "the room or the token is not valid yet"),
    (
        re.compile(r"not-allowed|NotAllowed|InvalidToken|unauthori[sz]ed|token", re.I),
        "the token is not valid for this room",
    ),
    (
        re.compile(r"no-room|does not exist|RoomNotFound|not found", re.I),
        "the room does not exist (any more)",
    ),
    (re.compile(r"meeting-full|MeetingFull|is full", re.I), "the room is full"),
    (re.compile(r"parse url|InvalidUrl", re.I), "this is not the URL of a Daily room"),
    (re.compile(r"NotInACall|ChannelNotOpen", re.I), "the bot is not in the room (yet, or any more)"),
)
"""Only the first and the last two were observed; the others are from Daily's documentation."""

LONGEST = 160


def in_words(error: str) -> str:
    """The reason of an error, in plain words if it is known."""
    for pattern, sentence in _REASONS:
        if pattern.search(error):
            return sentence
    return "".join(c for c in error if c.isprintable())[:LONGEST]


logger = logging.getLogger(__name__)

JOIN_S = 10.0
"""The library's own timeout is 19 s."""

ASK_S = 10.0
LEAVE_S = 0.8
"""A pipeline's cleanup has 1 s; the thread continues leaving after that."""

LEFT_S = 5.0
"""Time (s) that the thread waits for the library to leave before it releases the client."""

Job = Callable[[RoomClient], None]


class DailyCall:
    """The bot as a participant of a room.

    Args:
        library: daily-python, or a fake.
        user_name: the bot's name in the room.
        on_event: called with the library's events, on the event loop and in order, until `leave`.
    """

    def __init__(self, library: Library, user_name: str, on_event: OnEvent) -> None:
        self._library = library
        self._user_name = user_name
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._ended = asyncio.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="daily call", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ requests

    async def join(
        self, url: str, token: str | None, settings: Mapping[str, Any], deadline_s: float = JOIN_S
    ) -> Mapping[str, Any]:
        """Join a room; returns its data.

        Raises:
            TransportError: joining failed; the message has the reason.
        """
        try:
            data = await self.ask("join", url, token, settings, deadline_s=deadline_s)
        except TimeoutError:
            raise TransportError(
                f"Could not join the Daily room {url} within {deadline_s:.0f} s: the network is slow, or a"
                " firewall blocks UDP and WebSockets"
            ) from None
        except TransportError as error:
            raise TransportError(f"Could not join the Daily room {url}: {error}") from None
        return data if isinstance(data, Mapping) else {}

    async def ask(self, what: str, *given: Any, deadline_s: float = ASK_S, **more: Any) -> Any:
        """Call one of the library's methods; returns its value, if any.

        Raises:
            TransportError: the request was refused.
            TimeoutError: there was no answer in time.
        """
        answered: asyncio.Future[Any] = self._loop.create_future()

        def completed(*result: Any) -> None:
            self.hand_over(_settle, answered, *result)

        def job(client: RoomClient) -> None:
            try:
                client.ask(what, *given, completion=completed, **more)
            except (RuntimeError, ValueError, TypeError) as error:  # released, or settings it cannot read
                completed(str(error))

        if self._closed:
            raise TransportError("the bot has left the room")
        self._jobs.put(job)
        async with asyncio.timeout(deadline_s):
            return await answered

    def hear(
        self, participant: str, sample_rate: int, on_sound: Callable[[bytes], None], source: str
    ) -> None:
        """Deliver a participant's sound on the event loop, in chunks of 20 ms."""

        def heard(pcm: bytes) -> None:
            self.hand_over(on_sound, pcm)

        self._jobs.put(lambda client: client.hear(participant, sample_rate, heard, source))

    def see(
        self,
        participant: str,
        on_picture: Callable[[bytes, int, int], None],
        source: str,
        every_s: float = 0.0,
    ) -> None:
        """Deliver a participant's pictures on the event loop: at most one per `every_s`, one at a time."""
        waiting = threading.Event()
        due = 0.0

        def arrived(rgb: bytes, width: int, height: int) -> None:
            waiting.clear()
            on_picture(rgb, width, height)

        def seen(rgb: bytes, width: int, height: int) -> None:
            nonlocal due
            now = time.monotonic()
            if now >= due and not waiting.is_set():
                due = max(due + every_s, now + every_s / 2)
                waiting.set()
                self.hand_over(arrived, rgb, width, height)

        self._jobs.put(lambda client: client.see(participant, seen, source))

    async def leave(self, timeout_s: float = LEAVE_S) -> bool:
        """Leave and stop events; returns whether that was done in time. The thread does the rest."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        try:
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
        except TimeoutError:
            logger.info("Daily has not left the room within %g s; it continues in the background", timeout_s)
            return False
        self._thread.join(timeout_s)
        return True

    # ------------------------------------------------------------ the two sides

    def hand_over(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function on the event loop, from any thread, unless the call is over."""

        def do() -> None:
            if not self._closed:
                function(*args)

        if self._closed:
            return
        try:
            self._loop.call_soon_threadsafe(do)
        except RuntimeError:
            logger.debug("an event of Daily came after the event loop was closed")

    def _forward(self, name: str, arguments: tuple[Any, ...]) -> None:
        # The completion has reported this error already.
        if name == "on_error" and arguments and str(arguments[0]).startswith(ECHO):
            logger.debug("Daily: %s", arguments[0])
            return
        self.hand_over(self._on_event, name, arguments)

    def _work(self) -> None:
        """The thread: runs the requests in order, then leaves."""
        try:
            client = self._library.client(self._user_name, self._forward)
            while (job := self._jobs.get()) is not None:
                self._do(job, client)
            self._leave(client)
        except Exception:  # the library's own code
            logger.exception("a call into daily-python failed")
        finally:
            self._closed = True
            try:
                self._loop.call_soon_threadsafe(self._ended.set)
            except RuntimeError:
                logger.debug("the event loop was closed before Daily had left")

    def _do(self, job: Job, client: RoomClient) -> None:
        try:
            job(client)
        except Exception:  # the library's own code
            logger.exception("a call into daily-python failed")

    def _leave(self, client: RoomClient) -> None:
        left = threading.Event()
        client.ask("leave", completion=lambda *_: left.set())
        left.wait(LEFT_S)
        client.release()


def _settle(answered: asyncio.Future[Any], *result: Any) -> None:
    """A completion's (error) or (value, error)."""
    if answered.done():
        return
    if error := result[-1]:
        answered.set_exception(TransportError(in_words(str(error))))
    else:
        answered.set_result(result[0] if len(result) > 1 else None)
