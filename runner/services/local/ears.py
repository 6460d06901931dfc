"""botrun's side of the local recogniser: gets sound, returns one recognised command.

Each concurrent speaker has a decoder in its own helper process, because pocketsphinx holds the GIL while it
decodes. One is started before the first call, and more, up to a limit, when several people speak at once.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from dataclasses import dataclass
from typing import TypeVar

from runner.errors import ServiceError
from runner.services.local.helpers import EARS_PACKAGE, Header, Message, require
from runner.services.local.helpers.process import HelperProcess, Shared

logger = logging.getLogger(__name__)

HELPER = "runner.services.local.ears_helper"
RATE_HZ = 16000
MAX_DECODERS = 4
BUSY_TIMEOUT_S = 3.0
DECODE_TIMEOUT_S = 10.0
LONGEST_S = 15.0
"""Maximum length (s) of a command; longer speech is refused and its decoder released."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """The result of an utterance.

    Attributes:
        text: the command; "" if the speech was refused.
        rejected: whether there was speech, but no command.
        score: log odds above the threshold; below 0 is refused.
        best: the most likely command, even if it was refused.
        murmur: whether short speech over the bot was only a murmur; None if that was not examined.
    """

    text: str
    rejected: bool
    score: float = 0.0
    best: str = ""
    murmur: bool | None = None


T = TypeVar("T")

NOTHING = Recognition("", rejected=True)


class _Decoder:
    """One helper process and the stream that it decodes."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self.stream: EarStream | None = None
        self.helper = HelperProcess(HELPER, "the ears", self._on_message, self._on_end)

    def _on_message(self, message: Message) -> None:
        if self.stream is not None and message.header.get("heard") == self.stream.number:
            self.stream.heard(message.header)

    def _on_end(self, sentence: str) -> None:
        logger.warning("%s; the next utterance starts another", sentence)
        self._ears.lost(self, sentence)


class EarStream:
    """One utterance. `feed` and `close` never block."""

    def __init__(self, ears: Ears, number: int, grammar: str, over_bot: bool, jsgf: bytes) -> None:
        self.number = number
        self._opening = {"begin": number, "grammar": grammar, "over_bot": over_bot}
        self._jsgf = jsgf
        self._ears = ears
        self._decoder: _Decoder | None = None
        self._early: list[bytes] = []
        self._bytes = 0
        self._too_long = False
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._result: asyncio.Future[Recognition] = asyncio.get_running_loop().create_future()

    def feed(self, pcm: bytes) -> None:
        """Add sound at 16 kHz; it is decoded as it comes."""
        self._bytes += len(pcm)
        if self._bytes > LONGEST_S * RATE_HZ * 2:
            self._too_long = True
            self.close()
        elif self._decoder is not None:
            self._decoder.helper.send({"feed": self.number}, pcm)
        else:
            self._early.append(pcm)

    async def finish(self) -> Recognition:
        """Finish the utterance and return its result. Raises `ServiceError` if all decoders stay busy or the
        helper dies."""
        try:
            if self._too_long:
                return NOTHING
            await _within(BUSY_TIMEOUT_S, self._ready, f"all {self._ears.size} local ears are busy")
            if self._decoder is not None:
                self._decoder.helper.send({"finish": self.number})
            return await _within(DECODE_TIMEOUT_S, self._result, "the local ears took too long")
        finally:
            self.close()

    def close(self) -> None:
        """Discard the utterance and release its decoder. Can be called twice."""
        self._early.clear()
        self._ears.release(self)
        for future in (self._ready, self._result):
            future.cancel()

    # ------------------------------------------------------------ the ears' side

    def begin(self, decoder: _Decoder) -> None:
        """Start decoding with this decoder, with all sound so far."""
        self._decoder = decoder
        decoder.stream = self
        decoder.helper.send(self._opening, self._jsgf)
        decoder.helper.send({"feed": self.number}, b"".join(self._early))
        self._early.clear()
        self._ready.set_result(None)

    def end(self) -> _Decoder | None:
        """Release the decoder and return it."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.stream = None
            if not self._result.done():
                decoder.helper.send({"abort": self.number})
        return decoder

    def heard(self, header: Header) -> None:
        """The helper has answered."""
        if self._result.done():
            return
        if error := header.get("error"):
            self.fail(ServiceError(str(error)))
        else:
            rejected, best = bool(header["rejected"]), str(header["text"])
            text = "" if rejected else best
            asks = header.get("asks")
            murmur = None if asks is None else asks < 0
            self._result.set_result(Recognition(text, rejected, float(header["score"]), best, murmur))

    def fail(self, error: ServiceError) -> None:
        """Fail: there is no decoder, or it was lost."""
        for future in (self._ready, self._result):
            if not future.done():
                future.set_exception(error)
                future.exception()  # mark as retrieved: callers that only feed do not await it


class Ears:
    """A bounded pool of decoders, for all sessions.

    Args:
        size: maximum number of concurrent speakers.
    """

    def __init__(self, size: int = MAX_DECODERS) -> None:
        require(EARS_PACKAGE, "the local ears")
        self.size = size
        self._numbers = itertools.count(1)
        self._decoders: set[_Decoder] = set()
        self._idle: list[_Decoder] = []
        self._waiting: deque[EarStream] = deque()
        self._growing: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def pids(self) -> list[int]:
        """The helpers' process ids."""
        return [decoder.helper.pid for decoder in self._decoders]

    async def start(self) -> None:
        """Start the first decoder. Raises `ServiceError` if it cannot be started."""
        decoder = _Decoder(self)
        await decoder.helper.start()
        self._decoders.add(decoder)
        self._free(decoder)

    async def stop(self) -> None:
        """Stop all helpers; waiting streams fail."""
        self._stopping = True
        for task in self._growing:
            task.cancel()
        await asyncio.gather(*self._growing, return_exceptions=True)
        decoders = list(self._decoders)
        for decoder in decoders:
            self.lost(decoder, "the ears were stopped")
        self._fail_waiting(ServiceError("the ears were stopped"))
        await asyncio.gather(*(decoder.helper.stop() for decoder in decoders))

    def open(self, grammar: str = "commands", *, over_bot: bool = False, jsgf: str = "") -> EarStream:
        """Begin an utterance; it gets a decoder as soon as one is free. `over_bot`: also decide whether it is
        a murmur. `jsgf`: the text of a custom grammar."""
        stream = EarStream(self, next(self._numbers), grammar, over_bot, jsgf.encode())
        if self._idle:
            stream.begin(self._idle.pop())
        else:
            self._waiting.append(stream)
            self._grow()
        return stream

    def release(self, stream: EarStream) -> None:
        """The stream no longer needs a decoder."""
        if stream in self._waiting:
            self._waiting.remove(stream)
        decoder = stream.end()
        if decoder is not None and decoder in self._decoders:
            self._free(decoder)

    def lost(self, decoder: _Decoder, sentence: str) -> None:
        """A helper has ended: its stream fails, others continue."""
        self._decoders.discard(decoder)
        if decoder in self._idle:
            self._idle.remove(decoder)
        if decoder.stream is not None:
            decoder.stream.fail(ServiceError(sentence))
        if self._waiting and not self._stopping:
            self._grow()

    def _free(self, decoder: _Decoder) -> None:
        if self._waiting:
            self._waiting.popleft().begin(decoder)
        else:
            self._idle.append(decoder)

    def _grow(self) -> None:
        if len(self._decoders) + len(self._growing) < self.size:
            task = asyncio.create_task(self._start_another(), name="the ears: another decoder")
            self._growing.add(task)
            task.add_done_callback(self._growing.discard)

    async def _start_another(self) -> None:
        try:
            await self.start()
        except ServiceError as error:
            if not self._decoders:
                self._fail_waiting(error)

    def _fail_waiting(self, error: ServiceError) -> None:
        while self._waiting:
            self._waiting.popleft().fail(error)


async def _within(seconds: float, future: asyncio.Future[T], otherwise: str) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(future)
    except TimeoutError:
        raise ServiceError(otherwise) from None


shared_ears: Shared[Ears] = Shared(Ears)
