"""A call on disk: stereo sound, messages, figures."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np

from runner.callers.phone import Phone
from runner.errors import UsageError


def make_folder(folder: Path) -> None:
    """The folder for a call's files; told before the call if it cannot be.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--save: {folder} cannot be made: {error.strerror or error}") from None


def save_call(folder: Path, phone: Phone, report: dict[str, Any]) -> None:
    """Write `call.wav` (caller left, bot right, aligned to the sample), `messages.jsonl` (`at` in s since
    the call began) and `report.json`."""
    with wave.open(str(folder / "call.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(phone.sample_rate)
        file.writeframes(stereo(phone))
    lines = (
        json.dumps(
            {"at": round(m.at, 6), "to": "bot" if m.to_bot else "phone", "message": m.text},
            ensure_ascii=False,
        )
        for m in phone.log.messages
    )
    (folder / "messages.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    told = json.dumps(report, indent=2, ensure_ascii=False)
    (folder / "report.json").write_text(f"{told}\n", encoding="utf-8")


def stereo(phone: Phone) -> bytes:
    """What the caller said and what was heard of the bot, interleaved, from the call's first sample on."""
    left = np.frombuffer(phone.mouth.recording(), "<i2")
    right = np.frombuffer(phone.playout.recording(), "<i2")
    both = np.zeros((max(len(left), len(right)), 2), "<i2")
    both[: len(left), 0], both[: len(right), 1] = left, right
    return both.tobytes()
