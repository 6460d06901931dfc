"""What happens when something is saved, breaks, or is ended: seen from outside, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import urllib.request
from pathlib import Path

import psutil
import pytest
from eventually import eventually
from saving import BOT, Saved, saving

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


async def serves(saved: Saved) -> bool:
    def ask() -> int:
        with urllib.request.urlopen(f"{saved.address}/status", timeout=30) as answer:
            return int(answer.status)

    return await asyncio.to_thread(ask) == 200


async def test_what_is_saved_is_taken_over_and_what_is_not_changed_is_not(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("")
    async with saving(tmp_path, "-t", "twilio") as saved:
        saved.bot.touch()
        saved.write(saved.bot.read_text())
        (tmp_path / "unrelated.py").write_text("x = 1")
        await asyncio.sleep(0.5)
        assert "was saved" not in saved.output
        (tmp_path / "prompts").mkdir()
        reads = "\nimport pathlib; PROMPTS = [*pathlib.Path(__file__).with_name('prompts').glob('*.md')]\n"
        saved.write(saved.bot.read_text().replace("version 0", "version 1") + reads)
        await saved.reloaded(1)
        (tmp_path / "unread.md").write_text("Nobody reads this.")
        (tmp_path / "prompts" / "kind.md").write_text("Be kind.")
        await saved.until(r"kind\.md was saved")
        await saved.reloaded(2)
        saved.edit("import math", "import helper\nimport math")
        await saved.reloaded(3)
        for number in range(5):
            (tmp_path / "helper.py").write_text(f"x = {number + 1}")
        await saved.until(r"helper\.py was saved")
        (tmp_path / ".env").write_text("KEY=value")
        await saved.until(r"\.env was saved")
        assert await serves(saved)
        assert saved.output.count("helper.py was saved") == 1
    assert "Traceback" not in saved.output


@pytest.mark.faults(19)
async def test_a_broken_edit_is_reported_with_its_line_and_the_good_code_serves_on(tmp_path: Path) -> None:
    async with saving(tmp_path, "-t", "twilio") as saved:
        saved.edit("VERSION =", "VERSION = 1 +")
        saved.edit("VERSION = 1 +", "VERSION = = 1 +")
        line = next(n for n, text in enumerate(saved.bot.read_text().splitlines(), 1) if "= = 1" in text)
        await saved.until(rf"bot\.py:{line}: SyntaxError")
        await saved.until(rf"  {line} \| VERSION = = 1")
        assert await serves(saved)
        saved.edit("VERSION = = 1 +", "while True: pass\nVERSION =")
        await saved.until(rf"bot\.py:{line}: the import has not finished after 5 s")
        assert await serves(saved)
        saved.bot.unlink()
        await saved.until("there is no file")
        saved.bot.write_text("import new_neighbour\nfrom new_neighbour import bot\n")
        await saved.until("new_neighbour")
        (tmp_path / "new_neighbour.py").write_text("async def bot(runner_args): ...\n")
        await saved.until("fixed; the new code answers")


async def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    async with saving(tmp_path, "-t", "twilio") as saved:
        fork_server = psutil.Process(saved.process.pid).children()[0]
        [worker] = fork_server.children()
        worker.kill()
        await saved.until("was ended by SIGKILL; botrun restarts it")
        await saved.reloaded(1)
        assert await serves(saved)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_nothing_is_left_whatever_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    async with saving(tmp_path, "-t", "twilio") as saved:
        family = saved.processes()
        assert len(family) == 2
        saved.process.send_signal(number)
        async with asyncio.timeout(5):
            status = await saved.process.wait()
        assert status == (0 if number != signal.SIGKILL else -signal.SIGKILL)
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, 5)
        assert alive == []
        assert not await refuses_nothing(saved.port)


async def test_a_signal_to_all_processes_at_once_is_no_crash_and_no_second_signal(tmp_path: Path) -> None:
    """As a service manager, `timeout` or a shell's `kill -- -GROUP` does it."""
    bot = tmp_path / "source.txt"
    bot.write_text(f"{BOT.read_text()}\nimport atexit\natexit.register(print, 'goodbye', flush=True)\n")
    async with saving(tmp_path, "-t", "twilio", bot=bot) as saved:
        [fork_server] = psutil.Process(saved.process.pid).children()
        [worker] = fork_server.children()
        fork_server.terminate()
        await asyncio.sleep(0.05)
        worker.terminate()
        saved.process.terminate()
        async with asyncio.timeout(5):
            status = await saved.process.wait()
    assert (status, "restarts it" in saved.output) == (0, False), saved.output
    assert "goodbye" in saved.output


async def refuses_nothing(port: int) -> bool:
    """Whether somebody still listens."""
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


@pytest.mark.faults(19)
async def test_ten_reloads_leave_processes_and_descriptors_as_before(tmp_path: Path) -> None:
    def held(saved: Saved) -> tuple[int, int]:
        supervisor = psutil.Process(saved.process.pid)
        fork_server = supervisor.children()[0]
        return len(saved.processes()), supervisor.num_fds() + fork_server.num_fds()

    async with saving(tmp_path, "-t", "twilio") as saved:
        saved.edit("version 0", "version 1")
        await saved.reloaded(1)
        await settled(saved)
        before = held(saved)
        for number in range(1, 10):
            saved.edit(f"version {number}", f"version {number + 1}")
            await saved.reloaded(number + 1)
        await settled(saved)
        assert held(saved) == before


async def settled(saved: Saved) -> None:
    """The old worker is gone."""
    await eventually(lambda: len(saved.processes()) <= 2, 10)


async def test_without_reload_there_is_one_process(tmp_path: Path) -> None:
    async with saving(tmp_path, "-t", "twilio", "--no-reload") as saved:
        assert saved.processes() == []
        saved.edit("version 0", "version 1")
        await asyncio.sleep(0.3)
        assert "was saved" not in saved.output


async def test_a_run_whose_fork_server_is_killed_ends_and_says_so(tmp_path: Path) -> None:
    async with saving(tmp_path, "-t", "twilio") as saved:
        (fork_server,) = psutil.Process(saved.process.pid).children()
        family = saved.processes()
        fork_server.kill()
        async with asyncio.timeout(15):
            assert await saved.process.wait() == 1
        assert "the fork server of the workers died" in saved.output
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, 10)
        assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
