"""What README and docs/ show is so: the Python fits, and commands, flags, files and settings exist."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import Parameter, signature
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from runner.botcode.loader import load_bot, parse_target
from runner.cli.program import app
from runner.settings import SETTINGS
from runner.settings.credentials import KEYS
from runner.settings.transports import TRANSPORTS

ROOT = Path(__file__).parents[1]
LONGEST_README_LINES = 200
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

GIVEN = """\
from typing import Any
from runner import RunnerArguments
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair
from runner.transports.base import BaseTransport
from runner.transports.params import TransportParams
runner_args: RunnerArguments
transport: BaseTransport
task: PipelineTask
memory: LLMContextAggregatorPair
messages: list[dict[str, Any]]
stt: FrameProcessor
llm: FrameProcessor
tts: FrameProcessor
"""
"""What a piece of a bot may take for granted: the rest of the bot stands in README's first block."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line on which its text begins, its language ("" for words to type)."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.stem}-{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(page, text.count("\n", 0, found.start(2)) + 1, found[1], found[2])


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


ALL = [block for page in PAGES for block in blocks(page)]
PYTHON = [block for block in ALL if block.language == "python"]


# ------------------------------------------------------------------ Python


def as_module(block: Block) -> str:
    """The block as a file that mypy takes: `await` may stand in it as in a bot."""
    if "async def bot(" in block.text:
        return block.text
    return f"{GIVEN}\nasync def block() -> None:\n{textwrap.indent(block.text, '    ')}"


@cache
def complaints(folder: Path) -> str:
    for block in PYTHON:
        (folder / f"{block}.py".replace("-", "_")).write_text(as_module(block))
    options = [
        "--config-file=",
        "--ignore-missing-imports",
        "--check-untyped-defs",
        "--follow-imports=silent",
    ]
    command = [sys.executable, "-m", "mypy", *options, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def checked(tmp_path_factory: pytest.TempPathFactory) -> str:
    return complaints(tmp_path_factory.mktemp("readme"))


# mypy reads all of botrun and its packages first: half a minute in a fresh checkout.
@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_a_piece_of_python_fits_what_there_is(block: Block, checked: str) -> None:
    name = f"{block}.py".replace("-", "_")
    assert not [line for line in checked.splitlines() if name in line], checked


def test_readme_s_bot_is_found_when_its_file_is_run(tmp_path: Path) -> None:
    [bot] = [block for block in PYTHON if "async def bot(" in block.text]
    path = tmp_path / "bot_of_readme.py"
    path.write_text(bot.text)
    assert load_bot(parse_target(str(path))).function.__name__ == "bot"


@cache
def home_of(name: str) -> Any:
    """The class or function of botrun with this name."""
    for path in sorted((ROOT / "runner").rglob("*.py")):
        if re.search(rf"^(class|(async )?def) {name}\b", path.read_text(), re.MULTILINE):
            return getattr(import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)), name)
    return None


def mentioned() -> Iterator[ast.Call]:
    """Every `Name(…)` in a sentence."""
    for page in PAGES:
        for span in re.findall(r"`((?:await )?[^`]+\))`", prose(page)):
            try:
                tree = ast.parse(" ".join(span.replace("…", "...").split()))
            except SyntaxError:
                continue
            yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


CALLS = {ast.unparse(call): call for call in mentioned() if isinstance(call.func, ast.Name)}


@pytest.mark.parametrize("shown", CALLS)
def test_a_call_in_a_sentence_can_be_made(shown: str) -> None:
    call = CALLS[shown]
    assert isinstance(call.func, ast.Name)
    callee = home_of(call.func.id)
    assert callee is not None, f"botrun has no {call.func.id}"
    keywords = {keyword.arg for keyword in call.keywords if keyword.arg}
    takes = signature(callee).parameters
    assert keywords <= set(takes) or any(each.kind is Parameter.VAR_KEYWORD for each in takes.values())


# ------------------------------------------------------------------ commands


def typed(text: str) -> Iterator[str]:
    """The lines of a block that a person types: without the answer to them, and without remarks."""
    answered = text.startswith("$ ")
    for line in text.splitlines():
        if not answered or line.startswith("$ "):
            yield re.sub(r"\s{2,}#.*", "", line).removeprefix("$ ")


def commands() -> Iterator[tuple[str, str]]:
    """(where it stands, "botrun …")"""
    for block in ALL:
        if not block.language:
            for line in typed(block.text):
                yield from ((str(block), found) for found in re.findall(r"\bbotrun [^&]*", line))
    for page in PAGES:
        for span in re.findall(r"`(botrun [^`]+)`", prose(page).replace("\n", " ")):
            yield page.stem, span.replace("\\|", "|")


def options_of(command: Any) -> dict[str, Any]:
    return {name: option for option in command.params for name in [*option.opts, *option.secondary_opts]}


def of_command(words: list[str]) -> tuple[Any, list[str]]:
    """The command that these words call (`botrun FILE` runs it), and what is given to it."""
    command: Any = get_command(app)
    if words[0] not in command.commands and words[0] != "--help":
        return command.commands["run"], words
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize(("where", "line"), sorted(set(commands())))
def test_a_command_can_be_typed(where: str, line: str) -> None:
    # What follows two dashes is the bot's own.
    command, words = of_command(shlex.split(line.replace("…", "X").partition(" -- ")[0])[1:])
    known = {**options_of(command), "--help": None}
    for word, following in pairwise([*words, ""]):
        if word.startswith("-"):
            assert word in known, f"{where}: {command.name} has no {word}"
        if word in ("-t", "--transport"):
            assert following in {*TRANSPORTS, "NAME"}
        if re.match(r"(bots|benchmarks|tests)/", word):
            assert (ROOT / word).exists(), word


# ------------------------------------------------------------------ flags, settings, files


def every_flag() -> set[str]:
    group: Any = get_command(app)
    leaves = [
        leaf
        for command in group.commands.values()
        for leaf in getattr(command, "commands", {"": command}).values()
    ]
    return {"--help", *(name for leaf in leaves for name in options_of(leaf))}


def spans(pattern: str) -> list[str]:
    return sorted({found for page in PAGES for found in re.findall(pattern, prose(page))})


# Flags of other programs.
OTHERS_FLAGS = {"--junitxml", "--extra", "--voice", "--no-deps", "-m", "-n", "--realtime", "--long"}


def test_every_flag_that_is_named_exists() -> None:
    named = set(spans(r"`(?:[^`]* )?(-{1,2}[a-z][a-z-]*)"))
    assert named - every_flag() - OTHERS_FLAGS == set()


def test_every_setting_that_is_named_exists() -> None:
    known = (
        {"BOTRUN_CI", "BOTRUN_SOAK_MINUTES", "BOTRUN_SOAK_REPORT"}
        | {setting.env for setting in SETTINGS.values()}
        | {key.env for key in KEYS}
    )
    assert set(spans(r"\b(BOTRUN_[A-Z_]+|[A-Z]+_(?:API_KEY|AUTH_TOKEN|AUTH_ID))\b")) - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_heading_that_is_linked_exists(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        file, _, heading = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        titles = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE) if heading else []
        assert not heading or heading in [re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles]


def test_readme_stays_a_front_door() -> None:
    lines = len((ROOT / "README.md").read_text().splitlines())
    assert lines <= LONGEST_README_LINES, "what a newcomer does not need today belongs to docs/"
