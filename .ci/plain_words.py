"""Refuse words that make botrun's texts hard to read (CONTRIBUTING.md, "How we write").

It reads names, strings, docstrings and comments of runner/; docstrings, comments and the names of classes and
functions of tests/, benchmarks/ and bots/ (strings there are data); and the prose of the Markdown files. A
line that quotes somebody ends with `plain-words: quoted` in a comment.

usage: python .ci/plain_words.py [FILE ...]
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

BANNED = re.compile(
    r"\b(told|tells? of|let go of|(?:is|are|was|were) let go|lends?|lent|far end|whoever|go(?:es)? along"
    r"|comes? to it|anew|save that|stands? at|bears|shall)\b",
    re.IGNORECASE,
)
IDENTIFIERS = frozenset({"told", "lent"})
IN_TEST_NAMES = re.compile(r"\b(nursery|succession|farewells?|siblings?|deaths?|fared|tells?|the ears)\b")
"""Refused in the names of tests, too: say fork server, handover, worker, reports, recogniser."""
QUOTED = "plain-words: quoted"
STRINGS_ARE_DATA = ("tests/", "benchmarks/", "bots/")
PROSE = re.compile(r"`[^`\n]*`|\]\([^)]*\)")


def main(arguments: list[str]) -> int:
    names = arguments or _tracked()
    faults = [fault for name in names for fault in find_faults(name, Path(name).read_text(encoding="utf-8"))]
    for fault in faults:
        print(fault)
    if faults:
        print(f"{len(faults)} banned words: say it plainly, or mark a quotation with `{QUOTED}`")
    return 1 if faults else 0


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml", ".env.example"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        name
        for name in listed.stdout.splitlines()
        if not name.startswith("tests/assets/") and name != ".ci/plain_words.py" and Path(name).is_file()
    ]


def find_faults(name: str, text: str) -> list[str]:
    """The banned words of a file's text, each as `file:line: word: the line`."""
    lines = text.splitlines()
    spans = (
        _python(name, text)
        if name.endswith(".py")
        else _prose(text)
        if name.endswith(".md")
        else enumerate(lines, 1)
    )
    found = []
    for first, span in spans:
        for offset, line in enumerate(span.splitlines()):
            number = min(first + offset, len(lines))  # an escaped "\n" ends no line of the file
            if QUOTED in lines[number - 1]:
                continue
            found += [f"{name}:{number}: {match[0]}: {line.strip()[:110]}" for match in BANNED.finditer(line)]
    for number, test in _test_names(text) if name.endswith(".py") else ():
        found += [f"{name}:{number}: {match[0]}: {test}" for match in IN_TEST_NAMES.finditer(test)]
    return found


def _test_names(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.lineno, node.name.replace("_", " ")


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Lines outside fenced code, without inline code and link targets."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, PROSE.sub("", line)


def _python(name: str, text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], PROSE.sub("", token.string)
        elif token.type == tokenize.NAME and not name.startswith(STRINGS_ARE_DATA):
            parts = token.string.lower().split("_")
            yield from ((token.start[0], part) for part in parts if part in IDENTIFIERS)
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name.replace("_", " ")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if lines[node.lineno - 1].lstrip().startswith(('"""', 'r"""')):
                yield node.lineno, PROSE.sub("", node.value)
            elif not name.startswith(STRINGS_ARE_DATA):
                yield node.lineno, node.value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
