"""The base of voices that use one WebSocket with several contexts.

A context is a stream of speech with an id. An interruption abandons it, and later messages for it are
dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Iterable

from runner.errors import ServiceError, ServiceRefusal
from runner.frames import Frame, FrameDirection, StartFrame, TTSAudioRawFrame, TTSTextFrame
from runner.services.common.failures import push_failure
from runner.services.common.service_link import Message, ServiceLink
from runner.services.common.spoken_text import SpokenWords, Word
from runner.services.tts import TTSService, spread_words

logger = logging.getLogger(__name__)

SAMPLE_RATE_HZ = 24000
"""Sample rate if the transport specifies none."""

FIRST_SOUND_TIMEOUT_S = 8.0
SILENCE_TIMEOUT_S = 5.0
"""Timeouts (s) for the first audio of a sentence and for each further message."""

TRIES = 3
PAUSE_S = 0.5
"""Maximum number of requests of a sentence that has no audio yet, and the first pause (s); pauses double."""


class _ConnectionLost(ServiceError):
    """The connection ended; the sentence can be requested over another."""


class Utterance:
    """One sentence while it is spoken: the service's messages go in, `run_tts` reads frames."""

    def __init__(self, text: str, sample_rate: int) -> None:
        self.sound_ms = 0.0
        self._text = text
        self._rate = sample_rate
        self._words = SpokenWords(text)
        self._half = b""
        self._coming: asyncio.Queue[Frame | ServiceError | None] = asyncio.Queue()

    def sound(self, pcm: bytes) -> None:
        """Add audio; an odd byte waits for the second half of its sample."""
        pcm = self._half + pcm
        whole = len(pcm) - len(pcm) % 2
        self._half = pcm[whole:]
        if whole:
            self.sound_ms += whole * 500 / self._rate
            self._coming.put_nowait(TTSAudioRawFrame(pcm[:whole], self._rate))

    def said(self, word: str, offset_ms: float) -> None:
        """The voice says this word `offset_ms` after the sentence's beginning."""
        self._put(self._words.said(word, max(0.0, offset_ms)))

    def done(self) -> None:
        """End the sentence; words without a time are placed now."""
        if self._words.has_times:
            self._put(self._words.rest())
        else:
            for frame in spread_words(self._text):
                self._coming.put_nowait(frame)
        self._coming.put_nowait(None)

    def fail(self, error: ServiceError) -> None:
        """End the sentence with an error."""
        self._coming.put_nowait(error)

    async def next(self) -> Frame | None:
        """The next frame; None at the end. Raises what `fail` was given."""
        item = await self._coming.get()
        if isinstance(item, ServiceError):
            raise item
        return item

    def _put(self, words: Iterable[Word]) -> None:
        for word in words:
            self._coming.put_nowait(
                TTSTextFrame(word.text, audio_offset_ms=word.offset_ms, joined=word.joined)
            )


class StreamedTTSService(TTSService):
    """The base of voices behind a `ServiceLink`.

    Override `address`, `begin`, `take` and, where the service can stop on request, `abandon`.
    """

    gives_word_times = True

    def __init__(self, link: ServiceLink, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._link = link
        self._live: dict[str, Utterance] = {}
        self.sample_rate = SAMPLE_RATE_HZ

    # ------------------------------------------------------------ to override

    def address(self) -> str:
        """The address to connect to; `sample_rate` is known by now."""
        raise NotImplementedError(f"{type(self).__name__} does not override address")

    def begin(self, text: str) -> str:
        """Request a sentence; returns the id of its context."""
        raise NotImplementedError(f"{type(self).__name__} does not override begin")

    def abandon(self, context_id: str) -> None:
        """The rest of this context is not needed; stop it if the service can."""

    def nearest_rate(self, wanted_hz: int) -> int:
        """The rate to request for a transport that sends at `wanted_hz`."""
        return wanted_hz

    # ------------------------------------------------------------ speaking

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, StartFrame):
            self.sample_rate = self.nearest_rate(frame.audio_out_sample_rate or SAMPLE_RATE_HZ)
            self._link.open(self, self.address())
        await super().process_frame(frame, direction)

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        if not any(char.isalnum() for char in text):
            return  # dots and dashes have no audio: the service would send nothing
        for tries in range(1, TRIES + 1):
            heard = False
            try:
                await self._link.ready()
                async with contextlib.aclosing(self._utter(text)) as frames:
                    async for frame in frames:
                        heard = True
                        yield frame
                return
            except ServiceError as error:
                if heard or tries == TRIES or not _worth_another_try(error):
                    raise
                await asyncio.sleep(_pause_s(tries, error))

    async def _utter(self, text: str) -> AsyncGenerator[Frame, None]:
        context_id = self.begin(text)
        utterance = self._live[context_id] = Utterance(text, self.sample_rate)
        complete = False
        try:
            while (frame := await self._wait_for(utterance)) is not None:
                yield frame
            complete = True
        finally:
            del self._live[context_id]
            if not complete:
                self.abandon(context_id)

    async def _wait_for(self, utterance: Utterance) -> Frame | None:
        limit_s = SILENCE_TIMEOUT_S if utterance.sound_ms else FIRST_SOUND_TIMEOUT_S
        try:
            async with asyncio.timeout(limit_s):
                return await utterance.next()
        except TimeoutError:
            self._link.reset()
            raise ServiceError(f"{self._link.service} sent nothing for {limit_s:g} s") from None

    # ------------------------------------------------------------ the link's side

    def live(self, context_id: object) -> Utterance | None:
        """The sentence of this context; None if it ended or was interrupted."""
        return self._live.get(context_id) if isinstance(context_id, str) else None

    def fail(self, context_id: object, error: ServiceError) -> None:
        """Fail a context's sentence; without a context id, all of them."""
        if isinstance(context_id, str) and context_id:
            concerned = [utterance] if (utterance := self.live(context_id)) else []
        else:
            concerned = list(self._live.values())
        for utterance in concerned:
            utterance.fail(error)
        if not concerned:
            logger.info("%s: %s (about speech that has ended)", self.name, error)

    def on_trouble(self, error: ServiceError, was_open: bool) -> None:
        """Called by the link when the connection is lost or cannot be opened."""
        if self._live:
            lasting = isinstance(error, ServiceRefusal)
            self.fail(None, error if lasting else _ConnectionLost(str(error)))
        elif was_open and not isinstance(error, ServiceRefusal):
            logger.info("%s: %s; opening another", self.name, error)  # idle connections are closed
        else:
            self.create_task(push_failure(self, error), "trouble")

    def take(self, message: Message) -> None:
        """Called by the link with each message."""
        raise NotImplementedError(f"{type(self).__name__} does not override take")


def _worth_another_try(error: ServiceError) -> bool:
    return isinstance(error, _ConnectionLost) or (isinstance(error, ServiceRefusal) and not error.lasting)


def _pause_s(tries: int, error: ServiceError) -> float:
    if isinstance(error, _ConnectionLost):
        return 0.0
    wanted = error.retry_after_s if isinstance(error, ServiceRefusal) else None
    return min(wanted if wanted is not None else PAUSE_S * 2 ** (tries - 1), SILENCE_TIMEOUT_S)
