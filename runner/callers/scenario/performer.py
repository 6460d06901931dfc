"""Plays the caller: from a scenario, step by step, or from typed lines."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runner.callers.phone import Phone
from runner.callers.scenario import KEYS
from runner.callers.scenario.expectations import check
from runner.callers.scenario.steps import (
    Beep,
    Expect,
    HangUp,
    PlayPersona,
    PlayWav,
    Press,
    Say,
    Scenario,
    SpeakOver,
    StaySilent,
    Step,
    Wait,
    WaitForSilence,
)
from runner.callers.sound.microphone import CallerVoice, Manner, Speech, Utterance, read_wav
from runner.callers.talk import Talk
from runner.errors import MissingPackageError
from runner.evaluation import persona
from runner.evaluation.model import Model, ModelChoice
from runner.eventloop.waiting import first_of

PATIENCE_S = 12.0
"""Maximum time (s) that the caller waits for the bot to speak."""

LAST_WORDS_QUIET_S = 2.5
"""Time (s) of silence after which a caller with no more steps hangs up."""

PERSONA_QUIET_S = 1.0
LONGEST_UTTERANCE_S = 600.0

WELL_BEGUN_S, BREATHING_S, BREATH_PATIENCE_S = 0.1, 0.05, 2.0
"""The caller interrupts once the bot has spoken for the first (s) and is not silent for the second (s); it
waits at most the third (s) for that."""

USUAL_CLOSES = (1000, 1001, 1005)
"""RFC 6455 7.4.1: done, going away, no code given."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an expectation, or of a step that could not be done; `place` is file and line."""

    place: str
    met: bool
    sentence: str


class Performer:
    """The caller of one scenario."""

    def __init__(self, talk: Talk, voice: CallerVoice) -> None:
        self._talk = talk
        self._phone = talk.phone
        self._voice = voice
        self._heard_spans = 0
        self.outcomes: list[Outcome] = []

    @staticmethod
    async def prepare(scenario: Scenario, voice: CallerVoice) -> None:
        """Synthesize all audio before the phone rings, so that no step waits for it."""
        for step in scenario.steps:
            await sound_of(step, voice)

    async def perform(self, scenario: Scenario) -> list[Outcome]:
        """Do all steps, and hang up once the bot has been silent."""
        for step in scenario.steps:
            if self._phone.ended.is_set() and not isinstance(step, Expect | HangUp | StaySilent | Wait):
                self._missed(scenario, step)
                continue
            await self._do(scenario, step)
        await self._phone.until(lambda: self._phone.bot_quiet_s() > LAST_WORDS_QUIET_S, PATIENCE_S)
        await self._phone.hang_up()
        self._note_breach(scenario)
        return self.outcomes

    def _note_breach(self, scenario: Scenario) -> None:
        """Count a call that the bot's side broke off as failed, whatever the scenario expects."""
        code, reason = self._phone.close
        if self._phone.ended_by == "bot" and code not in USUAL_CLOSES:
            sentence = f"the bot's side broke the call off: {reason or 'no reason was given'} ({code})"
            self.outcomes.append(Outcome(scenario.name, False, sentence))

    def _missed(self, scenario: Scenario, step: Step) -> None:
        """Report a step after the end of the call, if it has words to say."""
        text = getattr(step, "text", "")
        if text:
            what = "the bot hung up" if self._phone.ended_by == "bot" else "the call ended"
            sentence = f"{what} before the caller said {text!r}"
            self.outcomes.append(Outcome(scenario.place(step), False, sentence))

    async def _do(self, scenario: Scenario, step: Step) -> None:
        match step:
            case Say() | PlayWav():
                await self._say(step)
            case Beep():
                await self._say(step, Manner.MURMUR)
            case Wait(seconds=seconds) | StaySilent(seconds=seconds):
                await self._phone.until(self._phone.ended.is_set, seconds)
            case WaitForSilence():
                await self._wait_for_silence(step)
            case Press(keys=keys):
                self._talk.say("caller", f"presses {keys}")
                await self._phone.press(keys)
            case SpeakOver():
                await self._speak_over(step)
            case HangUp():
                await self._hang_up(step)
            case PlayPersona():
                await self._play(scenario, step)
            case Expect():
                place = scenario.place(step)
                verdicts = await check(step, self._talk)
                self.outcomes += [Outcome(place, v.met, v.sentence) for v in verdicts]

    # ------------------------------------------------------------ speaking

    async def _begin(self, step: Step, manner: Manner = Manner.TURN) -> Utterance:
        speech = await sound_of(step, self._voice)
        assert speech is not None
        path = getattr(step, "path", None)
        text = getattr(step, "text", "") or (path.name if path is not None else "beep")
        utterance = self._phone.say(speech.pcm, speech.sample_rate, text, manner)
        self._talk.caller_said(utterance)
        self._heard_spans = len(self._phone.speech.spans)
        return utterance

    async def _say(self, step: Step, manner: Manner = Manner.TURN) -> None:
        utterance = await self._begin(step, manner)
        await self._phone.until(lambda: utterance.done, LONGEST_UTTERANCE_S)

    async def _speak_over(self, step: SpeakOver) -> None:
        spoke = await self._phone.until(self._bot_speaks_since_we_did, PATIENCE_S)
        if not spoke:
            self._note_waiting(f"the bot was silent for {PATIENCE_S:g} s: nothing to speak over")
            return
        begun = self._phone.speech.spans[-1].begin
        await asyncio.sleep(max(0.0, begun + step.after_s - self._phone.now))
        # Over its words, not into the pause between two sentences.
        await self._phone.until(self._bot_is_in_midst_of_it, BREATH_PATIENCE_S)
        await self._say(step, Manner.MURMUR if step.murmur else Manner.INTERRUPTION)

    async def _hang_up(self, step: HangUp) -> None:
        if step.text:
            await self._begin(step)
            await self._phone.until(self._phone.ended.is_set, step.after_s)
        self._talk.say("caller", "hangs up")
        await self._phone.hang_up()

    async def _play(self, scenario: Scenario, step: PlayPersona) -> None:
        """Let a language model play the caller: it reads the bot's words, and its replies are spoken."""
        evaluation = scenario.evaluation
        model = Model(ModelChoice(base_url=evaluation.base_url, name=evaluation.model))
        try:
            for _ in range(step.most_turns):
                await self._wait_for_silence(WaitForSilence(quiet_s=PERSONA_QUIET_S))
                if self._phone.ended.is_set():
                    return
                asked = persona.messages(step.persona, step.goal, self._talk.conversation())
                turn = persona.read_turn(await model.ask(asked))
                if turn.text:
                    await self._say(Say(text=turn.text, line=step.line))
                if turn.hangs_up:
                    return
            self._note_waiting(f"the caller has spoken {step.most_turns} times: the call is over")
        finally:
            await model.aclose()

    # ------------------------------------------------------------ listening

    def _note_waiting(self, sentence: str) -> None:
        if not self._phone.ended.is_set():
            self._talk.say("phone", sentence)

    def _bot_speaks_since_we_did(self) -> bool:
        """Whether the bot has started to speak since the caller's last words, or still speaks."""
        spans = len(self._phone.speech.spans)
        return spans > self._heard_spans or (spans > 0 and self._phone.bot_quiet_s() < 0.1)

    def _bot_is_in_midst_of_it(self) -> bool:
        begun_s = self._phone.now - self._phone.speech.spans[-1].begin
        return begun_s >= WELL_BEGUN_S and self._phone.bot_quiet_s() < BREATHING_S

    async def _wait_for_silence(self, step: WaitForSilence) -> None:
        begun = self._phone.now
        if not await self._phone.until(self._bot_speaks_since_we_did, step.at_most_s):
            self._note_waiting(f"the bot was silent for {step.at_most_s:g} s")
            return
        left_s = step.at_most_s - (self._phone.now - begun)
        if not await self._phone.until(lambda: self._phone.bot_quiet_s() >= step.quiet_s, left_s):
            self._note_waiting(f"the bot was still speaking after {step.at_most_s:g} s")
        self._heard_spans = len(self._phone.speech.spans)


async def sound_of(step: Step, voice: CallerVoice) -> Speech | None:
    """The caller's audio for this step, if any."""
    match step:
        case SpeakOver(path=Path() as path):
            return read_wav(path)
        case Say() | SpeakOver():
            return await voice.speak(step.text, step.speed)
        case HangUp(text=text) if text:
            return await voice.speak(text)
        case PlayWav(path=path):
            return read_wav(path)
        case Beep(seconds=seconds):
            return _beep(seconds)
    return None


def _beep(seconds: float, sample_rate: int = 8000) -> Speech:
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    return Speech((8000 * np.sin(2 * np.pi * 1000 * time)).astype("<i2").tobytes(), sample_rate)


HELP = "Type what the caller says; /press 1# presses keys, /hangup (or Ctrl-D) ends the call."
ANSWER_PATIENCE_S = 10.0
QUIET_S = 1.5


async def typed_lines(fileno: int) -> AsyncIterator[str]:
    """Lines as they are typed or arrive through a pipe; a file is read at once."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    rest = b""

    def read() -> None:
        nonlocal rest
        data = os.read(fileno, 4096)
        rest += data
        *whole, rest = rest.split(b"\n")
        for line in whole:
            lines.put_nowait(line.decode(errors="replace"))
        if not data:
            loop.remove_reader(fileno)
            lines.put_nowait(rest.decode(errors="replace"))
            lines.put_nowait(None)

    try:
        loop.add_reader(fileno, read)
    except PermissionError:  # epoll does not support regular files
        for line in sys.stdin:
            lines.put_nowait(line)
        lines.put_nowait(None)
    try:
        while (line := await lines.get()) is not None:
            yield line.strip()
    finally:
        with contextlib.suppress(ValueError, OSError):
            loop.remove_reader(fileno)


class TypedCaller:
    """Says what is typed. Without an installed voice, sends it to the bot as text if possible."""

    def __init__(self, talk: Talk, voice: CallerVoice) -> None:
        self._talk = talk
        self._phone: Phone = talk.phone
        self._voice = voice

    async def run(self, lines: AsyncIterator[str]) -> None:
        """Say all lines, until the input ends or the bot hangs up."""
        try:
            await first_of(self._all(lines), self._phone.ended.wait())
        finally:
            await self._phone.hang_up()

    async def _all(self, lines: AsyncIterator[str]) -> None:
        async for line in lines:
            if line in ("/hangup", "/quit"):
                self._talk.say("caller", "hangs up")
                return
            if line:
                await self._one(line)
        # The input has ended; let the bot finish.
        spans = len(self._phone.speech.spans)
        await self._phone.until(lambda: len(self._phone.speech.spans) > spans, ANSWER_PATIENCE_S)
        await self._phone.until(lambda: self._phone.bot_quiet_s() > QUIET_S, ANSWER_PATIENCE_S)

    async def _one(self, line: str) -> None:
        command, _, keys = line.partition(" ")
        if command == "/press" and keys and set(keys.upper()) <= KEYS:
            self._talk.say("caller", f"presses {keys}")
            await self._phone.press(keys.upper())
        elif line.startswith("/"):
            self._talk.say("phone", HELP)
        else:
            await self._say(line)

    async def _say(self, text: str) -> None:
        try:
            speech = await self._voice.speak(text)
        except MissingPackageError as error:
            if not await self._talk.side.send("send-text", {"content": text}):
                raise error
            self._talk.say("caller", f"{text}   (sent as text)")
            return
        manner = Manner.INTERRUPTION if self._phone.bot_quiet_s() < 0.1 else Manner.TURN
        utterance = self._phone.say(speech.pcm, speech.sample_rate, text, manner)
        self._talk.caller_said(utterance)
        await self._phone.until(lambda: utterance.done, ANSWER_PATIENCE_S)
