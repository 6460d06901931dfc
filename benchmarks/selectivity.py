#!/usr/bin/env python3
"""How well `Confirm` tells an interruption from a murmur, a cough or a door, by real sound.

    .venv/bin/python benchmarks/selectivity.py [--tuning] [--most 0] [--show]

Each sound (tests/tools/overlap_sounds.py) goes through Silero's VAD and the local recogniser, whose words
come `RECOGNISER_S` after the VAD's stop; then `Confirm` decides, at the times at which it would in a call.
Held out are sounds whose name has an odd hash; `--tuning` takes the others. By default 20 of each kind, the
first by hash.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "tools")]

from overlap_sounds import RATE_HZ, Overlapping, overlapping  # noqa: E402

from runner.services.local.ears import Ears, shared_ears  # noqa: E402
from runner.turns import Confirm, Decision, Overlap, VADParams  # noqa: E402
from runner.vad import SileroVADAnalyzer, VADEvent  # noqa: E402

RECOGNISER_S = 0.3
STRATEGY = Confirm(least_confidence=2.6)
CHUNK = RATE_HZ // 50 * 2
LEAD_S = 0.3


@dataclass
class Outcome:
    """What became of one sound: the bot `stopped` for good after `after_s`, or paused for as long."""

    stopped: bool
    after_s: float
    text: str
    spoken_s: float


def heard_by_vad(pcm: bytes) -> list[tuple[float, VADEvent]]:
    """Each event, with the time (s) at which it is noticed."""
    vad = SileroVADAnalyzer(sample_rate=RATE_HZ, params=VADParams())
    events = []
    for begin in range(0, len(pcm), CHUNK):
        now = (begin + CHUNK) / 2 / RATE_HZ
        events += [(now, event) for event in vad.analyze(pcm[begin : begin + CHUNK], now)]
    return events


async def understood(ears: Ears, pcm: bytes, begin_s: float, end_s: float) -> tuple[str, float]:
    stream = ears.open()
    stream.feed(pcm[2 * int(max(begin_s - LEAD_S, 0) * RATE_HZ) : 2 * int(end_s * RATE_HZ)])
    found = await stream.finish()
    return found.text, found.score


async def judge(ears: Ears, pcm: bytes, strategy: Confirm) -> Outcome:
    """As the floor does it in a call."""
    events = heard_by_vad(pcm)
    if not events:
        return Outcome(False, 0.0, "(not noticed)", 0.0)
    overlap: Overlap | None = None
    score = 0.0
    noticed = events[0][0]
    pending: list[tuple[float, str, object]] = [(at, "vad", event) for at, event in events]
    while pending or overlap is not None:
        again = strategy.look_again_at(overlap, noticed) if overlap is not None else None
        if not pending and again is None:
            break
        if pending and (again is None or pending[0][0] <= again):
            now, kind, what = pending.pop(0)
            if kind == "words" and overlap is not None:
                text, score = what  # type: ignore[misc]
                overlap.hear(text, final=True, confidence=score)
            elif isinstance(what, VADEvent) and what.started:
                if overlap is None:
                    overlap, noticed = Overlap(what.at), now
                else:
                    overlap.go_on(what.at)
            elif isinstance(what, VADEvent) and overlap is not None:
                overlap.stopped_at = what.at
                words = await understood(ears, pcm, overlap.began_at, now)
                pending.append((now + RECOGNISER_S, "words", words))
                pending.sort(key=lambda item: item[0])
        else:
            now = max(again or 0.0, 0.0) + 1e-6
        if overlap is None:
            continue
        decision = strategy.decide(overlap, now)
        outcome = Outcome(
            decision is Decision.INTERRUPT,
            now - noticed,
            f"{overlap.text} {score:.1f}",
            overlap.spoken_s(now),
        )
        if decision is Decision.INTERRUPT:
            return outcome
        if decision is Decision.DISMISS:
            overlap = None
            last = outcome
            if not pending:
                return last
    return Outcome(False, 0.0, "", 0.0)


async def main(tuning: bool, most: int, show: bool) -> None:
    chosen = sorted((o for o in overlapping() if o.held_out is not tuning), key=lambda o: o.hashed)
    await shared_ears.start()
    ears = await shared_ears.get()
    try:
        for wanted in (False, True):
            sounds = [sound for sound in chosen if sound.wanted is wanted]
            await report(ears, sounds[: most or None], wanted, show)
    finally:
        await shared_ears.stop()


async def report(ears: Ears, sounds: list[Overlapping], wanted: bool, show: bool) -> None:
    stopped, waits = 0, []
    for sound in sounds:
        outcome = await judge(ears, sound.pcm(), STRATEGY)
        stopped += outcome.stopped
        waits.append(outcome.after_s)
        if show or outcome.stopped is not wanted:
            print(f"    {sound.name}: {outcome}")
    what = "interruptions" if wanted else "murmurs and noises"
    median = sorted(waits)[len(waits) // 2]
    print(f"{what}: {stopped} of {len(sounds)} stopped the bot for good; decided after {median:.2f} s "
          f"in the median, {max(waits):.2f} s at most")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--tuning", action="store_true", help="the other half, by which thresholds were chosen"
    )
    parser.add_argument("--most", type=int, default=20, help="so many of each kind; 0: all")
    parser.add_argument("--show", action="store_true", help="every outcome, not just the wrong ones")
    args = parser.parse_args()
    asyncio.run(main(args.tuning, args.most, args.show))
