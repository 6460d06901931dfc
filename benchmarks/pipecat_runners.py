#!/usr/bin/env python3
"""The same unchanged Pipecat bot, run by Pipecat's own runner and by botrun, in alternating rounds.

    python benchmarks/pipecat_runners.py --rounds 5 --out runners.json

Run it with a Python that has botrun, its local voice and `pipecat-ai[runner,webrtc,websocket]`. The bots are
tests/integrations/pipecat/bots: `talk_bot.py`, whose services answer after 60 ms each, and `socket_bot.py`,
which says goodbye and ends the call. Everything runs in a network namespace with nothing but loopback.
Pipecat's runner gets credentials for Twilio, without which it takes no call; botrun has none.

    ready          from the command to the first answered request
    greeting       from the call to the bot's first sound
    turn latency   from the end of the caller's sentence to the bot's sound
    cut tail       how much of the goodbye is not heard, because the call ends before
    forged         of 20 webhooks and 20 media sockets, unsigned, on a public address: those accepted
    CPU            ms a second of call, with 10 callers that talk, of the process that runs the bot
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pipecat_corpus as corpus

ROOT = Path(__file__).parents[1]
BOTS = ROOT / "tests" / "integrations" / "pipecat" / "bots"
BOTRUN = (sys.executable, "-P", "-m", "runner.cli")
READY_S, LOOK_EVERY_S = 120.0, 0.01
TWILIO = dict.fromkeys(corpus.TWILIO_KEYS, "x")
GOODBYE_S = 0.02 * len("I only want to tell you that I am leaving now, and wish you a good day")
FORGED, CALLERS = 20, 10
START = {
    "event": "start",
    "streamSid": "MZ1",
    "start": {"streamSid": "MZ1", "callSid": "CA1", "accountSid": "AC1", "customParameters": {},
              "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}},
}  # fmt: skip


@dataclass
class Runner:
    """One of the two, and what was measured of it."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    public: tuple[str, ...]
    found: dict[str, list[float]] = field(default_factory=dict)

    @contextlib.contextmanager
    def running(self, bot: str, *more: str, **environment: str) -> Iterator[tuple[int, int, float]]:
        """Serve this bot; gives the port, the process and how long (s) it took to answer."""
        port, begun = corpus.free_port(), time.monotonic()
        command = [*self.command, bot, "-t", "twilio", "--port", str(port), *more]
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                command,
                cwd=BOTS,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment, **environment},
            )
            try:
                if not answers(port, process):
                    log.seek(0)
                    raise SystemExit(f"{self.name} does not answer:\n{log.read().decode()}")
                yield port, process.pid, time.monotonic() - begun
            finally:
                corpus.end(process)

    def note(self, name: str, *values: float) -> None:
        self.found.setdefault(name, []).extend(values)


def runners() -> list[Runner]:
    proxy = "bot.example.com"
    return [
        Runner("botrun", (*BOTRUN,), {"BOTRUN_RELOAD": "0"}, ("--proxy", proxy)),
        Runner("pipecat's", (sys.executable,), {**TWILIO, "ENV": "local"}, ("-x", proxy)),
    ]


def answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether any request is answered in time."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            ask(port, "GET", "/status")
            return True
        time.sleep(LOOK_EVERY_S)
    return False


def ask(port: int, method: str, path: str, **headers: str) -> int:
    """The status with which a request is answered; a POST asks what to do with a call."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        body = "CallSid=CA1&From=%2B15550001001&To=%2B15550001002"
        form = {"Content-Type": "application/x-www-form-urlencoded", "Host": "bot.example.com", **headers}
        connection.request(method, path, body if method == "POST" else None, form)
        return connection.getresponse().status
    finally:
        connection.close()


# ------------------------------------------------------------------ one round


def measure(runner: Runner, words: Path) -> None:
    """All figures of one runner, once."""
    with runner.running("talk_bot.py") as (port, _, ready_s):
        runner.note("ready, s", ready_s)
        call(port, words)  # the first call of a process imports and compiles
        for _ in range(2):
            report = call(port, words)
            runner.note("greeting, ms", report["greeting_ms"])
            runner.note("turn latency, ms", *report["turn_latencies_ms"])
    with runner.running("socket_bot.py", **TWILIO) as (port, _, _):
        heard_s = call(port, words)["bot_speech_s"]
        runner.note("cut tail, ms", max(0.0, 1000 * (GOODBYE_S - heard_s)))
    with runner.running("talk_bot.py") as (port, pid, _):
        runner.note("CPU, ms a call-second", load(port, pid))
    runner.note("forged, accepted of 40", forged(runner))


def spoken(path: Path) -> Path:
    """A second that the bots' voice detection takes for speech: loud, with the pauses of words."""
    noise = np.random.default_rng(16).normal(0, 6000, 8000).clip(-32000, 32000)
    words = noise * (np.sin(2 * np.pi * 2.5 * np.arange(8000) / 8000) > -0.9)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(words.astype("<i2").tobytes())
    return path


def call(port: int, words: Path) -> dict[str, Any]:
    command = [*BOTRUN, "call", "--url", f"ws://127.0.0.1:{port}/ws", "-t", "twilio", "--wav", str(words)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def load(port: int, pid: int) -> float:
    command = [*BOTRUN, "load", f"ws://127.0.0.1:{port}/ws", "--pid", str(pid), "--scenario", "talk"]
    command += ["-n", str(CALLERS), "--duration", "12", "--ramp", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    cpu: float = json.loads(done.stdout)["server"]["cpu_ms_per_call_s"]
    return cpu


def forged(runner: Runner) -> int:
    """How many calls somebody gets who only knows the public address."""
    from websockets.sync.client import connect

    public = corpus.free_port()
    more = (*runner.public, *(("--public-port", str(public)) if runner.name == "botrun" else ()))
    accepted = 0
    with runner.running("talk_bot.py", *more, TWILIO_AUTH_TOKEN="secret", TWILIO_ACCOUNT_SID="AC1") as (
        port,
        _,
        _,
    ):
        door = public if runner.name == "botrun" else port
        for _ in range(FORGED):
            accepted += (
                ask(door, "POST", "/", **{"X-Twilio-Signature": "Zm9yZ2Vk", "X-Forwarded-Proto": "https"})
                == 200
            )
        for _ in range(FORGED):
            with contextlib.suppress(Exception), connect(f"ws://127.0.0.1:{door}/ws") as socket:
                socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
                socket.send(json.dumps(START))
                accepted += "media" in str(socket.recv(timeout=10))
    return accepted


# ------------------------------------------------------------------ results


def table(compared: list[Runner]) -> Iterator[str]:
    yield f"| median | {' | '.join(runner.name for runner in compared)} |"
    yield "|---" * (len(compared) + 1) + "|"
    for name in compared[0].found:
        cells = [f"{statistics.median(runner.found[name]):.4g}" for runner in compared]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    for name in compared[0].found:
        for runner in compared:
            yield f"{name}, {runner.name}: {', '.join(f'{value:.4g}' for value in runner.found[name])}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="all figures, as JSON")
    args = parser.parse_args()
    corpus.isolate()
    compared = runners()
    with tempfile.TemporaryDirectory() as folder:
        words = spoken(Path(folder, "words.wav"))
        for number in range(args.rounds):
            for runner in compared if number % 2 == 0 else reversed(compared):
                began = os.getloadavg()[0]
                measure(runner, words)
                latest = {name: values[-1] for name, values in runner.found.items()}
                print(
                    f"round {number + 1}, load {began:.1f}, {runner.name}: {latest}",
                    file=sys.stderr,
                    flush=True,
                )
            if args.out:
                args.out.write_text(json.dumps({r.name: r.found for r in compared}, indent=1))
    print("\n".join(table(compared)))


if __name__ == "__main__":
    main()
