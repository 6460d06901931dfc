"""The house's own rules: imports, pins, settings, and what no file may say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

from runner.settings import DEFAULTS, KEYS, SETTINGS

ROOT = Path(__file__).parents[1]
LONGEST_FILE_LINES = 400

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def python_files() -> list[Path]:
    return [path for folder in ("runner", "bots") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_imports_point_only_downward_and_what_is_pure_stays_so() -> None:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


PROGRAM = {("runner/callers/bot_process.py", "runner.cli")}
"""Strings that start a program instead of loading a module: `python -m runner.cli`."""


def layers() -> dict[str, int]:
    """The layer of each part of `runner/`, 0 at the top."""
    contract = PYPROJECT["tool"]["importlinter"]["contracts"][0]
    return {
        name.strip(): number for number, line in enumerate(contract["layers"]) for name in line.split(":")
    }


def named_modules(path: Path) -> Iterator[str]:
    """Modules of `runner/` that a file names in strings: "runner.x.y", "runner.x.y:function"."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = re.fullmatch(r"(runner(?:\.\w+)+)(?::\w+)?", node.value)
            if found and any(
                (ROOT / found[1].replace(".", "/")).with_suffix(end).exists() for end in ("", ".py")
            ):
                yield found[1]


def test_no_string_names_a_module_above(tmp_path: Path) -> None:
    """import-linter does not see what is loaded by its name."""
    (tmp_path / "low.py").write_text(
        'LATER = "runner.cli.banner:announce", "runner.errors", "runner.no_such"'
    )
    assert list(named_modules(tmp_path / "low.py")) == ["runner.cli.banner", "runner.errors"]
    layer = layers()
    upward = []
    for path in sorted((ROOT / "runner").rglob("*.py")):
        parts = path.relative_to(ROOT / "runner").with_suffix("").parts
        # What `botrun new` writes lies outside of the layers, and `runner` itself re-exports.
        if "new_bots" in parts or parts == ("__init__",):
            continue
        where = path.relative_to(ROOT).as_posix()
        upward += [
            (where, name)
            for name in named_modules(path)
            if layer[name.split(".")[1]] < layer[parts[0]] and (where, name) not in PROGRAM
        ]
    assert upward == []


# ------------------------------------------------------------------ settings


def examples() -> dict[str, str]:
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^#([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))


def test_the_example_holds_every_setting_and_no_other() -> None:
    assert list(examples()) == [s.env for s in SETTINGS.values()] + [key.env for key in KEYS]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_example_shows_the_default(name: str) -> None:
    setting, text = SETTINGS[name], examples()[SETTINGS[name].env]
    if not text:
        assert DEFAULTS[name] in (None, ())
    else:
        assert setting.parse(text) == DEFAULTS[name]


def test_only_settings_and_keys_read_the_environment() -> None:
    readers = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "runner").rglob("*.py")
        # What `botrun new` writes is a bot, which reads its own keys. Pipecat and loguru have variables, too.
        if {"new_bots", "integrations"}.isdisjoint(path.parts)
        and re.search(r"\b(os\.environ|getenv)\b", path.read_text())
    ]
    assert sorted(readers) == ["runner/settings/__init__.py", "runner/settings/credentials.py"]


# ------------------------------------------------------------------ pins


def pins() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def name_of(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower()  # type: ignore[index]


def test_pip_and_uv_are_given_the_same_pins() -> None:
    assert PYPROJECT["tool"]["uv"]["constraint-dependencies"] == pins()


def test_the_pins_leave_room_for_each_pipecat_that_is_supported() -> None:
    """Of pipecat-ai 1.10.0 and 1.14.0: protobuf below 7, onnxruntime from 1.24 on, pillow from 12 on."""
    pinned = {name_of(pin): pin for pin in pins()}
    assert pinned["protobuf"].startswith("protobuf==6.")
    assert pinned["onnxruntime"].startswith("onnxruntime>=1.24.")
    assert pinned["pillow"].startswith("pillow>=11.")


def test_every_dependency_is_pinned() -> None:
    project = PYPROJECT["project"]
    groups = [*project["optional-dependencies"].values(), *PYPROJECT["dependency-groups"].values()]
    wanted = [*project["dependencies"], *(line for group in groups for line in group)]
    missing = {name_of(line) for line in wanted} - {name_of(pin) for pin in pins()}
    assert missing == set()


def test_the_local_extra_and_the_local_group_are_the_same() -> None:
    assert PYPROJECT["project"]["optional-dependencies"]["local"] == PYPROJECT["dependency-groups"]["local"]


def test_no_file_names_a_registry_s_host_or_a_path_of_this_machine() -> None:
    files = [
        ROOT / name for name in ("pyproject.toml", "constraints.txt", ".ci/run", "README.md", ".env.example")
    ]
    banned = re.compile(r"pypi\.org|pythonhosted|npmjs|deb\.debian|/root/|/home/\w+/|/work/")
    for path in [*files, *python_files()]:
        assert not banned.search(path.read_text()), path


def test_no_file_is_too_long_to_be_read_at_once() -> None:
    too_long = [
        path.name for path in python_files() if len(path.read_text().splitlines()) > LONGEST_FILE_LINES
    ]
    assert too_long == []


# ------------------------------------------------------------------ the wheel


def test_the_wheel_holds_the_page_and_nothing_but_the_package() -> None:
    builder = WheelBuilder(str(ROOT))
    files = {file.distribution_path for file in builder.recurse_included_files()}
    page = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "runner/server/page").rglob("*")
        if path.is_file()
    }
    assert page <= files
    assert all(name.startswith("runner/") for name in files)


# ------------------------------------------------------------------ the map


ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()


def test_the_map_names_every_room() -> None:
    packages = [path.parent.name + "/" for path in (ROOT / "runner").glob("*/__init__.py")]
    files = [path.name for path in (ROOT / "runner").glob("*.py") if path.name != "__init__.py"]
    assert [room for room in sorted([*packages, *files]) if room not in ARCHITECTURE] == []


def test_whatever_the_map_names_is_there() -> None:
    table = re.findall(r"`([a-z_]+(?:/[a-z_]+)+(?:\.py|\.js|/))`", ARCHITECTURE)
    assert len(table) > 40
    gone = [
        name for name in table if not any((ROOT / top / name).exists() for top in ("", "runner", "tests"))
    ]
    assert gone == []
