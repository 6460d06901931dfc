"""Makes a scenario of a recorded call: the caller's own sound, and expectations taken from what happened."""

from __future__ import annotations

import json
import math
import wave
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from runner.errors import UsageError
from runner.records.call import RecordedCall
from runner.records.sound import Samples
from runner.replay.clip import Action, Clip, When, clip_of
from runner.replay.comparison.facts import Facts, Line, facts_of
from runner.replay.phone import start_of
from runner.replay.refusal import check

AFTER_S = 0.25
"""So much of the sound behind speech is kept."""

ROOMY = 1.5
"""An answer may take so many times as long as in the call, and half a second more."""

WITHIN_S = 8.0


def pin(record: RecordedCall, path: Path, bot: str = "") -> list[Path]:
    """Write a scenario that makes this call again, and the caller's sound beside it; returns the files.

    Raises:
        RefusedError: the call cannot be replayed.
        UsageError: the files cannot be written, or the scenario exists.
    """
    check(record)
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{path} must end in .yaml")
    if path.exists():
        raise UsageError(f"{path} exists: delete it, or choose another name")
    clip = clip_of(record)
    written: list[Path] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        steps = "".join(f"  - {step}\n" for step in _steps(record, clip, path, written))
        path.write_text(_head(record, path, bot) + steps, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    return [path, *written]


def _head(record: RecordedCall, path: Path, bot: str) -> str:
    file = Path(bot or str((record.head.get("bot") or {}).get("file", "")))
    lines = [f"about: {_text(f'Pinned from the call {record.id}.')}"]
    if file.name:
        lines.append(f"bot: {_text(_relative(file, path.parent))}")
    transport = str(record.head.get("transport"))
    if transport != "webrtc":
        lines.append(f"transport: {transport}")
        numbers = ("from_number", "to_number")  # masked in the record
        parameters = {k: v for k, v in start_of(record)[1].items() if k not in numbers}
        if parameters:
            lines.append(f"parameters: {json.dumps(parameters, ensure_ascii=False)}")
    return "\n".join([*lines, "steps:", ""])


def _relative(file: Path, folder: Path) -> str:
    import os

    return os.path.relpath(file, folder)


def _text(text: str) -> str:
    """A text in YAML; JSON's strings are."""
    return json.dumps(text, ensure_ascii=False)


# ------------------------------------------------------------------ steps


def _steps(record: RecordedCall, clip: Clip, path: Path, written: list[Path]) -> Iterator[str]:
    facts = facts_of(record)
    actions = list(clip.actions)
    for number, (action, following) in enumerate(pairwise([*actions, None]), 1):
        assert action is not None
        until = float("inf") if following is None else following.at_s
        if number == 1 and action.when is When.SILENCE:
            yield from _greeting(facts)
        yield from _wait(action)
        yield from _act(action, clip, path, written, facts)
        if action.what in ("speech", "key"):
            yield from _expect(action, until, record, facts)
    yield "expect: {violations: 0}"


def _greeting(facts: Facts) -> Iterator[str]:
    if facts.greeting_s is not None:
        yield f"expect: {{greeting_within: {_limit(facts.greeting_s, 2.0)}}}"


def _wait(action: Action) -> Iterator[str]:
    if action.what == "wait_for_hang_up":
        return
    if action.when is When.SILENCE:
        yield f"wait_for_silence: {{for: {max(action.seconds, 0.5):.2f}s}}"
    elif action.when is When.CLOCK and action.seconds > 0.05:
        yield f"wait: {action.seconds:.2f}s"


def _act(action: Action, clip: Clip, path: Path, written: list[Path], facts: Facts) -> Iterator[str]:
    match action.what:
        case "speech":
            file = path.with_name(f"{path.stem}-{len(written) + 1}.wav")
            write_wav(file, clip.sound(action.at_s, action.until_s + AFTER_S), clip.sample_rate)
            written.append(file)
            if action.when is When.OVER:
                yield f"interrupt: {{after: {action.seconds:.2f}s, wav: {_text(file.name)}}}"
            else:
                yield f"wav: {_text(file.name)}"
        case "key":
            yield f"press: {_text(action.text)}"
        case "hang_up":
            yield "hang_up"
        case "wait_for_hang_up":
            yield f"expect: {{hangs_up: true, within: {WITHIN_S:g}s}}"


def write_wav(path: Path, pcm: Samples, sample_rate: int) -> None:
    """Write mono s16le."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(pcm.astype("<i2").tobytes())


def _expect(action: Action, until: float, record: RecordedCall, facts: Facts) -> Iterator[str]:
    """What came of an action, until the next."""
    wanted: list[str] = []

    def between(lines: Sequence[Line]) -> list[Line]:
        return [line for line in lines if action.at_s <= line.at_s < until]

    finals = [e for e in record.events if e["kind"] == "final" and action.at_s <= float(e["t"]) < until]
    if understood := [text for e in finals if (text := str(e.get("text", "")).strip())]:
        wanted += [f"understood: {_texts(understood)}"] if action.what == "speech" else []
    answer = next((each for each in facts.answers if action.at_s < each.to_s < until), None)
    if action.what == "speech" and answer is not None:
        wanted.append(f"answer_within: {_limit(answer.silence_s, 0.5)}")
    if tools := [e for e in record.events if e["kind"] == "tool_call" and action.at_s <= e["t"] < until]:
        wanted.append(f"tools: {_texts([str(each.get('name')) for each in tools])}")
    said = [line.text for line in between(facts.said("bot")) if not line.interrupted and not line.unheard]
    if said:
        wanted.append(f"words: {_texts(said)}")
    if wanted:
        yield f"expect: {{{', '.join([*wanted, f'within: {WITHIN_S:g}s'])}}}"


def _limit(seconds: float, more_s: float) -> str:
    return f"{math.ceil((seconds * ROOMY + more_s) * 10) / 10:g}s"


def _texts(texts: Sequence[Any]) -> str:
    return _text(texts[0]) if len(texts) == 1 else json.dumps(list(texts), ensure_ascii=False)
