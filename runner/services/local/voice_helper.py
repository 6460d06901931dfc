"""The voice's helper process: `python -m runner.services.local.voice_helper`.

    in    {"say": 7, "text": "Hello.", "voice": "en-us", "rate": 165}     a job, queued
          {"cancel": 7}                                                   its audio is no longer needed
    out   {"ready": true, "rate_hz": 22050}
          {"sound": 7, "words": [[0, 0]]} + pcm     a piece, and [first character, ms] of words in it
          {"done": 7}  or  {"done": 7, "error": "espeak-ng has no voice 'x'"}

One thread reads, so that a cancellation arrives while the other one speaks.

espeak-ng is GPL-3: it is loaded only inside this process, which is its own program, by ctypes. Numbers and
structures are those of `speak_lib.h` (espeak-ng 1.52, API revision 12).
"""

from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from runner.services.local.helpers import Header, Pipe

Sink = Callable[[bytes, list[tuple[int, int]]], bool]
"""Takes pcm and the words that begin in it, each (index of its first character, ms from the beginning).
Returns whether to continue."""


class Speaker(Protocol):
    """A speech engine, used by one thread. `say` raises `ValueError` with a sentence if it cannot speak."""

    def say(self, text: str, voice: str, rate: int, sink: Sink, /) -> None: ...


class VoiceHelper:
    """Speaks jobs one at a time."""

    def __init__(self, pipe: Pipe, speaker: Speaker) -> None:
        self._pipe = pipe
        self._speaker = speaker
        self._jobs: queue.SimpleQueue[Header | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: set[int] = set()
        self._cancelled: set[int] = set()

    def take(self, header: Header) -> None:
        """Handle a message from botrun."""
        with self._lock:
            if "say" in header:
                self._waiting.add(header["say"])
                self._jobs.put(header)
            elif header.get("cancel") in self._waiting:
                self._cancelled.add(header["cancel"])

    def finish(self) -> None:
        """No more jobs: `work` returns after the current one."""
        with self._lock:
            self._cancelled |= self._waiting
        self._jobs.put(None)

    def work(self) -> None:
        """Speak queued jobs until `finish`."""
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
    pipe = Pipe()
    espeak = Espeak()
    # The first job loads the voice's data (30 ms), so it is done before the first call.
    espeak.say("ready", "en-us", 165, lambda pcm, words: True)
    serve(pipe, espeak, espeak.rate_hz)


_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_PARAMETER_RATE = 1
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_ENDPAUSE = 0x1000
_EVENT_LIST_TERMINATED = 0
_EVENT_WORD = 1
_EE_OK = 0

# Length of a piece of audio: short, so that the first arrives soon and a cancellation takes effect soon.
_PIECE_MS = 60


class _Id(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Espeak:
    """The engine. `rate_hz` is the sample rate of its audio."""

    def __init__(self) -> None:
        import espeakng_loader

        self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.rate_hz = int(
            self._lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, _PIECE_MS, data, _INITIALIZE_DONT_EXIT)
        )
        if self.rate_hz <= 0:
            raise RuntimeError("espeak-ng does not start: its data folder cannot be read")
        self._sink: Sink | None = None
        self._failure: BaseException | None = None
        # ctypes keeps no reference: a callback that is garbage collected crashes the process.
        self._callback = _Callback(self._on_sound)
        self._lib.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: str, words_per_minute: int, sink: Sink) -> None:
        """Pass the audio of `text` to `sink`, piece by piece, until the end or until `sink` returns False."""
        if self._lib.espeak_SetVoiceByName(voice.encode()) != _EE_OK:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self._lib.espeak_SetParameter(_PARAMETER_RATE, words_per_minute, 0)
        # C strings end at a NUL.
        data = text.replace("\0", " ").encode()
        self._sink, self._failure = sink, None
        flags = _CHARS_UTF8 | _ENDPAUSE
        self._lib.espeak_Synth(data, len(data) + 1, 0, _POS_CHARACTER, 0, flags, None, None)
        self._sink = None
        if self._failure is not None:
            raise self._failure

    def _on_sound(self, samples: Any, count: int, events: Any) -> int:
        """espeak-ng's callback: 0 continues, 1 stops. An exception must not pass through C."""
        if not samples or self._sink is None:
            return 0
        try:
            pcm = ctypes.string_at(samples, count * 2)
            return 0 if self._sink(pcm, _words(events)) else 1
        except BaseException as error:
            self._failure = error
            return 1


def _words(events: Any) -> list[tuple[int, int]]:
    words = []
    index = 0
    while (event := events[index]).type != _EVENT_LIST_TERMINATED:
        if event.type == _EVENT_WORD:
            words.append((event.text_position - 1, event.audio_position))
        index += 1
    return words


if __name__ == "__main__":
    main()
