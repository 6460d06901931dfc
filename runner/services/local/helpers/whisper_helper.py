"""whisper's helper process: `python -m runner.services.local.helpers.whisper_helper '{"path": …}'`.

    in    {"hear": 7, "rate_hz": 8000} + pcm        an utterance, queued
          {"cancel": 7}                             its words are no longer needed
    out   {"ready": true}
          {"heard": 7, "text": "Hello.", "confidence": 0.8}   or   {"heard": 7, "error": "…"}

One thread reads, so that a cancellation arrives while the other one decodes.
"""

from __future__ import annotations

import json
import math
import queue
import sys
import threading
from collections.abc import Iterable
from typing import Any

from runner.services.common.spoken_text import spoken_part
from runner.services.local.helpers import Header, Message, Pipe

RATE_HZ = 16000
NOISE_PROBABILITY = 0.6
LEAST_LOG_PROBABILITY = -1.0
MOST_REPETITION = 2.4
"""Limits beyond which words count as noise: whisper doubts that there was speech, or repeats itself."""


class Decoder:
    """The loaded model."""

    def __init__(self, decoding: dict[str, Any]) -> None:
        from faster_whisper import WhisperModel

        self._language = decoding["language"]
        self._beam_size = decoding["beam_size"]
        # local_files_only: faster-whisper downloads a model if the path does not exist.
        self._model = WhisperModel(
            decoding["path"],
            device=decoding["device"],
            compute_type=decoding["compute_type"],
            cpu_threads=decoding["threads"],
            local_files_only=True,
        )

    def decode(self, pcm: bytes, rate_hz: int) -> Header:
        """The words of one utterance."""
        import numpy as np

        from runner.audio.resampler import Resampler

        if rate_hz != RATE_HZ:
            resampler = Resampler(rate_hz, RATE_HZ)
            pcm = resampler.process(pcm) + resampler.flush()
        sound = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768
        # One temperature: with several, a noisy utterance is decoded up to six times.
        segments, _ = self._model.transcribe(
            sound,
            language=self._language,
            beam_size=self._beam_size,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
        )
        return words_of(segments)


def words_of(segments: Iterable[Any]) -> Header:
    """The text of whisper's segments, without those that are noise."""
    kept = [segment for segment in segments if not _is_noise(segment)]
    text = spoken_part(" ".join(segment.text.strip() for segment in kept))
    confidence = math.exp(min(segment.avg_logprob for segment in kept)) if text else None
    return {"text": text, "confidence": confidence}


def _is_noise(segment: Any) -> bool:
    doubted = segment.no_speech_prob > NOISE_PROBABILITY and segment.avg_logprob < LEAST_LOG_PROBABILITY
    return bool(doubted or segment.compression_ratio > MOST_REPETITION)


class WhisperHelper:
    """Decodes utterances one at a time."""

    def __init__(self, pipe: Pipe, decoder: Decoder) -> None:
        self._pipe = pipe
        self._decoder = decoder
        self._jobs: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self.ending = False

    def take(self, message: Message) -> None:
        """Handle a message from botrun."""
        if "hear" in message.header:
            self._jobs.put(message)
        elif "cancel" in message.header:
            self._cancelled.add(message.header["cancel"])

    def finish(self) -> None:
        """No more jobs."""
        self.ending = True
        self._jobs.put(None)

    def work(self) -> None:
        """Decode queued utterances until `finish`."""
        while (job := self._jobs.get()) is not None and not self.ending:
            number = job.header["hear"]
            if number not in self._cancelled:
                self._pipe.send({"heard": number, **self._decode(job)})
            self._cancelled.discard(number)

    def _decode(self, job: Message) -> Header:
        try:
            return self._decoder.decode(job.payload, job.header["rate_hz"])
        except Exception as error:  # the boundary to faster-whisper
            return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Serve until stdin ends."""
    pipe = Pipe()
    try:
        decoder = Decoder(json.loads(sys.argv[1]))
        decoder.decode(bytes(RATE_HZ), RATE_HZ)  # the first decoding is slower; do it before the first call
    except Exception as error:  # the boundary to faster-whisper
        sys.exit(f"{type(error).__name__}: {error}")
    helper = WhisperHelper(pipe, decoder)
    worker = threading.Thread(target=helper.work, name="whisper", daemon=True)
    worker.start()
    pipe.send({"ready": True})
    for message in pipe.messages():
        helper.take(message)
    # Do not wait for a decoding in progress: its words are not needed.
    helper.finish()


if __name__ == "__main__":
    main()
