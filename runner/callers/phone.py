"""`Phone`: one call over a provider's media socket, as the provider would make it.

The caller's audio is sent on an absolute schedule, one message per `ptime_ms`. The bot's audio is played as
it arrives, and a mark is answered once the audio before it has been played. Times are seconds on the loop's
clock; positions in the caller's speech count from `started_at`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed

from runner.audio.resampler import Resampler
from runner.callers.connections import CLOSE_TIMEOUT_S, Socket, dial_network
from runner.callers.sound.bot_sound import Repeats, SoundFaults, SpeechDetector
from runner.callers.sound.line import DelayLine, Line, LineLuck, LineSound
from runner.callers.sound.microphone import Manner, Microphone, Utterance
from runner.callers.sound.playout import Cleared, Heard, MarkReached, Playout, PlayoutEvent
from runner.callers.wires import BotBad, BotClear, BotDTMF, BotMark, BotSound, Wire
from runner.errors import TransportError
from runner.transports.websocket.socket import MOVED


@dataclass(frozen=True, slots=True)
class Passed:
    """One message: time (s) since the start of the call, direction, and text."""

    at: float
    to_bot: bool
    text: str


@dataclass(slots=True)
class CallLog:
    """A log of a call; times are on the loop's clock (s).

    Attributes:
        late_s: how late each audio message was sent: the phone's own lag.
        lost: audio messages of the caller that the simulated line lost.
        violations: sentences about the bot's violations of the provider's rules.
        keys: the keys that the bot pressed.
        cleared: when the bot cleared the phone's queue, and how much audio was dropped.
        marks: marks that were answered, in order.
        messages: all messages, if they are kept.
        unplayed_s: audio (s) still queued when the bot hung up.
    """

    late_s: list[float] = field(default_factory=list)
    lost: int = 0
    violations: list[str] = field(default_factory=list)
    keys: str = ""
    cleared: list[Cleared] = field(default_factory=list)
    marks: list[MarkReached] = field(default_factory=list)
    messages: list[Passed] = field(default_factory=list)
    unplayed_s: float = 0.0


KEY_S = 0.15
"""Time (s) from one key to the next."""


class Phone:
    """A phone that calls a bot.

    ```python
    async with Phone("ws://127.0.0.1:7860/ws", wire_for("twilio")) as phone:
        await phone.until(phone.bot_has_spoken, 10)
        phone.say(pcm, 16000, "what time is it")
    ```

    Args:
        url: URL of the media socket.
        wire: the provider's side of the connection, new for this call.
        line: the quality of the line.
        keep_messages: whether to fill `log.messages`.
        connect: how to connect to the bot; None: over the network.

    Attributes:
        started_at: when the stream started.
        ended: set when the call is over.
        ended_at: when the call ended.
        ended_by: "bot", "caller", or "" during the call.
        close: the bot's close code and reason.
        microphone: the caller's speech.
        speech: when the bot was heard.
        repeats: audio that the bot sent twice.
        faults: holes, doubled messages and front-loading in the bot's audio.
        playout: what was heard, to the sample.
        log: the call's log.
    """

    def __init__(
        self,
        url: str,
        wire: Wire,
        *,
        line: Line | None = None,
        keep_messages: bool = False,
        connect: Callable[[str], Awaitable[Any]] | None = None,
    ) -> None:
        self.url = url
        self.wire = wire
        self.line = line or Line()
        self.started_at = 0.0
        self.ended = asyncio.Event()
        self.ended_at: float | None = None
        self.ended_by = ""
        self.close: tuple[int | None, str] = (None, "")
        self.microphone = Microphone()
        self.speech = SpeechDetector(wire.sample_rate)
        self.repeats = Repeats(wire.sample_rate)
        self.faults = SoundFaults(wire.sample_rate)
        self.log = CallLog()
        self._keep_messages = keep_messages
        self._connect = connect or dial_network
        self._sound = LineSound(self.line, wire.sample_rate, wire.media_format.encoding)
        self._luck = LineLuck(self.line)
        self._luck_back = LineLuck(replace(self.line, seed=self.line.seed + 1))
        self._out: DelayLine[str | bytes] = DelayLine(self._send, in_order=wire.provider != "telnyx")
        self._in: DelayLine[str | bytes] = DelayLine(self._receive)
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    # ------------------------------------------------------------ the call

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._socket: Socket = await self._connect(self.url)
        for message in self.wire.opening():
            await self._send(message)
        self.started_at = self.now
        self.playout = Playout(self.wire.sample_rate, self.started_at)
        work = (self._out.run, self._in.run, self._speak, self._play, self._read)
        self._tasks = [asyncio.create_task(part(), name=f"phone {part.__name__}") for part in work]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.hang_up()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        failures = [r for r in results if isinstance(r, Exception)]
        if failures and error is None:
            raise failures[0]

    @property
    def now(self) -> float:
        """Seconds on the loop's clock."""
        return self._loop.time()

    @property
    def sample_rate(self) -> int:
        return self.wire.sample_rate

    def say(self, pcm: bytes, sample_rate: int, text: str = "", manner: Manner = Manner.TURN) -> Utterance:
        """Say this, after what is being said."""
        if sample_rate != self.sample_rate:
            resampler = Resampler(sample_rate, self.sample_rate)
            pcm = resampler.process(pcm) + resampler.flush()
        return self.microphone.say(Utterance(text, pcm, manner))

    async def press(self, keys: str) -> None:
        """Press these keys, one after the other."""
        for key in keys:
            if self.ended.is_set():
                return
            self._out.put(self.wire.dtmf(key))
            await asyncio.sleep(KEY_S)

    async def until(self, met: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `met()`; False if the time is up or the call is over before that."""
        end = self.now + timeout_s
        while not met():
            if self.ended.is_set() or self.now >= end:
                return False
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(end):
                    await self._changed.wait()
        return True

    async def hang_up(self) -> None:
        """End the call at once, even in the middle of a word."""
        if self.ended_by:
            return
        self._over("caller")
        self.microphone.hush()
        stop = self.wire.stop()
        if stop is not None:
            self._out.put(stop)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._out.drained()
        await self._socket.close()

    # ------------------------------------------------------------ the bot's speech

    def bot_has_spoken(self) -> bool:
        """Whether the bot has been heard yet."""
        return bool(self.speech.spans)

    def bot_quiet_s(self) -> float:
        """How long (s) the bot has been silent; since the start of the call if it has not spoken yet."""
        return self.now - (self.speech.last_sound_at or self.started_at)

    # ------------------------------------------------------------ to the bot

    async def _speak(self) -> None:
        """Send the caller's audio in real time; a late message does not delay the next one."""
        samples = self.sample_rate * self.wire.ptime_ms // 1000
        due = self.started_at
        while not self.ended.is_set():
            due += self.wire.ptime_ms / 1000
            await asyncio.sleep(max(0.0, due - self.now))
            self.log.late_s.append(self.now - due)
            message = self.wire.media(self._sound.worsen(self.microphone.take(samples)), time.time())
            if self._luck.loses():
                self.log.lost += 1
            else:
                self._out.put(message, due + self._luck.delay_s(due))
            self._note(self.playout.advance(self.now))
            self._changed.set()

    async def _send(self, message: str | bytes) -> None:
        if self._keep_messages:
            self.log.messages.append(Passed(self._since(), True, _as_text(message)))
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(message)

    def _since(self) -> float:
        return self.now - self.started_at if self.started_at else 0.0

    # ------------------------------------------------------------ from the bot

    async def _read(self) -> None:
        await self._read_socket()
        while self._socket.close_code == MOVED and not self.ended_by and await self._come_again():
            await self._read_socket()
        await self._in.drained()
        self.close = self._socket.close_code, self._socket.close_reason or ""
        self._over("bot")

    async def _read_socket(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in self._socket:
                if self.line.jitter_ms:
                    self._in.put(message, self.now + self._luck_back.delay_s(self.now))
                else:
                    await self._receive(message)

    async def _come_again(self) -> bool:
        """Reconnect to the bot's new code."""
        wire = self.wire.again()
        try:
            socket: Socket = await self._connect(wire.address_again(self.url))
            for message in wire.opening():
                await socket.send(message)
        except (TransportError, ConnectionClosed):
            return False
        self.wire, self._socket = wire, socket
        return True

    async def _receive(self, message: str | bytes) -> None:
        if self._keep_messages:
            self.log.messages.append(Passed(self._since(), False, _as_text(message)))
        if self.ended_by:
            return
        for event in self.wire.receive(message):
            self._take(event)
        self._wake.set()
        self._changed.set()

    def _take(self, event: Any) -> None:
        now = self.now
        match event:
            case BotSound(pcm=pcm):
                self.repeats.feed(pcm)
                self._note(self.playout.add(pcm, now))
                self.faults.sent(pcm, self.playout.quiet_at - now)
            case BotMark(name=name):
                self._note(self.playout.mark(name, now))
            case BotClear():
                self._note(self.playout.clear(now))
                self.repeats.forget()
                if (acknowledgement := self.wire.cleared()) is not None:
                    self._out.put(acknowledgement)
            case BotDTMF(digits=digits):
                self.log.keys += digits
            case BotBad(reason=reason):
                self.log.violations.append(reason)

    async def _play(self) -> None:
        """Answer each mark once the audio before it has been played."""
        while True:
            due = self.playout.next_event_at
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            self._note(self.playout.advance(self.now))

    def _note(self, events: Iterable[PlayoutEvent]) -> None:
        for event in events:
            match event:
                case Heard(at=at, pcm=pcm):
                    self.speech.hear(at, pcm)
                    self.faults.heard(at, pcm)
                case Cleared():
                    self.log.cleared.append(event)
                    self.faults.cleared()
                case MarkReached(name=name):
                    self.log.marks.append(event)
                    if not self.line.lose_marks:
                        self._out.put(self.wire.mark_reached(name))

    def _over(self, who: str) -> None:
        if self.ended_by:
            return
        now = self.now
        self._note(self.playout.advance(now))
        self.ended_by, self.ended_at = who, now
        if who == "bot":
            self.log.unplayed_s = round(max(0.0, self.playout.quiet_at - now), 6)
        self.ended.set()
        self._changed.set()


def _as_text(message: str | bytes) -> str:
    return message if isinstance(message, str) else f"({len(message)} bytes)"
