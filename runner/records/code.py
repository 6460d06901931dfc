"""Which code a call ran: the bot file's hash and the git commit."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from pathlib import Path
from typing import Any

GIT_S = 2.0


def code_of(bot: Path) -> dict[str, Any]:
    """`sha256` of the bot's file, the `commit` of its folder, and whether files there have changed since
    (`dirty`). Empty outside git."""
    try:
        digest = hashlib.sha256(bot.read_bytes()).hexdigest()
    except OSError:
        digest = ""
    commit, dirty = _commit_of(bot.parent, digest)
    return {"sha256": digest, "commit": commit, "dirty": dirty}


@functools.lru_cache(maxsize=16)
def _commit_of(folder: Path, digest: str) -> tuple[str, bool]:
    """Asked once for each version of the bot: git takes milliseconds."""
    commit = _git(folder, "rev-parse", "HEAD").strip()
    dirty = bool(commit) and bool(_git(folder, "status", "--porcelain", "--untracked-files=no").strip())
    return commit, dirty


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
