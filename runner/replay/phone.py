"""The caller of a replay on a phone's wire."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from runner.audio.resampler import Resampler
from runner.callers.call import new_wire
from runner.callers.phone import Phone
from runner.callers.sound.bot_sound import Repeats, SoundFaults, Span
from runner.callers.sound.microphone import Manner, Microphone, Utterance
from runner.callers.wires import WIRES, Wire
from runner.records.call import RecordedCall
from runner.records.sound import Piece
from runner.records.wire import message_type
from runner.replay.clip import Clip, When
from runner.replay.director import Done, Schedule, schedule_of
from runner.replay.refusal import RefusedError

LONGEST_S = 7200.0


class ReplayMicrophone(Microphone):
    """Speaks what a schedule says.

    Args:
        schedule: what the caller does when.
        bot: when the bot was heard (s since the call was answered).
        do: is given each action that is not sound.
        sample_rate: Hz.
    """

    def __init__(
        self,
        schedule: Schedule,
        bot: Callable[[], list[Span]],
        do: Callable[[Done], None],
        sample_rate: int,
    ) -> None:
        super().__init__()
        self._schedule, self._bot, self._do, self._rate = schedule, bot, do, sample_rate
        self._hushed = False

    def take(self, samples: int) -> bytes:
        begin, self.position = self.position, self.position + samples
        if self._hushed:
            return bytes(2 * samples)
        pcm, done = self._schedule.take(begin / self._rate, self.position / self._rate, self._bot())
        for each in done:
            self._note(each)
        data = pcm.astype("<i2").tobytes()[: 2 * samples].ljust(2 * samples, b"\0")
        self._spoken += data
        return data

    def hush(self) -> None:
        self._hushed = True

    def _note(self, done: Done) -> None:
        action = done.action
        if action.what == "speech":
            manner = Manner.INTERRUPTION if action.when is When.OVER else Manner.TURN
            begin, end = (round(at * self._rate) for at in (done.at, done.at + action.ends_s - action.at_s))
            self.utterances.append(Utterance("", b"", manner, begin, end))
        self._do(done)


class _NoFaults(SoundFaults):
    """The records are compared: the caller need not measure sound, which would cost CPU."""

    def sent(self, pcm: bytes, ahead_s: float) -> None: ...

    def heard(self, at: float, pcm: bytes) -> None: ...


class _NoRepeats(Repeats):
    def feed(self, pcm: bytes) -> None: ...


class ReplayPhone(Phone):
    """Calls a bot as the recorded caller did.

    Attributes:
        done: the caller's actions so far.
    """

    def __init__(
        self,
        url: str,
        wire: Wire,
        clip: Clip,
        mode: str,
        *,
        pieces: list[Piece] | None = None,
        connect: Callable[[str], Awaitable[Any]] | None = None,
    ) -> None:
        super().__init__(url, wire, connect=connect)
        self.repeats, self.faults = _NoRepeats(wire.sample_rate), _NoFaults(wire.sample_rate)
        self.done: list[Done] = []
        self._pieces = pieces or []
        self._hanging_up: asyncio.Task[None] | None = None
        schedule = schedule_of(clip, mode, wire.ptime_ms)
        self.microphone = ReplayMicrophone(schedule, self._bot_spans, self._do, wire.sample_rate)

    async def finished(self) -> None:
        """Wait for the end of the call."""
        await self.until(self.ended.is_set, LONGEST_S)
        if self._hanging_up is not None:
            await self._hanging_up

    def _bot_spans(self) -> list[Span]:
        start = self.started_at
        return [Span(span.begin - start, span.end - start) for span in self.speech.spans]

    def _do(self, done: Done) -> None:
        self.done.append(done)
        match done.action.what:
            case "key":
                self._out.put(self.wire.dtmf(done.action.text))
            case "hang_up" | "wait_for_hang_up":
                self._hanging_up = asyncio.create_task(self.hang_up(), name="hang up")

    async def _speak(self) -> None:
        if not self._pieces:
            await super()._speak()
            return
        speaking = asyncio.create_task(self._speak_pieces(), name="recorded media")
        try:
            await self._tick()
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    async def _speak_pieces(self) -> None:
        """Send each message with media at its recorded time."""
        for piece in self._pieces:
            due = self.started_at + piece.t
            await asyncio.sleep(max(0.0, due - self.now))
            if self.ended.is_set():
                return
            self.log.late_s.append(self.now - due)
            self._out.put(self.wire.media(piece.pcm.astype("<i2").tobytes(), time.time()))

    async def _tick(self) -> None:
        """Do what is not sound, and notice what is heard."""
        samples = self.sample_rate // 50
        due = self.started_at
        while not self.ended.is_set():
            due += 0.02
            await asyncio.sleep(max(0.0, due - self.now))
            self.microphone.take(samples)
            self._note(self.playout.advance(self.now))
            self._changed.set()


# ------------------------------------------------------------------ the recorded wire


def wire_of(record: RecordedCall) -> Wire:
    """A new call on the recorded call's wire: its sound format, numbers and parameters, with new ids.

    Raises:
        RefusedError: its provider is none that can be replayed, or the start message is missing.
    """
    provider = str(record.head.get("transport"))
    if provider not in WIRES:
        raise RefusedError(f"{record.id} was a call over {provider}, which cannot be replayed")
    form, parameters = start_of(record)
    numbers = {
        "from_number": _plausible(record.head.get("from")),
        "to_number": _plausible(record.head.get("to")),
    }
    wire = new_wire(provider, parameters, **{name: number for name, number in numbers.items() if number})
    encoding, rate = form.get("encoding"), form.get("sampleRate") or form.get("sample_rate") or 8000
    return wire.again(encoding=str(encoding) if encoding else None, sample_rate=int(rate))


def start_of(record: RecordedCall) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The sound format and the custom parameters of the provider's start message.

    Raises:
        RefusedError: there is none.
    """
    start = _start_message(record)
    content = start.get("start") or {}
    form = content.get("mediaFormat") or content.get("media_format") or {}
    return form, _parameters(start, content)


def _start_message(record: RecordedCall) -> Mapping[str, Any]:
    for line in record.wire[:50]:
        if line.inbound and message_type(line.text) == "start":
            found = json.loads(line.text or "{}")
            return found if isinstance(found, dict) else {}
    raise RefusedError(f"{record.id} cannot be replayed: wire.jsonl has no start message")


def _parameters(start: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, str]:
    """The custom parameters; Plivo's are in one text."""
    found = content.get("customParameters") or content.get("custom_parameters") or {}
    pairs = [pair.partition("=") for pair in str(start.get("extra_headers") or "").split(";") if "=" in pair]
    parameters = {name: value for name, _, value in pairs} | {str(k): str(v) for k, v in found.items()}
    return {name: _plausible(value) for name, value in parameters.items()}


def _plausible(text: Any) -> str:
    """A masked number with zeros for the hidden digits: it still looks like a number."""
    return str(text or "").replace("*", "0") if str(text or "").startswith("+") else str(text or "")


def at_rate(clip: Clip, sample_rate: int) -> Clip:
    """The clip for a wire of this rate (Hz)."""
    if clip.sample_rate == sample_rate:
        return clip

    def resampled(pcm: Any) -> Any:
        resampler = Resampler(clip.sample_rate, sample_rate)
        return np.frombuffer(resampler.process(pcm.astype("<i2").tobytes()) + resampler.flush(), "<i2")

    return replace(clip, sample_rate=sample_rate, pcm=resampled(clip.pcm), room=resampled(clip.room))
