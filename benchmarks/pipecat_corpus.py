#!/usr/bin/env python3
"""Public Pipecat bots, one after another, by Pipecat's own runner and by botrun, over Twilio's wire.

    python benchmarks/pipecat_corpus.py run --corpus DIR --kit DIR --runner botrun --results FILE
    python benchmarks/pipecat_corpus.py run --corpus DIR --kit DIR --runner pipecat --results FILE
    python benchmarks/pipecat_corpus.py compare FILE FILE

KIT is the folder of the corpus (`manifest.json`, `fake_services/`, `extract.py`), CORPUS what `extract.py`
has unpacked; the bots are public repositories' and are never committed. Run it with a Python that has
botrun, its local voice, and `pipecat-ai[webrtc,runner,silero,websocket]`; for --runner pipecat, --python may
name another one with Pipecat alone.

Each bot runs in a network namespace with nothing but loopback, with a HOME of its own and any value for the
keys that it reads. One call: a sentence, then at most 20 s. A line of JSON per bot is appended to FILE, and
bots that are there already are left out: stop it and run it again as you like. Classes:

    answered           sound after the sentence
    spoke first        sound before it only
    connected, silent  a pipeline ran, and nothing was heard
    no pipeline        the call was accepted, and no pipeline ran
    crashed            the runner ended by itself
    no start           nobody listened on the port
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

SENTENCE = "hello can you hear me"
CALL_S, START_S, SLACK_S = 20.0, 120.0, 70.0
TWILIO_KEYS = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
"""Without them Pipecat's runner takes no call; botrun needs none here."""

INSIDE = "CORPUS_INSIDE"
BEST_FIRST = ("answered", "spoke first", "connected, silent", "no pipeline", "crashed", "no start")


def answered_bots(about: str | None, count: int) -> argparse.Namespace:
    """The command line of a benchmark with bots that answered under botrun."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("corpus", "kit", "answered", "results"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--only", default="", help="a regular expression for repository/path")
    args = parser.parse_args()
    args.runner = "botrun"
    return args


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, dest="command")
    run = commands.add_parser("run")
    run.add_argument("--corpus", type=Path, required=True)
    run.add_argument("--kit", type=Path, required=True)
    run.add_argument("--runner", choices=("botrun", "pipecat"), required=True)
    run.add_argument("--results", type=Path, required=True)
    run.add_argument("--python", default=sys.executable, help="that runs the bots")
    run.add_argument("--only", default="", help="a regular expression for repository/path")
    run.add_argument("--logs", type=Path, help="keep each bot's output here")
    compared = commands.add_parser("compare")
    compared.add_argument("files", type=Path, nargs=2)
    args = parser.parse_args()
    if args.command == "compare":
        compare(*args.files)
        return
    isolate()
    run_all(args)


def isolate(setup: str = "ip link set lo up") -> None:
    """Run this program again in a network namespace of its own, which `setup` prepares."""
    if os.environ.get(INSIDE) == "1":
        return
    inside = ["unshare", "-n", "sh", "-c", f'{setup} && exec "$@"', "sh", sys.executable, *sys.argv]
    os.execvpe("unshare", inside, {**os.environ, INSIDE: "1"})


def of_each_repository(args: argparse.Namespace, transport: str) -> list[dict[str, Any]]:
    """`--count` bots for this transport that answered in `--answered`, of as many repositories as it has."""
    answered = {(line["repo"], line["path"]) for line in lines(args.answered) if line["class"] == "answered"}
    bots = json.loads((args.kit / "manifest.json").read_text())["bots"]
    groups: dict[str, list[dict[str, Any]]] = {}
    for bot in sorted(bots, key=lambda bot: bot["blob"]):
        if (bot["repo"], bot["path"]) in answered and transport in bot["transports"]:
            groups.setdefault(bot["repo"], []).append(bot)
    mixed = [bot for row in zip_longest(*groups.values()) for bot in row if bot is not None]
    return [bot for bot in mixed if re.search(args.only, f"{bot['repo']}/{bot['path']}")][: args.count]


def run_all(args: argparse.Namespace) -> None:
    bots = json.loads((args.kit / "manifest.json").read_text())["bots"]
    done = {(line["repo"], line["path"]) for line in lines(args.results)}
    left = [b for b in bots if (b["repo"], b["path"]) not in done]
    left = [b for b in left if re.search(args.only, f"{b['repo']}/{b['path']}")]
    if missing := [b["path"] for b in left if not place_of(args.corpus, b).exists()]:
        print(f"the corpus lacks {len(missing)} bots: {', '.join(missing)}")
    left = [b for b in left if b["path"] not in missing]
    # In no order of theirs, so that a part of them is a sample.
    for number, bot in enumerate(sorted(left, key=lambda bot: bot["blob"]), 1):
        found = run_bot(args, bot)
        if found is None:
            print(f"{number}/{len(left)} no call could be placed: left out {bot['repo']} {bot['path']}")
            continue
        result = {"repo": bot["repo"], "path": bot["path"], "runner": args.runner, **found}
        with args.results.open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(f"{number}/{len(left)} {result['class']:18} {bot['repo']} {bot['path']}", flush=True)


def place_of(corpus: Path, bot: dict[str, Any]) -> Path:
    return Path(corpus, bot["repo"].replace("/", "+"), bot["path"])


def run_bot(args: argparse.Namespace, bot: dict[str, Any]) -> dict[str, Any] | None:
    """Start the runner, ring it, and classify; None if the phone itself failed, twice."""
    path = place_of(args.corpus, bot)
    with tempfile.TemporaryDirectory() as home:
        marks, log, port = Path(home, "marks"), Path(home, "log"), free_port()
        command = [path.name, "-t", "twilio", "--port", str(port)]
        command = [args.python, *(("-m", "runner.cli") if args.runner == "botrun" else ()), *command]
        begun = time.monotonic()
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=path.parent, env=environment(args, bot, Path(home), marks),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        try:
            ready = wait_for(port, process)
            start_s = round(time.monotonic() - begun, 2)
            report = (call(port) or call(port)) if ready else None
        finally:
            end(process)
        found = [json.loads(line) for line in lines_of(marks)]
        if args.logs:
            args.logs.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, args.logs / f"{bot['repo']}-{bot['path']}.log".replace("/", "+"))
        if ready and report is None:
            return None
        return {
            "class": classify(ready, process, report, found),
            "start_s": start_s,
            "greeting_ms": report and report.get("greeting_ms"),
            "turn_ms": report and report.get("turn_latencies_ms"),
            "errors": [mark for mark in found if mark["kind"] == "error"][:3],
            "last": last_words(log),
        }


def classify(
    ready: bool, process: subprocess.Popen[bytes], report: dict[str, Any] | None, marks: list[dict[str, Any]]
) -> str:
    if not ready:
        return "no start"
    if report is not None and report["turn_latencies_ms"]:
        return "answered"
    if report is not None and report["bot_speech_s"] > 0:
        return "spoke first"
    if any(mark["kind"] == "pipeline" for mark in marks):
        return "connected, silent"
    return "crashed" if process.returncode not in (0, -signal.SIGINT, -signal.SIGKILL, 130) else "no pipeline"


# ------------------------------------------------------------------ one bot's processes


def environment(args: argparse.Namespace, bot: dict[str, Any], home: Path, marks: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join([str(args.kit / "fake_services"), os.environ.get("PYTHONPATH", "")]),
        "PYTHONWARNINGS": "ignore",
        "CORPUS_FAKES": "1",
        "CORPUS_MARKS": str(marks),
        "CORPUS_CORPUS": str(args.corpus),
        "BOTRUN_LOG": "text",
        **dict.fromkeys(bot["env"], "x"),
        **(dict.fromkeys(TWILIO_KEYS, "x") if args.runner == "pipecat" else {}),
    }


def wait_for(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether somebody listens on the port in time."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            time.sleep(0.5)  # Pipecat's runner listens a moment before its routes are there
            return True
        time.sleep(0.2)
    return False


def call(port: int) -> dict[str, Any] | None:
    """The report of one call; None if it could not be placed."""
    command = [sys.executable, "-m", "runner.cli", "call", "--url", f"ws://127.0.0.1:{port}/ws"]
    command += ["-t", "twilio", "--say", SENTENCE, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        out, _ = process.communicate(timeout=CALL_S + SLACK_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            out, _ = process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            return None
    with contextlib.suppress(ValueError):
        report: dict[str, Any] = json.loads(out)
        return report
    return None


def end(process: subprocess.Popen[bytes]) -> None:
    """End the runner and what it has started: they are a session of their own."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None and number is signal.SIGINT:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(8)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


# ------------------------------------------------------------------ results


def lines_of(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def lines(path: Path) -> Iterator[dict[str, Any]]:
    yield from (json.loads(line) for line in lines_of(path))


def last_words(log: Path) -> str:
    """The last lines that say what went wrong, or just the last."""
    said = lines_of(log)
    wrong = [line for line in said if re.search(r"error|exception|warning", line, re.I)]
    return "\n".join(line[:300] for line in (wrong or said)[-3:])


def compare(*files: Path) -> None:
    """Print both distributions, and where they differ."""
    results = [{(r["repo"], r["path"]): r for r in lines(file)} for file in files]
    for file, result in zip(files, results, strict=True):
        print(file.name, dict(Counter(r["class"] for r in result.values())))
    for key in results[0].keys() & results[1].keys():
        one, two = (result[key]["class"] for result in results)
        if one != two:
            better = BEST_FIRST.index(one) < BEST_FIRST.index(two)
            print(f"{one:18} {'>' if better else '<'} {two:18} {' '.join(key)}")
            print("   ", results[1 if better else 0][key]["last"].replace("\n", "\n    "))


if __name__ == "__main__":
    main()
