"""Deepgram's streaming recognition: sends audio continuously, receives words while they are spoken.

Wire, read from PyPI's `deepgram-sdk` 7.17.0:

* `environment.py`, `listen/v1/client.py`: `wss://api.deepgram.com/v1/listen?model=…&encoding=linear16&…`;
  `core/client_wrapper.py`: `Authorization: Token KEY`.
* `listen/v1/types/listen_v1finalize_type.py` and its siblings: `{"type": "Finalize" | "KeepAlive" |
  "CloseStream"}`; audio is sent as bytes.
* `listen/v1/types/listen_v1results*.py`: `Results` with `start`, `duration` (s), `is_final`, `speech_final`,
  `from_finalize`, and in `channel.alternatives[0]` the `transcript`, `confidence`, `words`;
  `listen_v1error.py`: `Error` with a `description`.

From its documentation: a stream without audio or KeepAlive is closed after 10 s; an answer to Finalize "is
not guaranteed" when there is little left to recognise. Unconfirmed without an account: all of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from runner.errors import ServiceError, ServiceRefusal
from runner.frames import (
    Frame,
    FrameDirection,
    HeardWord,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    MetricsFrame,
    StartFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.base import ProcessorSetup
from runner.services.common.failures import push_failure
from runner.services.common.service_link import Message, ServiceLink
from runner.services.stt import STTService
from runner.settings import credentials as keys
from runner.turns.segments import join_texts

URL = "wss://api.deepgram.com/v1/listen"
MODEL = "nova-3"
KEY = "DEEPGRAM_API_KEY"
SAMPLE_RATE_HZ = 16000

ENDPOINTING_MS = 300
KEEP_ALIVE_S = 4.0
FINAL_TIMEOUT_S = 2.0
PATIENCE = 3
"""Time (s) to wait for the last words of a turn, and how often to wait while there is no connection."""

COVERED_S = 0.1
"""Tolerance (s): an answer to Finalize covers the audio up to where it ended when Finalize was sent."""


class DeepgramSTTService(STTService):
    """Recognises speech with Deepgram while the caller speaks.

    `InterimTranscriptionFrame`s hold the turn's words so far. When the VAD detects the end of speech, botrun
    requests the rest at once, and one `TranscriptionFrame` holds all words, each with its time; its text is
    empty if there were none. Speech that the VAD misses is reported when Deepgram detects its end.

    Args:
        api_key: the key; default `DEEPGRAM_API_KEY`.
        model: the model's name.
        language: such as "en", "de", or "multi".
        keyterms: names and words to expect.
        options: more query parameters of the connection, passed on unchanged.
        url: the address of another server with the same protocol.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        model: str = MODEL,
        language: str | None = "en",
        keyterms: Sequence[str] = (),
        options: dict[str, str] | None = None,
        url: str = URL,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        key = keys.need(KEY, api_key, type(self).__name__)
        self._url = url
        self._query = {"model": model, **({"language": language} if language else {})}
        self._options = dict(options or {})
        self._keyterms = tuple(keyterms)
        self._stream = HeardStream(SAMPLE_RATE_HZ)
        self._link = ServiceLink(
            "Deepgram",
            KEY,
            headers={"Authorization": f"Token {key}"},
            on_message=self._take,
            on_open=self._resume,
            on_trouble=self._on_trouble,
            goodbye={"type": "CloseStream"},
        )
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._speaking = False
        self._stopped_at: float | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._patience = 0
        self._answered = False
        self._asked = 0
        self._asked_until_s = 0.0
        self._sent_at = 0.0

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        self.create_task(self._push_frames(), "push")
        self.create_task(self._keep_alive(), "keep alive")

    async def cleanup(self) -> None:
        self._disarm()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, StartFrame):
            self._stream = HeardStream(frame.audio_in_sample_rate or SAMPLE_RATE_HZ)
            self._link.open(self, self._address())
        await super().process_frame(frame, direction)

    def _address(self) -> str:
        query = {
            **self._query,
            "encoding": "linear16",
            "sample_rate": str(self._stream.sample_rate),
            "channels": "1",
            "interim_results": "true",
            "endpointing": str(ENDPOINTING_MS),
            "smart_format": "true",
            **self._options,
        }
        terms = [("keyterm", term) for term in self._keyterms]
        return f"{self._url}?{urlencode([*query.items(), *terms])}"

    # ------------------------------------------------------------ events of the caller

    def hear(self, frame: InputAudioRawFrame) -> None:
        now = self.processor_setup.clock()
        self._stream.add(frame.audio, now)
        if self._link.send(frame.audio):
            self._sent_at = now

    def speech_started(self, frame: UserStartedSpeakingFrame) -> None:
        # If the last words of a turn are still pending, that turn continues.
        self._disarm()
        self._stopped_at = None
        self._speaking = True

    def speech_ended(self, frame: UserStoppedSpeakingFrame) -> None:
        self._speaking = False
        self._stopped_at = self.processor_setup.clock()
        if refused := self._link.refused():
            self._push_trouble(refused)
            self._conclude()
            return
        if self._stream.is_final_until(self._stopped_at - frame.at):
            self._conclude()
            return
        self._patience = PATIENCE
        self._finalize()

    # ------------------------------------------------------------ messages of Deepgram

    def _take(self, message: Message) -> None:
        match message.get("type"):
            case "Results":
                self._take_results(message)
            case "Error":
                text = message.get("description") or message.get("message") or "no reason given"
                self._push_trouble(ServiceError(f"Deepgram failed: {text}"))

    def _take_results(self, message: Message) -> None:
        self._answered = True
        best = (message["channel"]["alternatives"] or [{}])[0]
        piece = Piece(
            text=str(best.get("transcript") or ""),
            confidence=best.get("confidence"),
            words=tuple(self._heard_word(word) for word in best.get("words") or ()),
        )
        end_s = float(message["start"]) + float(message["duration"])
        if message.get("is_final"):
            self._stream.finish(piece, end_s)
        else:
            self._stream.interim = piece.text
        answered = bool(message.get("from_finalize")) and self._is_last_answer(end_s)
        # If the VAD missed the turn, Deepgram's own end of speech ends it.
        ended = answered or bool(message.get("speech_final"))
        silent = not self._speaking and self._stopped_at is None
        if (answered and self._stopped_at is not None) or (silent and ended and self._stream.text):
            self._conclude()
        elif piece.text:
            self._frames.put_nowait(InterimTranscriptionFrame(self._stream.text))

    def _is_last_answer(self, end_s: float) -> bool:
        """Whether this answers the last Finalize, not one of a turn that continued. Some get no answer."""
        self._asked = max(0, self._asked - 1)
        return self._asked == 0 or end_s >= self._asked_until_s - COVERED_S

    def _heard_word(self, word: Message) -> HeardWord:
        return HeardWord(
            str(word.get("punctuated_word") or word["word"]),
            self._stream.clock_at(float(word["start"])),
            self._stream.clock_at(float(word["end"])),
            word.get("confidence"),
        )

    # ------------------------------------------------------------ the end of a turn

    def _conclude(self) -> None:
        """End the turn with the words received so far."""
        self._disarm()
        if self._stopped_at is not None:
            waited_ms = (self.processor_setup.clock() - self._stopped_at) * 1000
            self._frames.put_nowait(MetricsFrame("ttfb", self.name, waited_ms))
        self._stopped_at = None
        self._frames.put_nowait(self._stream.take_turn())

    def _finalize(self) -> None:
        """Request the rest of the turn's words: now, or when the connection is open again."""
        self._answered = False
        if self._link.send({"type": "Finalize"}):
            self._asked += 1
            self._asked_until_s = self._stream.end_s
        self._disarm()
        self._deadline = asyncio.get_running_loop().call_later(FINAL_TIMEOUT_S, self._not_final)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _not_final(self) -> None:
        """Finalize was not answered: either nothing was left to recognise, or the server does not respond.
        Then the audio without words is sent again over a new connection."""
        self._patience -= 1
        if self._answered or self._patience <= 0:
            self._conclude()
            return
        if self._link.is_open:
            sentence = f"Deepgram sent nothing for {FINAL_TIMEOUT_S:g} s; reconnecting"
            self._push_trouble(ServiceError(sentence))
            self._patience = 1
            self._link.reset()
        if self._stream.text:
            self._conclude()
            self._stream.forget()
        else:
            self._finalize()

    # ------------------------------------------------------------ the link

    def _resume(self) -> None:
        """The connection opened: send the audio for which the one before returned no words."""
        self._asked = 0
        if unheard := self._stream.restart():
            self._link.send(unheard)
        if self._stopped_at is not None:
            self._finalize()

    def _on_trouble(self, error: ServiceError, was_open: bool) -> None:
        self._push_trouble(error)
        if isinstance(error, ServiceRefusal) and error.lasting and self._stopped_at is not None:
            self._conclude()

    def _push_trouble(self, error: ServiceError) -> None:
        self.create_task(push_failure(self, error), "trouble")

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_S)
            if self.processor_setup.clock() - self._sent_at >= KEEP_ALIVE_S:
                self._link.send({"type": "KeepAlive"})

    async def _push_frames(self) -> None:
        while True:
            await self.push_frame(await self._frames.get())


KEPT_S = 15.0
"""Audio (s) kept for the next connection; older audio is dropped."""

SLACK_S = 0.1
"""Maximum time (s) by which final words may end before the speech does, by the recogniser's times."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Final words."""

    text: str
    confidence: float | None = None
    words: tuple[HeardWord, ...] = ()


class HeardStream:
    """The audio of one call at one rate, and the words recognised in the current turn so far.

    Audio without final words is kept, up to `KEPT_S`: when the connection drops, the next one gets it.

    Attributes:
        interim: words that can still change.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.interim = ""
        self._pieces: list[Piece] = []
        self._kept: deque[bytes] = deque()
        self._kept_samples = 0
        self._kept_from = 0
        self._final_s = 0.0
        self._began_at = 0.0
        self._begun = False

    def add(self, pcm: bytes, now: float) -> None:
        """Add audio that ends now."""
        if not self._begun:
            self._begun = True
            self._began_at = now - len(pcm) / 2 / self.sample_rate
        self._kept.append(pcm)
        self._kept_samples += len(pcm) // 2
        while self._kept_samples > KEPT_S * self.sample_rate:
            self._drop_oldest()

    def finish(self, piece: Piece, end_s: float) -> None:
        """Take final words: the audio up to `end_s` (s since the connection began) is done."""
        self.interim = ""
        self._final_s = max(self._final_s, end_s)
        if piece.text:
            self._pieces.append(piece)
        end = round(end_s * self.sample_rate)
        while self._kept and self._kept_from + len(self._kept[0]) // 2 <= end:
            self._drop_oldest()

    def is_final_until(self, seconds_ago: float) -> bool:
        """Whether there are final words for all audio up to `seconds_ago` before its end."""
        return bool(self._pieces) and not self.interim and self._final_s >= self.end_s - seconds_ago - SLACK_S

    @property
    def end_s(self) -> float:
        """Where the audio so far ends, in s since the connection began."""
        return (self._kept_from + self._kept_samples) / self.sample_rate

    def clock_at(self, seconds: float) -> float:
        """The clock's time at which a position of this connection was heard."""
        return self._began_at + seconds

    def restart(self) -> bytes:
        """Begin another connection; returns the audio to send first. Positions count from its beginning."""
        self._began_at = self.clock_at(self._kept_from / self.sample_rate)
        self._kept_from, self._final_s = 0, 0.0
        self.interim = ""
        return b"".join(self._kept)

    @property
    def text(self) -> str:
        """The turn's words so far."""
        return join_texts(*(piece.text for piece in self._pieces), self.interim)

    def take_turn(self) -> TranscriptionFrame:
        """End the turn; returns its words. Interim words count as final."""
        sure = [piece.confidence for piece in self._pieces if piece.confidence is not None]
        words = tuple(word for piece in self._pieces for word in piece.words)
        confidence = min(sure) if sure else None
        frame = TranscriptionFrame(self.text, confidence=confidence, words=words)
        self._pieces.clear()
        self.interim = ""
        return frame

    def forget(self) -> None:
        """Drop the audio so far: its words were taken, so no other connection needs it."""
        while self._kept:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        samples = len(self._kept.popleft()) // 2
        self._kept_samples -= samples
        self._kept_from += samples
