"""A Pipecat program without `bot(runner_args)`: what to add, in the names of its file."""

from __future__ import annotations

import ast
from pathlib import Path

from runner.botcode.loader import NoBotFunctionError


def what_to_add(error: NoBotFunctionError, path: Path) -> NoBotFunctionError:
    """The error, with the lines that make this file a bot."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return error
    functions = {n.name: n for n in tree.body if isinstance(n, ast.AsyncFunctionDef)}
    own_server, line = _own_server(tree)
    runs = _function_with_pipeline(functions)
    if runs is None and not own_server:
        return error
    has = f"it runs {own_server} of its own. " if own_server else ""
    sentence = f"there is no function bot; {has}Add to it:\n\n{_lines(runs)}"
    return NoBotFunctionError(sentence, path, line or (runs.lineno if runs else None))


def _own_server(tree: ast.Module) -> tuple[str, int | None]:
    """The server or event loop that this file starts itself, and its line."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func).rpartition(".")[2]
            if called in ("FastAPI", "Flask", "Quart", "Starlette"):
                return f"a {called} server (`{ast.unparse(node.targets[0])}`)", node.lineno
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "asyncio.run" and call.args:
            return f"an event loop (`{ast.unparse(call)}`)", call.lineno
    return "", None


def _function_with_pipeline(
    functions: dict[str, ast.AsyncFunctionDef],
) -> ast.AsyncFunctionDef | None:
    """The function that builds the pipeline."""
    for function in functions.values():
        called = {ast.unparse(n.func) for n in ast.walk(function) if isinstance(n, ast.Call)}
        if "Pipeline" in {name.rpartition(".")[2] for name in called}:
            return function
    return None


def _lines(function: ast.AsyncFunctionDef | None) -> str:
    """The function to add."""
    parameters = (
        [] if function is None else [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    )
    name = "run_bot" if function is None else function.name
    given = []
    for parameter in parameters:
        if parameter in ("websocket", "websocket_client", "ws"):
            given.append("runner_args.websocket")
        elif "connection" in parameter:
            given.append("runner_args.webrtc_connection")
        elif "transport" in parameter:
            given.append("transport")
        elif parameter == "runner_args":
            given.append("runner_args")
        else:
            given.append(f"{parameter}=…")
    defaults = 0 if function is None else len(function.args.defaults)
    needed = given[: len(given) - defaults] if defaults else given
    lines = ["    async def bot(runner_args):"]
    if "transport" in needed or not parameters:
        lines += [
            "        params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)",
            '        transport = await create_transport(runner_args, {"webrtc": lambda: params})',
        ]
        if not parameters:
            lines += [f"        # pass `transport` to {name}, which builds its own today"]
            needed = ["transport"]
    lines += [f"        await {name}({', '.join(needed)})"]
    return "\n".join(lines)
