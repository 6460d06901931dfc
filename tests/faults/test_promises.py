"""docs/reliability.md names, for each promise, the files with the tests that are marked with its number."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"
PROMISES = range(1, 34)


def marked_numbers(file: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.faults":
                    (number,) = decorator.args
                    assert isinstance(number, ast.Constant)
                    assert isinstance(number.value, int)
                    yield number.value


def marked_files() -> dict[int, set[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for file in TESTS.rglob("test_*.py"):
        if "faults(" in (text := file.read_text()) and "pytest" in text:
            for number in marked_numbers(file):
                found[number].add(file.name)
    return found


def documented_files() -> dict[int, set[str]]:
    rows = re.findall(r"^\| (\d+) \|[^|]*\|([^|]*)\|", PAGE.read_text(), re.MULTILINE)
    return {int(number): set(re.findall(r"`[\w/]*?(test_\w+\.py)`", cells)) for number, cells in rows}


def test_each_promise_has_the_tests_that_the_page_names() -> None:
    marked, documented = marked_files(), documented_files()
    assert sorted(documented) == list(PROMISES)
    assert sorted(marked) == list(PROMISES)
    assert documented == dict(marked)
