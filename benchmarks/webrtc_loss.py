#!/usr/bin/env python3
"""A WebRTC call over bad networks: ours beside bare aiortc, in one run. Needs root (network namespaces).

    uv run python benchmarks/webrtc_loss.py [--secs 12] [--connects 20] [--out FILE.json]

The caller is aiortc's stock peer, which sends Opus with forward error correction. For each network: which
share of the packets that arrived within 100 ms of their turn was decoded, what was recovered and concealed,
the longest concealed run, the probe tones found in what the bot heard, and the echo's delay at the caller.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from bad_network import bad_network, call  # noqa: E402

ROUGH = ("--delay", "20", "--jitter", "20")
NETWORKS = {
    "clean": ("--delay", "1"),
    "2 %, ±20 ms": ("--loss", "2", *ROUGH),
    "5 %, ±20 ms": ("--loss", "5", *ROUGH),
    "10 %, ±20 ms": ("--loss", "10", *ROUGH),
    "20 %, ±20 ms": ("--loss", "20", *ROUGH),
    "5 % in threes": ("--loss", "5", "--burst", "3", *ROUGH),
    "2 %, reordered": ("--loss", "2", "--reorder", *ROUGH),
}
CONNECTING = ("--loss", "5", "--delay", "50", "--jitter", "20")
ANSWERERS = ("botrun", "aiortc")


def figures(network: str, answerer: str, caller: dict[str, Any], bot: dict[str, Any]) -> dict[str, Any]:
    sent = bot["last"] + 1
    echo, chirps = caller["echo_ms"], bot["chirps"]
    return {
        "network": network,
        "answerer": answerer,
        "sent": sent,
        "lost_percent": 100 * (1 - bot["arrived"] / sent),
        "decoded_percent_of_in_time": 100 * bot["decoded"] / max(1, bot["in_time"]),
        "recovered": bot.get("recovered"),
        "concealed_percent": 100 * bot["concealed"] / sent if "concealed" in bot else None,
        "late": bot.get("late"),
        "longest_run": bot.get("longest_run"),
        "tones": f"{sum(chirps)}/{len(chirps)}",
        "echo_p50_ms": statistics.median(echo) if echo else None,
        "state": caller["state"],
    }


def shown(found: dict[str, Any]) -> str:
    return " | ".join(f"{v:.1f}" if isinstance(v, float) else str(v) for v in found.values())


def connects(times: int) -> dict[str, list[float]]:
    """How long (s) it took to connect, each time; 20 and more is never."""
    found: dict[str, list[float]] = {answerer: [] for answerer in ANSWERERS}
    for seed in range(times):
        for answerer in ANSWERERS:
            with bad_network(*CONNECTING, "--seed", str(seed)) as network:
                caller, _ = call(network, answerer, 1.0)
            found[answerer].append(caller["connect_s"] if caller["state"] == "connected" else 99.0)
    return found


def read_options() -> argparse.Namespace:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--secs", type=float, default=12)
    parser.add_argument("--connects", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    options = read_options()
    results: list[dict[str, Any]] = []
    for name, words in NETWORKS.items():
        for answerer in ANSWERERS:
            with bad_network(*words, "--seed", str(options.seed)) as network:
                results.append(figures(name, answerer, *call(network, answerer, options.secs)))
            if len(results) == 1:
                print(" | ".join(results[0]))
            print(shown(results[-1]), flush=True)
    connected = connects(options.connects)
    for answerer, times in connected.items():
        good = [secs for secs in times if secs < 20]
        middle = f"median {statistics.median(good):.2f} s, longest {max(good):.2f} s" if good else ""
        print(f"{answerer} connects {len(good)} of {len(times)}: {middle}")
    if options.out is not None:
        options.out.write_text(json.dumps({"calls": results, "connects": connected}, indent=1))


if __name__ == "__main__":
    main()
