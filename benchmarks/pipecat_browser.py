#!/usr/bin/env python3
"""Public Pipecat bots over WebRTC: headless Chromium opens botrun's page and talks to each.

    python benchmarks/pipecat_browser.py --corpus DIR --kit DIR --answered FILE --results FILE [--count 10]

The folders are those of pipecat_corpus.py; FILE is its result for botrun, of which bots that answered are
taken; the Python needs playwright and botrun, --python is the one that runs the bots. Everything runs in a
network namespace with nothing but loopback and a pair of virtual interfaces, which gives Chromium an
address. The microphone is a recording: silence, a sentence, silence. Heard is what Chromium's decoder puts
out, by its `totalAudioEnergy`. A line of JSON per bot is appended; classes as in pipecat_corpus.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path
from typing import Any

import pipecat_corpus as corpus

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from browsing import FLAGS, MICROPHONE  # noqa: E402
from webrtc_chromium import NOTE_PEERS  # noqa: E402

from runner.callers.sound.microphone import Speech, caller_voice  # noqa: E402

NETWORK = (
    "ip link set lo up && ip link add v0 type veth peer name v1 && ip addr add 10.99.0.1/24 dev v0 && "
    "ip link set v0 up && ip link set v1 up"
)
BEFORE_S, AFTER_S, EVERY_S = 6.0, 12.0, 0.1
HEARD = 1e-4
"""Energy a second that is sound: 40 dB below full scale."""

ANSWER_S = 0.3
"""An answer is at least so long (s)."""

ENERGY = """async () => {
  const peer = window.peers.at(-1);
  if (!peer) return null;
  const report = await peer.getStats();
  const entry = [...report.values()].find((one) => one.type === "inbound-rtp" && one.kind === "audio");
  return entry ? entry.totalAudioEnergy : 0;
}"""


def main() -> None:
    args = corpus.answered_bots(__doc__, count=10)
    corpus.isolate(NETWORK)
    asyncio.run(run_all(args))


async def run_all(args: argparse.Namespace) -> None:
    from playwright.async_api import async_playwright

    async with caller_voice() as voice:
        sentence = await voice.speak(corpus.SENTENCE)
    async with async_playwright() as playwright:
        for bot in corpus.of_each_repository(args, "webrtc"):
            with tempfile.TemporaryDirectory() as home:
                try:
                    found = await visit(args, bot, Path(home), playwright, sentence)
                except Exception as error:
                    found = {"class": "no start", "error": f"{type(error).__name__}: {error}"}
            result = {"repo": bot["repo"], "path": bot["path"], **found}
            with args.results.open("a") as results:
                results.write(json.dumps(result) + "\n")
            print(json.dumps(result), flush=True)


async def visit(
    args: argparse.Namespace, bot: dict[str, Any], home: Path, playwright: Any, sentence: Speech
) -> dict[str, Any]:
    """Start the bot, and talk to it in a browser."""
    path, port = corpus.place_of(args.corpus, bot), corpus.free_port()
    environment = corpus.environment(args, bot, home, home / "marks")
    command = [args.python, "-m", "runner.cli", path.name, "-t", "webrtc", "--port", str(port), "--no-open"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=path.parent, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        if not await asyncio.to_thread(corpus.wait_for, port, process):
            return {"class": "no start", "last": corpus.last_words(home / "log")}
        found = await listen(playwright, f"http://127.0.0.1:{port}", home, sentence)
    finally:
        await asyncio.to_thread(corpus.end, process)
    return {**found, "last": corpus.last_words(home / "log")}


async def listen(playwright: Any, address: str, home: Path, sentence: Speech) -> dict[str, Any]:
    recording = f"--use-file-for-fake-audio-capture={microphone(home / 'said.wav', sentence)}%noloop"
    browser = await playwright.chromium.launch(
        executable_path="/usr/bin/chromium", args=[*FLAGS, *MICROPHONE, recording]
    )
    try:
        page = await (await browser.new_context(permissions=["microphone"])).new_page()
        await page.add_init_script(NOTE_PEERS)
        await page.goto(address)
        await asyncio.sleep(1)
        await page.click("#orb")
        return await classify(page, len(sentence.pcm) / 2 / sentence.sample_rate)
    finally:
        await browser.close()


async def classify(page: Any, sentence_s: float) -> dict[str, Any]:
    """What is heard before the sentence is over, and after."""
    loop = asyncio.get_running_loop()
    begun, before, since, heard = loop.time(), 0.0, 0.0, list[tuple[float, float]]()
    over = BEFORE_S + sentence_s
    while since < over + AFTER_S:
        await asyncio.sleep(EVERY_S)
        energy, at = await page.evaluate(ENERGY) or 0.0, loop.time() - begun
        if energy - before > HEARD * (at - since):
            heard.append((since, at))
        before, since = energy, at
    first = next((begin for begin, _ in heard if begin < over), None)
    answer_s = sum(end - begin for begin, end in heard if begin > over)
    name = "answered" if answer_s >= ANSWER_S else "spoke first" if first is not None else "connected, silent"
    return {
        "class": name,
        "first_sound_s": first and round(first, 1),
        "sound_after_s": round(answer_s, 1),
    }


def microphone(path: Path, sentence: Speech) -> Path:
    """The recording that Chromium plays into the call."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sentence.sample_rate)
        silence = bytes(2 * round(BEFORE_S * sentence.sample_rate))
        file.writeframes(silence + sentence.pcm + 3 * silence)
    return path


if __name__ == "__main__":
    main()
