"""One participant's life, on the event loop's side of the library.

The library is spoken to by a thread of the call's own, in order, for some of its methods wait (client.py);
what it tells on its threads is handed to the loop in order. The thread is a daemon: it ends with the call,
and a program may end before it.
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
"""Start of an `on_error` that repeats the error of a completion."""

_REASONS = (
    (
        re.compile(r"lookup address|RoomInfoFetchFailed|client error|Connect\b|timed? ?out", re.I),
        "Daily cannot be reached from this machine: is there a network, and may it be used?",
    ),
    (re.compile(r"exp-room|room .*expired|RoomExpired", re.I), "the room has expired"),
    (re.compile(r"exp-token|token .*expired", re.I), "the token has expired"),
    (re.compile(r"nbf", re.I), "the room or the token is not valid yet"),
    (
        re.compile(r"not-allowed|NotAllowed|InvalidToken|unauthori[sz]ed|token", re.I),
        "the token does not fit",
    ),
    (re.compile(r"no-room|does not exist|RoomNotFound|not found", re.I), "there is no such room (any more)"),
    (re.compile(r"meeting-full|MeetingFull|is full", re.I), "the room is full"),
    (re.compile(r"parse url|InvalidUrl", re.I), "this is no address of a Daily room"),
    (re.compile(r"NotInACall|ChannelNotOpen", re.I), "the bot is not in the room (yet, or any more)"),
)
"""Only the first and the last two were seen (client.py); the others are words that Daily's pages use."""

LONGEST = 160


def in_words(error: str) -> str:
    """Why something failed."""
    for pattern, sentence in _REASONS:
        if pattern.search(error):
            return sentence
    return "".join(c for c in error if c.isprintable())[:LONGEST]


logger = logging.getLogger(__name__)

JOIN_S = 10.0
"""The library itself gives up after 19 s."""

ASK_S = 10.0
LEAVE_S = 0.8
"""A pipeline's cleanup is given 1 s; the thread goes on leaving after that."""

LEFT_S = 5.0
"""How long the thread waits (s) for the end of `leave` before it releases the client."""

Job = Callable[[RoomClient], None]


class DailyCall:
    """A participant.

    Args:
        library: daily-python, or a fake.
        user_name: what others read.
        on_event: hears the library's events, on the loop and in order; none after `leave`.
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

    # ------------------------------------------------------------ what may be asked

    async def join(
        self, url: str, token: str | None, settings: Mapping[str, Any], deadline_s: float = JOIN_S
    ) -> Mapping[str, Any]:
        """Join a room; returns Daily's description of it.

        Raises:
            TransportError: it cannot be joined; the sentence says why.
        """
        try:
            joined = await self.ask("join", url, token, settings, deadline_s=deadline_s)
        except TimeoutError:
            raise TransportError(
                f"the Daily room {url} could not be joined within {deadline_s:.0f} s: check that the network"
                " lets UDP and WebSockets through"
            ) from None
        except TransportError as error:
            raise TransportError(f"the Daily room {url} could not be joined: {error}") from None
        return joined if isinstance(joined, Mapping) else {}

    async def ask(self, what: str, *given: Any, deadline_s: float = ASK_S, **more: Any) -> Any:
        """Call one of the library's methods; returns its value, if it has one.

        Raises:
            TransportError: it was refused.
            TimeoutError: nothing was answered in time.
        """
        answered: asyncio.Future[Any] = self._loop.create_future()

        def completed(*values: Any) -> None:
            self.hand_over(_settle, answered, *values)

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
        """Bring a participant's sound to the loop, in pieces of 20 ms."""

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
        """Bring a participant's pictures to the loop, one in `every_s` seconds and one at a time at most."""
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
        """Leave, and hear no more; whether it was done in time. The thread sees to the rest."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        try:
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
        except TimeoutError:
            logger.info("Daily takes its time to leave the room; it goes on in the background")
            return False
        self._thread.join(timeout_s)
        return True

    # ------------------------------------------------------------ the two sides

    def hand_over(self, function: Callable[..., None], *args: Any) -> None:
        """Have something done on the loop, from any thread; nothing once the call is over."""

        def do() -> None:
            if not self._closed:
                function(*args)

        if self._closed:
            return
        try:
            self._loop.call_soon_threadsafe(do)
        except RuntimeError:
            logger.debug("the loop is closed: an event from Daily is dropped")

    def _report(self, name: str, values: tuple[Any, ...]) -> None:
        # A completion has reported this error already.
        if name == "on_error" and values and str(values[0]).startswith(ECHO):
            logger.debug("Daily: %s", values[0])
            return
        self.hand_over(self._on_event, name, values)

    def _work(self) -> None:
        """The thread: what is asked, in order; at the end it leaves."""
        try:
            client = self._library.client(self._user_name, self._report)
            while (job := self._jobs.get()) is not None:
                self._do(job, client)
            self._leave(client)
        except Exception:  # the boundary to the library
            logger.exception("Daily's library failed")
        finally:
            self._closed = True
            try:
                self._loop.call_soon_threadsafe(self._ended.set)
            except RuntimeError:
                logger.debug("the loop ended before Daily had left")

    def _do(self, job: Job, client: RoomClient) -> None:
        try:
            job(client)
        except Exception:  # the boundary to the library
            logger.exception("Daily's library failed")

    def _leave(self, client: RoomClient) -> None:
        left = threading.Event()
        client.ask("leave", completion=lambda *_: left.set())
        left.wait(LEFT_S)
        client.release()


def _settle(answered: asyncio.Future[Any], *values: Any) -> None:
    """A completion's (error) or (value, error)."""
    if answered.done():
        return
    if error := values[-1]:
        answered.set_exception(TransportError(in_words(str(error))))
    else:
        answered.set_result(values[0] if len(values) > 1 else None)
