#!/usr/bin/env python3
"""Public Pipecat bots through three saves in one phone call, run by botrun.

    python benchmarks/pipecat_saves.py --corpus DIR --kit DIR --answered FILE --results FILE [--count 5]

The folders and the Python are those of pipecat_corpus.py; FILE is its result for botrun, of which bots that
answered are taken. Each bot's folder is copied; a save appends a comment to its file. The caller says a
sentence before the first save and after each: the bot must answer it, and say nothing between the move to
the new code and the sentence, which would be a second greeting. A line of JSON per bot is appended.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pipecat_corpus as corpus

from runner.callers.call import new_wire
from runner.callers.connections import dial_network
from runner.callers.phone import Phone
from runner.callers.sound.microphone import Speech, caller_voice

SAVES = 3
ANSWER_S, MOVE_S, QUIET_S = 15.0, 60.0, 1.2
UNASKED_S = 2.0
"""How long (s) the new code is listened to before it is spoken to."""


def main() -> None:
    args = corpus.answered_bots(__doc__, count=5)
    corpus.isolate()
    asyncio.run(run_all(args))


async def run_all(args: argparse.Namespace) -> None:
    async with caller_voice() as voice:
        sentence = await voice.speak(corpus.SENTENCE)
    for bot in corpus.of_each_repository(args, "twilio"):
        with tempfile.TemporaryDirectory() as folder, serving(args, bot, Path(folder)) as (file, port):
            try:
                found = await save_thrice(file, port, sentence)
            except Exception as error:
                found = {"error": f"{type(error).__name__}: {error}"}
        result = {"repo": bot["repo"], "path": bot["path"], **found}
        with args.results.open("a") as results:
            results.write(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)


@contextlib.contextmanager
def serving(args: argparse.Namespace, bot: dict[str, Any], home: Path) -> Iterator[tuple[Path, int]]:
    """botrun with a copy of the bot's folder, until the block ends: the bot's file, and the port."""
    source = corpus.place_of(args.corpus, bot)
    file = Path(shutil.copytree(source.parent, home / "bot"), source.name)
    port = corpus.free_port()
    environment = corpus.environment(args, bot, home, home / "marks")
    command = [args.python, "-m", "runner.cli", str(file), "-t", "twilio", "--port", str(port)]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=file.parent, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        if not corpus.wait_for(port, process):
            raise SystemExit((home / "log").read_text())
        yield file, port
    finally:
        corpus.end(process)
        if os.environ.get("SHOW_LOG"):
            print((home / "log").read_text())


async def save_thrice(file: Path, port: int, sentence: Speech) -> dict[str, Any]:
    answers, moved_s, unasked = [], list[float](), 0
    url = f"ws://127.0.0.1:{port}/ws"
    async with Phone(url, new_wire("twilio"), connect=lambda url: dial_network(url, waits=True)) as phone:
        await phone.until(phone.bot_has_spoken, ANSWER_S)
        answers.append(await is_answered(phone, sentence))
        for number in range(SAVES):
            await phone.until(lambda: phone.bot_quiet_s() > QUIET_S, ANSWER_S)
            before, begun = phone.wire, time.monotonic()
            with file.open("a") as code:
                code.write(f"\n# save {number + 1}\n")
            if not await phone.until(lambda before=before: phone.wire is not before, MOVE_S):
                raise TimeoutError(f"the call did not move after save {number + 1}")
            moved_s.append(round(time.monotonic() - begun, 2))
            spoken = len(phone.speech.spans)
            await phone.until(lambda: False, UNASKED_S)
            unasked += len(phone.speech.spans) - spoken
            answers.append(await is_answered(phone, sentence))
        dropped = phone.ended.is_set()
    return {"answers": answers, "moved_s": moved_s, "spoke_unasked": unasked, "call_dropped": dropped}


async def is_answered(phone: Phone, sentence: Speech) -> bool:
    """Say the sentence in a silence; whether the bot says something after it."""
    await phone.until(lambda: phone.bot_quiet_s() > QUIET_S, ANSWER_S)
    utterance = phone.say(sentence.pcm, sentence.sample_rate, corpus.SENTENCE)
    await phone.until(lambda: utterance.done, ANSWER_S)
    over = phone.now
    return await phone.until(lambda: (phone.speech.last_sound_at or 0.0) > over + 0.1, ANSWER_S)


if __name__ == "__main__":
    main()
