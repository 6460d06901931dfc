"""How often the local ears are right: makes the speech, hears it, prints the tables.

    .venv/bin/python tests/services/local/accuracy.py             all of it: 1,020 files in four conditions
    .venv/bin/python tests/services/local/accuracy.py --every 5   a fifth of it

Needs Debian's espeak-ng, flite, festival, festvox-kallpc16k and festvox-us-slt-hts. Weights and threshold
were chosen on the tuning files alone; the figure that may be quoted is that of the held-out files. A command
is right if what it asks for (`understanding`) is what was asked; a command that is refused is not right.

Seen on the held-out files of the eleven voices of 16 kHz and more:

              commands right   misunderstood   refused   others refused
    clean          94 %             2 %           4 %         90 %
    white          76 %            17 %           7 %         87 %
    babble         62 %            11 %          28 %         87 %
    phone          85 %             7 %           9 %         90 %

All voices are synthetic and nearly all sentences occur on both sides, by different voices. With three
voices and twenty sentences of neither side: 84, 84 and 49 % of clean commands right, 92 % of others refused.
"""

from __future__ import annotations

import argparse
import os
import pickle
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from speech_corpus import CONDITIONS, SNR_DB, Item, Sound, babble, items, speak, with_noise

from runner.services.local.understanding import understand

CHUNK_BYTES = 640


@dataclass(frozen=True)
class Result:
    """One file as it was heard in one condition."""

    item: Item
    condition: str
    text: str
    score: float

    @property
    def refused(self) -> bool:
        return self.score < 0

    @property
    def right(self) -> bool:
        """A command that was understood, or other speech that was refused."""
        if not self.item.in_grammar or self.refused:
            return self.refused and not self.item.in_grammar
        return understand(self.text) == understand(self.item.text)


def hear(files: list[tuple[Item, Sound]], conditions: tuple[str, ...]) -> list[Result]:
    """Feed each file as a call does: in pieces of 20 ms."""
    from runner.services.local.recogniser import Recogniser

    recogniser = Recogniser()
    results = []
    for item, sound in files:
        for condition in conditions:
            pcm = with_noise(sound, condition, item.name)
            recogniser.begin()
            for start in range(0, len(pcm), CHUNK_BYTES):
                recogniser.feed(pcm[start : start + CHUNK_BYTES])
            heard = recogniser.finish()
            results.append(Result(item, condition, heard.text, heard.score))
    return results


def make_speech(wanted: list[Item], kept: Path | None) -> list[tuple[Item, Sound]]:
    """Speak all sentences, or take them from `kept`, where they were put the last time."""
    known: dict[str, Sound] = pickle.loads(kept.read_bytes()) if kept and kept.exists() else {}
    missing = [item for item in wanted if item.name not in known]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda item: speak(item.voice, item.text), missing)
        known.update((item.name, sound) for item, sound in zip(missing, made, strict=True))
    if kept and missing:
        kept.write_bytes(pickle.dumps(known))
    return [(item, known[item.name]) for item in wanted]


def share(results: Iterable[Result], is_so: Callable[[Result], bool]) -> str:
    marks = [is_so(result) for result in results]
    return f"{sum(marks):4d}/{len(marks):<4d} {100 * sum(marks) / len(marks):3.0f} %" if marks else " " * 15


def print_table(title: str, rows: Iterable[tuple[str, list[Result]]]) -> None:
    heads = ("commands right", "misunderstood", "refused", "others refused")
    print(f"\n{title}\n{'':34}" + "".join(f"{head:>18}" for head in heads))
    for name, results in rows:
        commands = [result for result in results if result.item.in_grammar]
        others = [result for result in results if not result.item.in_grammar]
        cells = (
            share(commands, lambda r: r.right),
            share(commands, lambda r: not r.right and not r.refused),
            share(commands, lambda r: r.refused),
            share(others, lambda r: r.right),
        )
        print(f"{name:34}" + "".join(f"{cell:>18}" for cell in cells))


def report(results: list[Result]) -> None:
    wide = [result for result in results if not result.item.voice.narrow]
    for side, held_out in (("tuning", False), ("held out", True)):
        mine = [result for result in wide if result.item.held_out is held_out]
        print_table(
            f"{side}, voices of 16 kHz and more (noise at {SNR_DB:g} dB)",
            [
                (c, [r for r in mine if r.condition == c])
                for c in CONDITIONS
                if any(r.condition == c for r in mine)
            ],
        )
    held = [result for result in results if result.item.held_out]
    voices = sorted({result.item.voice.label for result in held})
    for condition in sorted({result.condition for result in held}):
        rows = [
            (label, [r for r in held if r.item.voice.label == label and r.condition == condition])
            for label in voices
        ]
        print_table(f"held out, by voice, {condition} (flite-kal: made at 8 kHz)", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="take each n-th file only")
    parser.add_argument("--condition", choices=CONDITIONS, action="append", help="only this one")
    parser.add_argument("--keep", type=Path, help="a file to keep the speech in between runs")
    parser.add_argument("--errors", action="store_true", help="list what went wrong, on the tuning files")
    chosen = parser.parse_args()
    files = make_speech(list(items())[:: chosen.every], chosen.keep)
    babble()  # made once, before the processes are forked off
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers) as pool:
        parts = [files[index::workers] for index in range(workers)]
        results = list(
            chain.from_iterable(pool.map(hear, parts, [tuple(chosen.condition or CONDITIONS)] * workers))
        )
    report(results)
    if chosen.errors:
        for result in sorted(results, key=lambda r: r.item.name):
            if not result.right and not result.item.held_out:
                print(f"{result.condition:7} {result.item.name}: {result.text!r} ({result.score:+.2f})")


if __name__ == "__main__":
    main()
