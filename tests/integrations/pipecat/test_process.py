"""What a Pipecat bot may do to its process, and what it finds there. Each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [pytest.mark.needs_pipecat, pytest.mark.timeout(180)]


def run(folder: Path, text: str, *args: str, **env: str) -> str:
    """Load a bot with this text and these arguments; returns what it printed and logged."""
    bot = folder / "bot.py"
    bot.write_text("async def bot(runner_args): ...\n" + textwrap.dedent(text))
    code = f"""
        import os
        from pathlib import Path
        from runner import logs
        from runner.botcode.loader import BotTarget
        from runner.integrations.pipecat import loading
        from runner.settings import Settings
        bot = Path({str(bot)!r})
        logs.configure(style="text")
        loading.prepare(bot)
        try:
            loading.load(BotTarget(bot), Settings(port=7999, bot_args={args!r}))
        except Exception as error:
            print(type(error).__name__, error)
        print("ENV", os.environ["ENV"])
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=150, cwd=folder, env={"PATH": "/usr/bin", **env},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return found.stdout + found.stderr


def test_loguru_writes_to_botruns_log_whatever_the_bot_does_with_its_handlers(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        import sys
        import pipecat
        from loguru import logger
        logger.remove(0)
        logger.add(sys.stderr, level="INFO", format="THEIRS {message}")
        logger.warning("as {} says", "loguru")
        logger.info("a fact")
        logger.debug("a detail")
        """,
    )
    assert "warning as loguru says" in said
    assert "a fact" in said
    assert "THEIRS" not in said
    assert "a detail" not in said


def test_env_is_local_before_and_after_the_bot_reads_its_own_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ENV=production\n")
    said = run(
        tmp_path,
        """
        import os
        from dotenv import load_dotenv
        import pipecat
        print("AT IMPORT", os.environ["ENV"])
        load_dotenv(override=True)
        """,
    )
    assert "AT IMPORT local" in said
    assert "ENV local" in said


def test_modules_beside_the_bot_come_before_installed_ones(tmp_path: Path) -> None:
    (tmp_path / "iniconfig.py").write_text("NAME = 'neighbour'\n")
    said = run(tmp_path, "import iniconfig\nimport pipecat\nprint('FOUND', iniconfig.NAME)")
    assert "FOUND neighbour" in said
    assert "is hidden" not in said


def test_what_the_user_has_set_for_the_process_stays(tmp_path: Path) -> None:
    assert "ENV staging" in run(tmp_path, "import pipecat", ENV="staging")


def test_the_bot_finds_its_own_command_line(tmp_path: Path) -> None:
    said = run(tmp_path, "import pipecat\nimport sys\nprint('ARGV', sys.argv[1:])", "--voice", "ann")
    assert "ARGV ['--voice', 'ann']" in said


PARSER = """
    import argparse
    import pipecat
    if __name__ == "__main__":
        from pipecat.runner.run import main
        parser = argparse.ArgumentParser()
        parser.add_argument("--voice", choices=["ann", "bob"])
        main(parser)
"""


def test_arguments_that_the_bot_refuses_stop_it_with_its_reason(tmp_path: Path) -> None:
    said = run(tmp_path, PARSER, "--voice", "eve")
    assert "BotLoadError" in said
    assert "bot.py: the bot refuses its arguments --voice eve: " in said
    assert "invalid choice: 'eve'" in said
