#!/usr/bin/env python3
"""How well `"confirm"` tells an interruption from a murmur, a cough or a door: by calls, with real sound.

    .venv/bin/python benchmarks/selectivity.py [--tuning | --other-voices] [--most 0] [--virtual] [--show]

Each sound (tests/support/overlap_sounds.py) is one call in real time: the local phone rings a bot on
Twilio's wire over a real socket (8 kHz, µ-law), and says it while the bot speaks. The bot is an ordinary one:
`transport.input()` with Silero's VAD, `LocalSTTService` with its helper process, the memory, a scripted
model, a voice of counted words, `transport.output()`, and `interruption_strategy="confirm"` as it comes.
Silenced for good is a bot whose caller did not hear its sentence to the end.

With `--virtual` the same calls are made without a network and in virtual time, by all processors: VAD, floor
and recogniser are the same; the words come `RECOGNISER_S` after the VAD's stop. For hundreds.

Held out are sounds whose name has an odd hash; `--tuning` takes the others, and `--other-voices` voices and
sentences of neither. By default 20 of each kind, the first by hash: some two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "tests" / "support")]

from overlap_sounds import RATE_HZ, Overlapping, other_voices, overlapping  # noqa: E402
from phone_bots import WORD_S, CountedVoice, Served, in_memory, over_sockets  # noqa: E402

from runner import RunnerArguments, create_transport  # noqa: E402
from runner.callers.phone import Phone  # noqa: E402
from runner.callers.sound.microphone import Manner  # noqa: E402
from runner.frames import (  # noqa: E402
    BotPausedSpeakingFrame,
    BotResumedSpeakingFrame,
    InterruptionFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    TTSTextFrame,
)
from runner.pipeline import Pipeline, PipelineParams, PipelineRunner, PipelineTask  # noqa: E402
from runner.processors import LLMContext, LLMContextAggregatorPair  # noqa: E402
from runner.services.local import LocalSTTService  # noqa: E402
from runner.services.local.ears import Recognition, shared_ears  # noqa: E402
from runner.services.local.recogniser import Recogniser  # noqa: E402
from runner.testing import Recorder, ScriptedLLM, run_virtual  # noqa: E402
from runner.transports.websocket import FastAPIWebsocketParams  # noqa: E402
from runner.vad import SileroVADAnalyzer  # noqa: E402

Serve = Callable[[Any], AbstractAsyncContextManager[Served]]

RECOGNISER_S = 0.3
WORDS = 16
SPOKEN_OVER_S = 0.7
"""When the caller's sound begins, after the bot's."""
ROOM_DBFS = -75.0


@dataclass
class Outcome:
    """What became of one sound: whether the bot was `silenced` for good; `after_s` from the pause on it was
    decided (0: the VAD heard nothing)."""

    silenced: bool
    after_s: float
    text: str
    gap_ms: float = 0.0


@dataclass
class Bot:
    """Says `WORDS` words when it is rung, and answers once."""

    heard: Recorder = field(default_factory=Recorder)

    async def __call__(self, args: RunnerArguments) -> None:
        transport = await create_transport(
            args,
            {
                "twilio": lambda: FastAPIWebsocketParams(
                    audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=SileroVADAnalyzer()
                )
            },
        )
        memory = LLMContextAggregatorPair(LLMContext())
        chain = [
            transport.input(), LocalSTTService(), memory.user(), ScriptedLLM(["yes."]), CountedVoice(8000),
            transport.output(), self.heard, memory.assistant(),
        ]  # fmt: skip
        task = PipelineTask(Pipeline(chain), params=PipelineParams(interruption_strategy="confirm"))

        @transport.event_handler("on_client_connected")
        async def greet(transport: Any, client: Any) -> None:
            await task.queue_frame(TTSSpeakFrame(" ".join(f"word{n}" for n in range(WORDS))))

        @transport.event_handler("on_client_disconnected")
        async def leave(transport: Any, client: Any) -> None:
            await task.cancel()

        await PipelineRunner().run(task)

    def words(self) -> list[str]:
        return [s.frame.text for s in self.heard.of(TTSTextFrame) if s.frame.text.startswith("word")]  # type: ignore[attr-defined]

    def outcome(self) -> Outcome:
        silenced = len(self.words()) < WORDS
        paused = self.heard.of(BotPausedSpeakingFrame)
        decided = self.heard.of(InterruptionFrame if silenced else BotResumedSpeakingFrame)
        text = " | ".join(repr(s.frame.text) for s in self.heard.of(TranscriptionFrame))  # type: ignore[attr-defined]
        gaps = [s.frame.gap_ms for s in self.heard.of(BotResumedSpeakingFrame)]  # type: ignore[attr-defined]
        after_s = decided[-1].at - paused[0].at if decided and paused else 0.0
        return Outcome(silenced, after_s, text, sum(gaps))


async def ring(sound: Overlapping, serve: Serve = over_sockets) -> Outcome:
    """One call."""
    bot = Bot()
    async with serve(bot) as served, served.phone("twilio") as phone:
        await phone.until(phone.bot_has_spoken, 10)
        await asyncio.sleep(SPOKEN_OVER_S)
        phone.say(sound.pcm(0.02, 0.1), RATE_HZ, sound.name, Manner.INTERRUPTION)
        await phone.until(lambda: is_over(bot, phone), WORDS * WORD_S + 6)
    return bot.outcome()


def is_over(bot: Bot, phone: Phone) -> bool:
    """The bot has said everything, or was silenced and has answered or been silent since."""
    return len(bot.words()) == WORDS or (bool(bot.heard.of(InterruptionFrame)) and phone.bot_quiet_s() > 0.6)


class EarsHere:
    """The recogniser in this process: it decodes while the clock stands still."""

    def __init__(self) -> None:
        self._recogniser = Recogniser()

    def open(self, grammar: str, *, over_bot: bool) -> EarsHere:
        self._recogniser.begin(grammar, over_bot=over_bot)
        return self

    def feed(self, pcm: bytes) -> None:
        self._recogniser.feed(pcm)

    def close(self) -> None:
        pass

    async def finish(self) -> Recognition:
        heard = self._recogniser.finish()
        await asyncio.sleep(RECOGNISER_S)
        refused = heard.score < 0
        murmur = None if heard.asks is None else heard.asks < 0
        return Recognition("" if refused else heard.text, refused, heard.score, heard.text, murmur)


def make_ears_here() -> None:
    ears = EarsHere()

    async def get() -> Any:
        return ears

    shared_ears.get = get  # type: ignore[method-assign]


def ring_virtually(name: str) -> Outcome:
    """One call in virtual time; sounds have no other way into another process than by name."""
    return run_virtual(ring(next(s for s in (*overlapping(), *other_voices()) if s.name == name), in_memory))


def all_virtually(sounds: Sequence[Overlapping]) -> list[Outcome]:
    with ProcessPoolExecutor(initializer=make_ears_here) as pool:
        return list(pool.map(ring_virtually, [sound.name for sound in sounds]))


async def all_in_real_time(sounds: Sequence[Overlapping], at_once: int) -> list[Outcome]:
    await shared_ears.start()
    try:
        return await ring_all(sounds, at_once)
    finally:
        await shared_ears.stop()


def main(sounds: Iterable[Overlapping], most: int, at_once: int, virtual: bool, show: bool) -> None:
    chosen = sorted(sounds, key=lambda sound: sound.hashed)
    for wanted in (False, True):
        kind = [sound for sound in chosen if sound.wanted is wanted][: most or None]
        outcomes = all_virtually(kind) if virtual else asyncio.run(all_in_real_time(kind, at_once))
        report(kind, outcomes, wanted, show)


async def ring_all(sounds: Sequence[Overlapping], at_once: int) -> list[Outcome]:
    places = asyncio.Semaphore(at_once)

    async def one(sound: Overlapping) -> Outcome:
        async with places:
            return await ring(sound)

    return list(await asyncio.gather(*map(one, sounds)))


def report(sounds: Sequence[Overlapping], outcomes: Sequence[Outcome], wanted: bool, show: bool) -> None:
    for sound, outcome in zip(sounds, outcomes, strict=True):
        if show or outcome.silenced is not wanted:
            print(f"    {sound.name}: {outcome}")
    silenced = sum(outcome.silenced for outcome in outcomes)
    waits = sorted(outcome.after_s for outcome in outcomes if outcome.after_s)
    what = "interruptions" if wanted else "murmurs and noises"
    times = (
        f"decided after {waits[len(waits) // 2]:.2f} s in the median, {waits[-1]:.2f} s at most"
        if waits
        else ""
    )
    print(
        f"{what}: {silenced} of {len(sounds)} silenced the bot for good; {len(waits)} made it pause, {times}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--tuning", action="store_true", help="the other half, by which weights were chosen")
    which.add_argument("--other-voices", action="store_true", help="voices and sentences of neither half")
    parser.add_argument("--most", type=int, default=20, help="so many of each kind; 0: all")
    parser.add_argument("--at-once", type=int, default=2, help="calls at the same time")
    parser.add_argument("--virtual", action="store_true", help="in virtual time, without a network")
    parser.add_argument("--show", action="store_true", help="every outcome, not just the wrong ones")
    args = parser.parse_args()
    found = (
        other_voices() if args.other_voices else (o for o in overlapping() if o.held_out is not args.tuning)
    )
    main(found, args.most, args.at_once, args.virtual, args.show)
