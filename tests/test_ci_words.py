"""`.ci/plain_words.py` finds the refused words where it should, and only there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "plain_words.py"

pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="the sdist has no .ci")


@pytest.fixture(scope="module")
def words() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plain_words", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runner/a.py", 'text = "the caller is told"\n'),
        ("runner/a.py", "x = 1  # begins anew\n"),
        ("runner/a.py", "told = 1\n"),
        ("runner/a.py", "self._told_at = 1\n"),
        ("tests/a.py", "def test_it_is_told() -> None: ...\n"),
        ("tests/a.py", "async def test_a_nursery_that_is_killed() -> None: ...\n"),
        ("tests/a.py", "def test_a_webhook_tells_the_call() -> None: ...\n"),
        ("tests/a.py", 'def f() -> None:\n    """Whoever calls."""\n'),
        ("docs/a.md", "The far end hears it.\n"),
        (".env.example", "# This shall work.\n"),
    ],
)
def test_a_refused_word_is_found_with_file_and_line(words: ModuleType, name: str, text: str) -> None:
    (fault,) = words.find_faults(name, text)
    assert fault.startswith(f"{name}:{2 if 'def f' in text else 1}: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tests/a.py", 'said = "I told you"\ntold = said\n'),
        ("tests/a.py", "def tells_the_time() -> None: ...\n"),
        ("runner/a.py", "x = 1  # RFC: a client SHALL send it  plain-words: quoted\n"),
        ("docs/a.md", "Use `told` here.\n```\ntold\n```\n"),
        ("runner/a.py", "tolde = untold = 1\n"),
        ("runner/a.py", 'x = "one\\n\\ntwo"\n'),
    ],
)
def test_data_quotations_and_code_are_left_alone(words: ModuleType, name: str, text: str) -> None:
    assert words.find_faults(name, text) == []
