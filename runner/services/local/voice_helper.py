"""The voice's helper process: `python -m runner.services.local.voice_helper`.

    in    {"say": 7, "text": "Hello.", "voice": "en-us", "rate": 165}     a job, in its turn
          {"cancel": 7}                                                   its sound is not wanted any more
    out   {"ready": true, "rate_hz": 22050}
          {"sound": 7, "words": [[0, 0]]} + pcm     a piece, and [first character, ms] of words in it
          {"done": 7}  or  {"done": 7, "error": "espeak-ng has no voice 'x'"}

One thread reads, so that a cancellation is heard while the other one speaks.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

from runner.services.local.helpers.framing import Header, Pipe

Sink = Callable[[bytes, list[tuple[int, int]]], bool]
"""Given pcm and the words that begin in it, each (index of its first character, ms from the beginning).
Returns whether to go on."""


class Speaker(Protocol):
    """What speaks, in one thread. Raises `ValueError` with a sentence if it cannot."""

    def say(self, text: str, voice: str, rate: int, sink: Sink, /) -> None: ...


class VoiceHelper:
    """Says one job after the other."""

    def __init__(self, pipe: Pipe, speaker: Speaker) -> None:
        self._pipe = pipe
        self._speaker = speaker
        self._jobs: queue.SimpleQueue[Header | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: set[int] = set()
        self._cancelled: set[int] = set()

    def take(self, header: Header) -> None:
        """A message from botrun."""
        with self._lock:
            if "say" in header:
                self._waiting.add(header["say"])
                self._jobs.put(header)
            elif header.get("cancel") in self._waiting:
                self._cancelled.add(header["cancel"])

    def finish(self) -> None:
        """No more jobs: `work` returns after the one it is at."""
        with self._lock:
            self._cancelled |= self._waiting
        self._jobs.put(None)

    def work(self) -> None:
        """Say what is in the queue, until `finish`."""
        while (job := self._jobs.get()) is not None:
            error = self._say(job)
            with self._lock:
                self._waiting.discard(job["say"])
                self._cancelled.discard(job["say"])
            self._pipe.send({"done": job["say"], **({"error": error} if error else {})})

    def _say(self, job: Header) -> str:
        if job["say"] in self._cancelled:
            return ""
        try:
            self._speaker.say(job["text"], job["voice"], job["rate"], partial(self._sound, job["say"]))
        except ValueError as error:
            return str(error)
        return ""

    def _sound(self, job: int, pcm: bytes, words: list[tuple[int, int]]) -> bool:
        if job in self._cancelled:
            return False
        self._pipe.send({"sound": job, "words": words}, pcm)
        return True


def serve(pipe: Pipe, speaker: Speaker, rate_hz: int) -> None:
    """Speak until stdin ends."""
    helper = VoiceHelper(pipe, speaker)
    worker = threading.Thread(target=helper.work, name="voice", daemon=True)
    worker.start()
    pipe.send({"ready": True, "rate_hz": rate_hz})
    for message in pipe.messages():
        helper.take(message.header)
    helper.finish()
    worker.join()


def main() -> None:
    """Serve until stdin ends."""
    from runner.services.local.espeak import Espeak

    pipe = Pipe()
    espeak = Espeak()
    # The first job loads the voice's data: 30 ms that no caller should wait for.
    espeak.say("ready", "en-us", 165, lambda pcm, words: True)
    serve(pipe, espeak, espeak.rate_hz)


if __name__ == "__main__":
    main()
