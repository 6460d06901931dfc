"""Which changes of files are edits by people: real files, links and processes, seen by a real watch."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from eventually import eventually

from runner.supervisor.bot_files import BotFiles, Watch

BOT = "async def bot(runner_args): ...\n"


class Watched:
    """A bot in a folder of its own, and what was seen of its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[Path] = []
        self.pids: list[int] = []
        self._watch: Watch | None = None

    def write(self, name: str, text: str = BOT) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def begin(self, bot: str, modules: tuple[str, ...] = (), read: tuple[str, ...] = ()) -> BotFiles:
        """Watch the bot, which has imported and read these files."""
        files = BotFiles(self.folder / bot, pids=lambda: self.pids)
        files.note([("r", self.folder / name) for name in read])
        files.learn([str(self.folder / name) for name in (bot, *modules)])
        self._watch = Watch(files, self.seen.extend, lambda: None)
        self._watch.renew()
        return files

    async def edit(self, change: Callable[[], object]) -> list[Path]:
        """What is seen of this change."""
        await asyncio.sleep(0.2)  # inotify has no sign that it watches
        change()
        await eventually(lambda: self.seen)
        seen, self.seen[:] = list(self.seen), []
        return seen

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
            if self._watch._thread is not None:
                self._watch._thread.join()


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Watched]:
    watched = Watched(tmp_path.resolve())
    yield watched
    watched.close()


def point(link: Path, target: str) -> None:
    """As `ln -sfn`: the new link takes the old one's place at once."""
    new = link.with_name(link.name + ".new")
    new.symlink_to(target)
    new.rename(link)


# ------------------------------------------------------------------ links (PUBLIC-REPORTS 17)


async def test_a_bots_link_that_is_moved_to_another_file_is_an_edit(it: Watched) -> None:
    it.write("a.py"), it.write("b.py", BOT + "# b\n")
    (it.folder / "bot.py").symlink_to("a.py")
    it.begin("bot.py")
    assert await it.edit(lambda: point(it.folder / "bot.py", "b.py")) == [it.folder / "bot.py"]


async def test_a_bots_link_that_becomes_a_file_is_an_edit(it: Watched) -> None:
    it.write("real/a.py")
    (it.folder / "bot.py").symlink_to("real/a.py")
    it.begin("bot.py")

    def replace() -> None:
        it.write("bot.py.tmp", BOT + "# mine\n").rename(it.folder / "bot.py")

    assert await it.edit(replace) == [it.folder / "bot.py"]


async def test_a_release_that_becomes_the_current_one_is_an_edit(it: Watched) -> None:
    it.write("releases/1/bot.py"), it.write("releases/2/bot.py", BOT + "# 2\n")
    (it.folder / "current").symlink_to("releases/1")
    it.begin("current/bot.py")
    assert await it.edit(lambda: point(it.folder / "current", "releases/2")) == [it.folder / "current/bot.py"]


@pytest.mark.parametrize("kind", ["module", "prompt"])
async def test_the_target_of_a_linked_file_is_watched(it: Watched, kind: str) -> None:
    it.write("bot.py"), it.write("elsewhere/shared.txt", "one")
    (it.folder / "shared.txt").symlink_to("elsewhere/shared.txt")
    names = ("shared.txt",)
    it.begin("bot.py", modules=names if kind == "module" else (), read=names if kind == "prompt" else ())
    seen = await it.edit(lambda: it.write("elsewhere/shared.txt", "two"))
    assert [path.name for path in seen] == ["shared.txt"]


async def test_kubernetes_swap_of_a_mounted_configuration_is_an_edit(it: Watched) -> None:
    it.write("..v1/prompt.txt", "one"), it.write("..v2/prompt.txt", "two")
    (it.folder / "..data").symlink_to("..v1")
    (it.folder / "prompt.txt").symlink_to("..data/prompt.txt")
    it.write("bot.py")
    it.begin("bot.py", read=("prompt.txt",))
    assert await it.edit(lambda: point(it.folder / "..data", "..v2")) == [it.folder / "prompt.txt"]


async def test_links_in_a_circle_end(it: Watched) -> None:
    (it.folder / "a.txt").symlink_to("b.txt")
    (it.folder / "b.txt").symlink_to("a.txt")
    it.write("bot.py")
    it.begin("bot.py", read=("a.txt",))
    assert await it.edit(lambda: it.write("bot.py", BOT + "# 2\n")) == [it.folder / "bot.py"]


# ------------------------------------------------------------------ what the run itself writes (NEWCOMER 1)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds who writes a file by /proc")
@pytest.mark.parametrize("name", ["run.txt", "out.json", "prompt.txt"])
async def test_output_that_a_shell_redirects_into_the_folder_is_no_edit(it: Watched, name: str) -> None:
    """`botrun bot.py > run.txt`, though the bot names or has read the file."""
    it.write("bot.py", BOT + f"LOG = '{name}'\n"), it.write(name, "")
    it.begin("bot.py", read=(name,))
    program = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    with (it.folder / name).open("w") as file:
        run = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=file, text=True)
    try:
        it.pids.append(run.pid)
        assert run.stdin is not None
        for number in range(5):
            run.stdin.write(f"line {number}\n")
            run.stdin.flush()
        await eventually(lambda: "line 4" in (it.folder / name).read_text())
        seen = await it.edit(lambda: it.write("bot.py", BOT + "# by a person\n"))
        assert seen == [it.folder / "bot.py"]
    finally:
        run.communicate()


async def test_what_a_worker_writes_is_no_edit(it: Watched) -> None:
    """`AudioRecorder("call.wav")` beside the bot writes `call.words.jsonl` (PUBLIC-REPORTS 19)."""
    it.write("bot.py", BOT + "WORDS = 'call.words.jsonl'\n")
    files = it.begin("bot.py")
    files.note([("w", it.folder / "call.words.jsonl")])
    it.write("call.words.jsonl", "{}")
    assert await it.edit(lambda: it.write("bot.py", BOT + "# 2\n")) == [it.folder / "bot.py"]


async def test_a_text_file_counts_only_if_the_bot_has_to_do_with_it(it: Watched) -> None:
    it.write("bot.py"), it.write("notes.txt", "mine"), it.write("prompt.txt", "Be kind.")
    it.begin("bot.py", read=("prompt.txt",))

    def both() -> None:
        it.write("notes.txt", "still mine"), it.write("prompt.txt", "Be brief.")

    assert await it.edit(both) == [it.folder / "prompt.txt"]


# ------------------------------------------------------------------ how editors save


@pytest.mark.parametrize("how", ["in place", "atomic swap", "delete and write", "swap by backup"])
async def test_a_save_is_seen_however_the_editor_writes_it(it: Watched, how: str) -> None:
    bot, text = it.write("bot.py"), BOT + "# saved\n"
    it.begin("bot.py")

    def save() -> None:
        match how:
            case "in place":
                bot.write_text(text)
            case "atomic swap":
                os.replace(it.write(".bot.py.swp", text), bot)
            case "delete and write":
                bot.unlink()
                bot.write_text(text)
            case "swap by backup":
                bot.rename(bot.with_name("bot.py~"))
                bot.write_text(text)

    assert await it.edit(save) == [bot]


async def test_a_file_that_is_saved_without_a_change_is_no_edit(it: Watched) -> None:
    bot = it.write("bot.py")
    other = it.write("helper.py", "A = 1\n")
    it.begin("bot.py", modules=("helper.py",))

    def save() -> None:
        bot.write_text(BOT)
        other.write_text("A = 2\n")

    assert await it.edit(save) == [other]


BESIDE = (
    ".bot.py.swp",  # Vim
    ".bot.py.swx",
    "4913",
    "bot.py~",
    "#bot.py#",  # Emacs
    "bot.py.save",  # nano
    "bot.py___jb_tmp___",  # JetBrains
    "bot.py___jb_old___",
    ".goutputstream-A1B2C3",  # GNOME
    "bot.py.tmp.4711.1764",  # programs that write a draft and rename it
    "__pycache__/bot.cpython-311.pyc",
    ".ruff_cache/0.6.9/123",
    ".git/index.lock",
    "bot (copy).py",
)


async def test_what_editors_put_beside_the_bot_is_no_edit(it: Watched) -> None:
    it.write("bot.py")
    it.begin("bot.py")

    def save() -> None:
        for name in BESIDE:
            it.write(name, "x")
        (it.folder / ".#bot.py").symlink_to("me@host.4711:1764")  # Emacs' lock
        for name in BESIDE[:3]:
            (it.folder / name).unlink()
        it.write("bot.py", BOT + "# saved\n")

    assert await it.edit(save) == [it.folder / "bot.py"]


async def test_a_formatter_that_saves_once_more_is_seen_with_its_last_text(it: Watched) -> None:
    bot = it.write("bot.py")
    it.begin("bot.py")
    assert await it.edit(lambda: bot.write_text(BOT + "x=1\n")) == [bot]
    assert await it.edit(lambda: bot.write_text(BOT + "x = 1\n")) == [bot]


async def test_a_checkout_of_another_branch_is_seen(it: Watched) -> None:
    """Git removes files and writes new ones."""
    bot, helper = it.write("bot.py"), it.write("pkg/helper.py", "A = 1\n")
    it.begin("bot.py", modules=("pkg/helper.py",))

    def check_out() -> None:
        helper.unlink()
        helper.parent.rmdir()
        bot.unlink()
        it.write("pkg/helper.py", "A = 2\n")
        it.write("bot.py", BOT + "# branch\n")

    assert set(await it.edit(check_out)) <= {bot, helper}
    await eventually(lambda: not it.seen or set(it.seen) <= {bot, helper})
