"""Code that was saved is the code that runs, also after two saves within one second."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BOT = """from neighbour import VERSION
from parts.inner import PART
VERSIONS = VERSION, PART, "A"
async def bot(runner_args): ...
"""
PRINT = """import sys
from runner.botcode.loader import load_bot, parse_target
print(*load_bot(parse_target(sys.argv[1])).module.VERSIONS)
"""
SAVED_AT = 1_700_000_000.0


def save(file: Path, text: str) -> None:
    """Write it as if within the same second as the save before."""
    file.write_text(text)
    os.utime(file, (SAVED_AT, SAVED_AT))


def loaded(bot: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", PRINT, str(bot)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_saves_of_the_same_length_within_a_second_are_seen_in_every_file(tmp_path: Path) -> None:
    bot, parts = tmp_path / "my_bot.py", tmp_path / "parts"
    parts.mkdir()
    (parts / "__init__.py").touch()
    save(tmp_path / "neighbour.py", "VERSION = 1\n")
    save(parts / "inner.py", "PART = 1\n")
    save(bot, BOT)
    assert loaded(bot) == "1 1 A"
    save(tmp_path / "neighbour.py", "VERSION = 2\n")
    save(parts / "inner.py", "PART = 2\n")
    save(bot, BOT.replace('"A"', '"B"'))
    assert loaded(bot) == "2 2 B"
    assert not list(tmp_path.rglob("*.pyc"))


def test_a_package_s_files_are_read_from_their_source_too(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    save(package / "__init__.py", "VERSION = 1\n")
    save(package / "bot.py", "from . import VERSION\nVERSIONS = (VERSION,)\nasync def bot(args): ...\n")
    assert loaded(package / "bot.py") == "1"
    save(package / "__init__.py", "VERSION = 2\n")
    assert loaded(package / "bot.py") == "2"
