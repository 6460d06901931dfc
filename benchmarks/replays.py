"""Replays recorded calls on unchanged code, and prints how like they are.

    python benchmarks/replays.py --calls 5

Over each provider's wire, so many calls with an interruption, a key and a tool are recorded with fake
services, in virtual time, and replayed three times: with the bot's own services, twice with recorded ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from replay_bots import ReplayBot, record_call

from runner.playback.bot import with_recorded_services
from runner.records.call import RecordedCall
from runner.replay.clip import clip_of
from runner.replay.comparison.facts import facts_of
from runner.replay.run import Replayed, ReplayRequest, call_in_process, compared, speech_s
from runner.testing import run_virtual

PROVIDERS = ("twilio", "telnyx", "plivo", "exotel")


def events(path: Path) -> list[dict[str, object]]:
    """All but log lines, which name the session."""
    lines = (json.loads(line) for line in (path / "events.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] != "log"]


def replay(record: RecordedCall, services: str) -> Replayed:
    """One replay in virtual time."""
    bot = ReplayBot(hears_s=record_delay(record)).loaded()
    if services == "recorded":
        bot = with_recorded_services(bot, record.path)
    request = ReplayRequest(record=record, folder=record.path.parent, services=services)
    return run_virtual(call_in_process(request, clip_of(record), bot), 600)


def record_delay(record: RecordedCall) -> float:
    """The recogniser's delay (s) in this call: each call has another."""
    return DELAYS[record.id]


DELAYS: dict[str, float] = {}


def main() -> int:
    """Record, replay, and print a table. The exit status is 1 if anything differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=5, help="calls over each wire")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) / "calls"
    print(f"{'wire':<8} {'s':>6} {'live':<8} {'recorded':<9} {'twice':<10} {'worst':>9} {'CPU/min':>8}")
    bad = 0
    for provider in PROVIDERS:
        for number in range(args.calls):
            bad += not one(folder, provider, number)
    return int(bool(bad))


def one(folder: Path, provider: str, number: int) -> bool:
    """One call and its replays; prints a row."""
    delay_s = 0.1 + 0.037 * number
    record = record_call(ReplayBot(hears_s=delay_s), folder, provider)
    DELAYS[record.id] = delay_s
    before = facts_of(record, speech_s(clip_of(record)))
    live = compared(before, [replay(record, "live")])
    began = time.process_time()
    first = replay(record, "recorded")
    cpu_s = (time.process_time() - began) * 60 / record.duration_s
    second = replay(record, "recorded")
    again = compared(before, [first])
    same = events(first.path) == events(second.path)
    pairs = [
        abs(new.silence_s - old.silence_s)
        for comparison in (live, again)
        for old, new in zip(before.answers, comparison.after[0].answers, strict=True)
    ]
    worst_ms = max(pairs, default=0.0) * 1000
    twice = "identical" if same else "differ"
    print(
        f"{provider:<8} {record.duration_s:6.1f} {live.verdict:<8} {again.verdict:<9} {twice:<10}"
        f" {worst_ms:6.1f} ms {cpu_s:6.2f} s",
        flush=True,
    )
    for finding in (*live.findings, *again.findings):
        print(f"         {finding.sentence}")
    return live.verdict == again.verdict == "same" and same and worst_ms <= 30


if __name__ == "__main__":
    raise SystemExit(main())
