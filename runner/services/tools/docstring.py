"""What a function's docstring tells a language model. Pure."""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(r"(?:Args|Arguments|Parameters|Returns?|Yields?|Raises|Examples?|Notes?):\s*$")
_PARAMETERS = ("Args:", "Arguments:", "Parameters:")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")


def read_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """The description, and what the Args section says of each parameter."""
    lines = inspect.cleandoc(text or "").splitlines()
    first = next((i for i, line in enumerate(lines) if _SECTION.match(line)), len(lines))
    description = "\n".join(lines[:first]).strip()
    return description, _parameters(lines)


def _parameters(lines: list[str]) -> dict[str, str]:
    begin = next((i for i, line in enumerate(lines) if line.strip() in _PARAMETERS), None)
    if begin is None:
        return {}
    found: dict[str, str] = {}
    indent: int | None = None
    name = ""
    for line in lines[begin + 1 :]:
        depth = len(line) - len(line.lstrip())
        if not line.strip():
            continue
        if depth == 0:
            break
        if indent is None:
            indent = depth
        if depth <= indent and (entry := _ENTRY.match(line.strip())):
            name, found[entry[1]] = entry[1], entry[2]
        elif name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found
