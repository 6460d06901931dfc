"""Run the tests marked `processes` side by side, then those marked `realtime`, one after the other.

A test that fails is run once more, alone. If it passes then, it is flaky: the last lines of the run name it
with its first failure. More than three flaky tests, or one that fails twice, fail the run.

usage: python .ci/realtime.py REPORT_FOLDER [pytest arguments ...]
"""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

GROUPS = {
    "processes": ("-m", "processes and not realtime", "-n", "auto"),
    "realtime": ("-m", "realtime"),
}
MOST_FLAKY = 3
MOST_REPEATED = 8
MOST_SHOWN = 1200
"""Characters of a failure's message."""


@dataclass(frozen=True)
class Failure:
    """A test that failed, by the id that pytest takes, and why: the message's first and last lines."""

    test: str
    reason: str


def main(folder: str, *arguments: str) -> int:
    Path(folder).mkdir(parents=True, exist_ok=True)
    failures: list[Failure] = []
    for name, group in GROUPS.items():
        status, failed = run(Path(folder) / f"{name}.xml", *group, "--durations=20", *arguments)
        if status not in (0, 1):
            return status
        failures += failed
    if len(failures) > MOST_REPEATED:
        print(f"\n{len(failures)} of these tests failed: too many to be repeated")
        return 1
    flaky, broken = [], []
    for number, failure in enumerate(failures):
        again, _ = run(Path(folder) / f"again-{number}.xml", *arguments, failure.test)
        (flaky if again == 0 else broken).append(failure)
    for name, found in (("FAILED TWICE", broken), ("FLAKY", flaky)):
        for failure in found:
            print(f"{name} {failure.test}: {failure.reason}")
    return 1 if broken or len(flaky) > MOST_FLAKY else 0


def run(report: Path, *arguments: str) -> tuple[int, list[Failure]]:
    """pytest's exit status and what failed, errors of set-up and teardown included."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--realtime",
        "-o",
        "junit_family=xunit1",
        f"--junit-xml={report}",
    ]
    status = subprocess.run([*command, *arguments]).returncode
    return status, read_failures(report) if report.is_file() else []


def read_failures(report: Path) -> list[Failure]:
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        for fault in (*case.iter("failure"), *case.iter("error")):
            name = f"{case.get('file')}::{case.get('name')}"
            found.setdefault(name, shortened(fault.get("message") or ""))
    return [Failure(*item) for item in found.items()]


def shortened(message: str) -> str:
    """The lines of a failure's message in one; of a long one (the output of a process, say) both ends."""
    line = " | ".join(filter(None, map(str.strip, message.splitlines())))
    return line if len(line) <= MOST_SHOWN else f"{line[: MOST_SHOWN // 4]} … {line[-MOST_SHOWN * 3 // 4 :]}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
