from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.botcode.failure import BotCrashError
from runner.botcode.loader import LoadedBot, load_bot, parse_target
from runner.errors import BotLoadError, MissingPackageError, UsageError

BOTS = Path(__file__).parents[1] / "assets" / "bots"


@pytest.fixture(autouse=True)
def imports_are_undone() -> Iterator[None]:
    path, modules = sys.path[:], set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BOTS)):
            del sys.modules[name]


def load(text: str) -> LoadedBot:
    return load_bot(parse_target(str(BOTS / text)))


FAULTS: list[tuple[str, type[UsageError], str]] = [
    ("absent.py", BotLoadError, r"there is no file \S+absent\.py"),
    ("plan.py", BotLoadError, r"there is no file \S+plan\.py; did you mean \S+plain\.py\?"),
    ("plain", BotLoadError, r"there is no file \S+plain; did you mean \S+plain\.py\?"),
    ("nowhere/plain.py", BotLoadError, r"there is no file \S+: there is no folder \S+nowhere"),
    ("", BotLoadError, r"bots is a folder; name the bot's file: one of a_neighbour\.py, "),
    ("../names.csv", BotLoadError, r"names\.csv is not a Python file \(\.py\)"),
    ("plain.py:12", BotLoadError, r"'12' is not the name of a function"),
    ("plain.py:bott", BotLoadError, r"plain\.py: there is no function bott; did you mean bot\?"),
    ("syntax_error.py", BotCrashError, r"syntax_error\.py:4: SyntaxError: expected ':'"),
    ("fails_on_import.py", BotCrashError, r"fails_on_import\.py:7: JSONDecodeError: Expecting property name"),
    ("exits_on_import.py", BotCrashError, r"exits_on_import\.py:3: .*sys\.exit\('no key'\)"),
    (
        "no_bot.py",
        BotLoadError,
        r"no_bot\.py: there is no function bot; write `async def bot\(runner_args\)`",
    ),
    (
        "several.py",
        BotLoadError,
        r"several functions could be the bot; name one: several\.py:sales, several\.py:s",
    ),
    ("not_async.py", BotLoadError, r"not_async\.py:1: bot is not async; write `async def bot"),
    ("no_argument.py", BotLoadError, r"no_argument\.py:1: bot must take one argument"),
    ("not_a_function.py", BotLoadError, r"bot is not a function but str"),
    (
        "missing_module.py",
        MissingPackageError,
        r"missing_module\.py:1: .*pip install a_package_that_nobody_has",
    ),
    (
        "missing_part.py",
        BotLoadError,
        r"missing_part\.py:1: there is no module runner\.transport_that_is_not",
    ),
    ("wrong_name.py", BotCrashError, r"wrong_name\.py:1: .*did you mean TTSSpeakFrame\?"),
    (
        "wrong_argument.py",
        BotCrashError,
        r"wrong_argument\.py:3: .*'audio_enabled'; did you mean audio_\w+_enabled",
    ),
    ("relative.py", BotCrashError, r"relative\.py:1: .*write `import helper`, or put an empty __init__\.py"),
    ("plain_processor.py", BotCrashError, r"plain_processor\.py:4: Echo\.process_frame is not async: write"),
    ("x" * 5000, BotLoadError, r"x{9}… cannot be read: File name too long"),
]


@pytest.mark.parametrize(
    ("text", "kind", "sentence"), FAULTS, ids=[fault[0][-40:] or "folder" for fault in FAULTS]
)
def test_what_cannot_be_a_bot_is_reported_in_one_line(
    text: str, kind: type[UsageError], sentence: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load(text)
    assert isinstance(caught.value, kind)
    assert re.search(sentence, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_link_is_reported(tmp_path: Path) -> None:
    (tmp_path / "linked.py").symlink_to("gone.py")
    with pytest.raises(BotLoadError, match=r"linked\.py is a link to gone\.py, which is not there"):
        parse_target(str(tmp_path / "linked.py"))


def test_a_bot_may_be_part_of_a_package() -> None:
    bot = load("a_package/inner/packaged.py")
    assert bot.module.__name__ == "a_package.inner.packaged"
    assert asyncio.run(bot.function(None)) == ("from above", "from beside")  # type: ignore[arg-type, func-returns-value]


def test_a_bot_is_called_bot_unless_it_is_named() -> None:
    assert load("plain.py").function_name == "bot"
    assert load("several.py:support").function.__name__ == "support"


def test_the_only_function_that_takes_runner_arguments_is_the_bot() -> None:
    assert load("only_one.py").function_name == "answer_calls"


@pytest.mark.parametrize("name", ["my bot-ünï.py", "stdlib_names/json.py"])
def test_a_bot_may_have_any_file_name(name: str) -> None:
    bot = load(name)
    asyncio.run(bot.function(None))  # type: ignore[arg-type]
    assert bot.path.name == Path(name).name


def test_a_file_of_a_library_s_name_does_not_stand_in_for_the_library() -> None:
    import json

    before = sys.modules["json"]
    bot = load("stdlib_names/json.py")
    assert sys.modules["json"] is before is json
    assert bot.module.THERE == '{"a": 1}'
    sys.modules.pop("wave", None)
    import wave

    assert "stdlib_names" not in str(wave.__file__)


def test_a_neighbour_is_importable_and_the_bot_is_imported_once() -> None:
    bot = load("helped.py")
    assert bot.module.a_neighbour.SAME_MODULE is bot.module


def test_nothing_else_in_the_folder_is_executed() -> None:
    load("plain.py")
    loaded = {
        Path(m.__file__).name
        for m in list(sys.modules.values())
        if str(getattr(m, "__file__", "")).startswith(str(BOTS))
    }
    assert loaded == {"plain.py"}


def test_a_hidden_neighbour_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    load("stdlib_names/json.py")
    assert "wave beside the bot is hidden" in caplog.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"async def bot(runner_args):\n    yield 1\n", "bot has a yield, which makes it a generator"),
        ("async def bot(runner_args): pass\n".encode("utf-16"), "save the file as UTF-8 text"),
        (b"async def bot(runner_args):\n    pass\x00\n", "save the file as UTF-8 text"),
        (b"NAME = 'caf\xe9'\nasync def bot(runner_args): pass\n", "save the file as UTF-8 text"),
        (b"# coding: klingon\nasync def bot(runner_args): pass\n", "save the file as UTF-8 text"),
    ],
    ids=["generator", "UTF-16", "zero byte", "Latin-1", "unknown coding"],
)
def test_an_unusual_file_is_refused_with_what_to_do(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "unusual.py"
    path.write_bytes(content)
    with pytest.raises(BotLoadError, match=said):
        load_bot(parse_target(str(path)))
