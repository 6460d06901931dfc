"""No circle of imports in `runner/`, wherever an import stands: in functions and under TYPE_CHECKING, too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import runner

ROOT = Path(runner.__file__).parent


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = ("runner", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(module: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of `runner/` that a module names in its import statements.

    `from package import name` counts for `package.name` where that is a module, else for the package. That a
    module runs its parents' `__init__` is not counted: a package may re-export what lies in it.
    """
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                if f"{base}.{alias.name}" in known:
                    yield f"{base}.{alias.name}"
                elif base in known:
                    yield base


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """The strongly connected parts of more than one module (Tarjan 1972), and self-imports."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: set[frozenset[str]] = set()

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = set()
            while True:
                part.add(stack.pop())
                if node in part:
                    break
            if len(part) > 1 or node in graph[node]:
                found.add(frozenset(part))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_a_circle_is_found_in_functions_and_under_type_checking(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    from pkg import b\n")
    (tmp_path / "b.py").write_text("if TYPE_CHECKING:\n    from pkg.a import f\n")
    (tmp_path / "c.py").write_text("import pkg.a\n")
    known = {f"pkg.{name}": tmp_path / f"{name}.py" for name in "abc"}
    graph = {name: set(imports_of(name, path, known)) for name, path in known.items()}
    assert circles(graph) == {frozenset({"pkg.a", "pkg.b"})}


def test_no_module_imports_itself_through_others() -> None:
    known = modules()
    graph = {name: set(imports_of(name, path, known)) for name, path in known.items()}
    assert circles(graph) == set()
