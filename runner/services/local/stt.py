"""`LocalSTTService`: recognition of commands with pocketsphinx."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import ServiceError, UsageError
from runner.frames import (
    InputAudioRawFrame,
    MetricsFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.base import ProcessorSetup
from runner.services.common import warmup
from runner.services.local.ears import RATE_HZ, EarStream, shared_ears
from runner.services.local.helpers import EARS_PACKAGE, require
from runner.services.local.own_grammar import OwnGrammar, from_file, from_jsgf, from_phrases
from runner.services.local.understanding import GRAMMARS
from runner.services.stt import STTService

if TYPE_CHECKING:
    from runner.audio.resampler import Resampler
    from runner.services.local.ears import Ears
LEAD_S = 0.3
"""Audio (s) before the speech, with which the recogniser adapts to the room."""

KEPT_S = 1.0
"""Audio (s) kept while nobody speaks: `LEAD_S`, and the time until the VAD has detected speech."""


class LocalSTTService(STTService):
    """pocketsphinx with a small vocabulary, in English, without account or download; not for dictation.

    ```python
    LocalSTTService(phrases=["open the door", "call the office"])
    LocalSTTService(grammar="menu.jsgf")
    ```

    Speech outside the vocabulary gives a `TranscriptionFrame` with empty text.

    Args:
        grammar: "commands", "appointments" (for a receptionist), or the path of a JSGF file.
        phrases: whole sentences to recognise, instead of a grammar. Transcripts use this spelling.

    Raises:
        UsageError: the grammar has a mistake (with file and line), or a word without a known pronunciation.
    """

    def __init__(
        self,
        *,
        grammar: str | Path | None = None,
        phrases: Iterable[str] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        require(EARS_PACKAGE, type(self).__name__)
        if grammar is not None and phrases is not None:
            raise UsageError(f"{type(self).__name__} takes grammar or phrases, not both")
        self._own = _own_grammar(grammar, phrases)
        self._grammar = self._own.key if self._own is not None else str(grammar or "commands")
        self._ears: Ears | None = None
        self._stream: EarStream | None = None
        self._finishing: asyncio.Queue[EarStream] = asyncio.Queue()
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._resampler: Resampler | Widener | None = None

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        self._ears = await shared_ears.get()
        self.create_task(self._finish_in_order(), "finish")

    async def cleanup(self) -> None:
        if self._stream is not None:
            self._stream.close()
        while not self._finishing.empty():
            self._finishing.get_nowait().close()

    def hear(self, frame: InputAudioRawFrame) -> None:
        pcm = self._at_16k(frame)
        if self._stream is not None:
            self._stream.feed(pcm)
            return
        self._kept.append(pcm)
        self._kept_bytes += len(pcm)
        while self._kept_bytes - len(self._kept[0]) >= KEPT_S * RATE_HZ * 2:
            self._kept_bytes -= len(self._kept.popleft())

    def speech_started(self, frame: UserStartedSpeakingFrame) -> None:
        if self._ears is None or self._stream is not None:
            return
        kept = b"".join(self._kept)
        self._kept.clear()
        self._kept_bytes = 0
        noticed_after_s = min(max(self.processor_setup.clock() - frame.at, 0.0), KEPT_S - LEAD_S)
        self._stream = self._ears.open(
            self._grammar,
            over_bot=self.processor_setup.floor.undecided,
            jsgf=self._own.jsgf if self._own is not None else "",
        )
        self._stream.feed(kept[-2 * int((LEAD_S + noticed_after_s) * RATE_HZ) :])

    def speech_ended(self, frame: UserStoppedSpeakingFrame) -> None:
        if self._stream is not None:
            self._finishing.put_nowait(self._stream)
            self._stream = None

    def _at_16k(self, frame: InputAudioRawFrame) -> bytes:
        if frame.sample_rate == RATE_HZ:
            return frame.audio
        if self._resampler is None or self._resampler.rate_in != frame.sample_rate:
            self._resampler = _make_resampler(frame.sample_rate)
        return self._resampler.process(frame.audio)

    async def _finish_in_order(self) -> None:
        while True:
            await self._transcribe(await self._finishing.get())

    async def _transcribe(self, stream: EarStream) -> None:
        asked_at = self.processor_setup.clock()
        try:
            heard = await stream.finish()
        except ServiceError as error:
            await self.push_error(f"{self.name}: {error}", exception=error)
            return
        waited_ms = (self.processor_setup.clock() - asked_at) * 1000
        await self.push_frame(MetricsFrame("processing", self.name, waited_ms))
        text = self._own.written.get(heard.text, heard.text) if self._own is not None else heard.text
        await self.push_frame(TranscriptionFrame(text, confidence=heard.score, murmur=heard.murmur))


def _own_grammar(grammar: str | Path | None, phrases: Iterable[str] | None) -> OwnGrammar | None:
    """The user's own vocabulary; None for one of `GRAMMARS`."""
    if phrases is not None:
        return from_phrases(phrases)
    if grammar is None or str(grammar) in GRAMMARS:
        return None
    if str(grammar).lstrip().startswith("#JSGF"):
        return from_jsgf(str(grammar))
    if Path(grammar).suffix or isinstance(grammar, Path):
        return from_file(grammar)
    known = ", ".join(GRAMMARS)
    raise UsageError(f"there is no grammar {grammar!r}: use {known}, a .jsgf file, or phrases=[…]")


def _make_resampler(rate_hz: int) -> Resampler | Widener:
    """Imports the resampler here: it loads numpy, which a call at 16 kHz does not need."""
    from runner.audio.resampler import Resampler

    return Widener() if rate_hz == PHONE_HZ else Resampler(rate_hz, RATE_HZ)


PHONE_HZ = 8000
NOISE_RMS = 30
"""-61 dBFS. Phone audio has nothing above 4 kHz, unlike anything the model was trained on; the noise fills
that band. Of 41 clean commands at 8 kHz, 34 were right with the noise and 32 without; at 16 kHz, 37."""


class Widener:
    """Converts one stream of mono pcm from 8 to 16 kHz, with a little noise. The same audio gives the same
    result."""

    rate_in = PHONE_HZ

    def __init__(self) -> None:
        import numpy as np

        from runner.audio.resampler import Resampler

        self._noise = np.random.default_rng(1).normal(0, NOISE_RMS, RATE_HZ)
        self._resampler = Resampler(PHONE_HZ, RATE_HZ)
        self._position = 0

    def process(self, pcm: bytes) -> bytes:
        """The converted audio that is complete with `pcm`."""
        import numpy as np

        samples = np.frombuffer(self._resampler.process(pcm), "<i2")
        where = np.arange(self._position, self._position + len(samples)) % len(self._noise)
        self._position += len(samples)
        return np.rint(samples + self._noise[where]).clip(-32768, 32767).astype("<i2").tobytes()


warmup.register("the local ears", shared_ears.start, shared_ears.stop)
