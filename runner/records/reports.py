"""Links a test's report with the record of the call that it made."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Collection, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from runner.records.files import append_to_index, write_head
from runner.records.folder import RecordError, ids_in
from runner.records.record import Record, read_head

WAIT_S, LOOK_S = 2.0, 0.1
NEWEST = 200


def attach_report(
    folder: Path, call_id: str, origin: Mapping[str, Any], report: Mapping[str, Any]
) -> Path | None:
    """Write into the record of a provider's call who made it, and how it fared; returns its folder. None if
    it was not recorded here. Waits until the record is complete, for two seconds at most."""
    path, head = wait_for_call(folder, call_id)
    if path is None:
        return None
    head |= {"origin": dict(origin), "report": dict(report)}
    with contextlib.suppress(OSError):  # the call itself is over and recorded
        write_head(path, head)
        if head.get("state") == "ended":
            append_to_index(folder, head)
    return path


def wait_for_call(folder: Path, name: str, within_s: float = WAIT_S) -> tuple[Path | None, dict[str, Any]]:
    """The record of the newest call with this provider's id or session id, and its `call.json`, when it is
    complete or the time is up; None if there is none."""
    until = time.monotonic() + within_s
    while True:
        path, head = _of_call(folder, name)
        if path is None or head.get("state") == "ended" or time.monotonic() > until:
            return path, head
        time.sleep(LOOK_S)


def _of_call(folder: Path, call_id: str) -> tuple[Path | None, dict[str, Any]]:
    for name in islice(ids_in(folder), NEWEST) if call_id else ():
        with contextlib.suppress(RecordError):
            head = read_head(folder / name)
            if call_id in (head.get("call_id"), head.get("session")):
                return folder / name, head
    return None, {}


def keep_failed(folder: Path, pids: Collection[int], since: float) -> list[Path]:
    """Of the calls that these processes have recorded since a time (s since 1970), delete those that did not
    fail; returns the others."""
    kept: list[Path] = []
    for name in ids_in(folder):
        path = folder / name
        with contextlib.suppress(RecordError, OSError):
            if path.stat().st_mtime < since:
                break
            record = Record(path)
            if record.head.get("pid") not in pids:
                continue
            if record.summary.failed:
                kept.append(path)
            else:
                shutil.rmtree(path, ignore_errors=True)
    return kept
