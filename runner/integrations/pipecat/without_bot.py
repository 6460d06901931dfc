"""A Pipecat program without `bot(runner_args)`: what to add, in the names of its file."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.botcode.loader import NoBotFunctionError

SERVERS = ("FastAPI", "Flask", "Quart", "Starlette")
SOCKETS = ("websocket", "websocket_client", "ws")
OF_CALL = {"stream": "stream_id", "call": "call_id"}
"""What a parameter's name begins with, and the field of `parse_telephony_websocket`'s answer."""

Function = ast.AsyncFunctionDef


def what_to_add(error: NoBotFunctionError, path: Path) -> NoBotFunctionError:
    """The error, with the lines that make this file a bot."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return error
    functions = [node for node in tree.body if isinstance(node, Function)]
    own_server, line = _own_server(tree)
    runs = _function_with_pipeline(functions)
    if runs is None and not own_server:
        return error
    has = f"; it runs {own_server} of its own" if own_server else ""
    lines = "\n".join(f"    {text}" for text in _lines(tree, functions, runs))
    sentence = f"there is no function bot{has}. Add to it:\n\n{lines}"
    return NoBotFunctionError(sentence, path, line or (runs.lineno if runs else None))


def _own_server(tree: ast.Module) -> tuple[str, int | None]:
    """The server or event loop that this file starts itself, and its line."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            called = _last_name(node.value)
            if called in SERVERS:
                return f"a {called} server (`{ast.unparse(node.targets[0])}`)", node.lineno
    if (call := _event_loop(tree)) is not None:
        return f"an event loop (`{ast.unparse(call)}`)", call.lineno
    return "", None


def _event_loop(tree: ast.Module) -> ast.Call | None:
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
    return next((call for call in calls if ast.unparse(call.func) == "asyncio.run"), None)


def _last_name(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _function_with_pipeline(functions: Sequence[Function]) -> Function | None:
    """The function that builds the pipeline."""
    for function in functions:
        if any(_last_name(node) == "Pipeline" for node in ast.walk(function) if isinstance(node, ast.Call)):
            return function
    return None


# ------------------------------------------------------------------ the lines


def _lines(tree: ast.Module, functions: Sequence[Function], runs: Function | None) -> Iterator[str]:
    if runs is not None and _parameters(runs):
        yield from _calling(runs.name, _needed(runs))
        return
    if runs is None and (called := _endpoint_calls(functions)) is not None:
        yield from _calling(*called)
        return
    yield from _bot(("create_transport",), ("pipecat.transports.base_transport", "TransportParams"))
    yield "    params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)"
    yield '    transport = await create_transport(runner_args, {"webrtc": lambda: params})'
    if runs is not None:
        yield f"    # pass `transport` to {runs.name}, which builds its own today"
        yield f"    await {runs.name}(transport)"
    else:
        loop = _event_loop(tree)
        yield "    # use `transport` instead of the one that the program builds today"
        yield f"    await {ast.unparse(loop.args[0]) if loop is not None else 'run_bot(transport)'}"


def _calling(name: str, parameters: Sequence[str]) -> Iterator[str]:
    """A bot that calls this function with what its parameters are called by."""
    given = [_given(parameter) for parameter in parameters]
    if any(value == "transport" for value in given):
        yield from _bot(("create_transport",), ("pipecat.transports.base_transport", "TransportParams"))
        yield "    params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)"
        yield '    transport = await create_transport(runner_args, {"webrtc": lambda: params})'
    elif any("call[" in value for value in given):
        yield from _bot(("parse_telephony_websocket",))
        yield "    _, call = await parse_telephony_websocket(runner_args.websocket)"
    else:
        yield "async def bot(runner_args):"
    yield f"    await {name}({', '.join(given)})"


def _bot(names: Sequence[str], *more: tuple[str, str]) -> Iterator[str]:
    for module, imported in (*more, ("pipecat.runner.utils", ", ".join(names))):
        yield f"from {module} import {imported}"
    yield ""
    yield "async def bot(runner_args):"


def _given(parameter: str) -> str:
    """What to pass for a parameter of this name."""
    if parameter in SOCKETS:
        return "runner_args.websocket"
    if "connection" in parameter:
        return "runner_args.webrtc_connection"
    if "transport" in parameter:
        return "transport"
    if parameter == "runner_args":
        return "runner_args"
    if not parameter.isidentifier():  # a constant of the endpoint's
        return parameter
    field = next((field for word, field in OF_CALL.items() if parameter.startswith(word)), None)
    return f'call["{field}"]' if field else f"{parameter}=…"


def _parameters(function: Function) -> list[str]:
    return [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]


def _needed(function: Function) -> list[str]:
    """Parameters without a default."""
    names = _parameters(function)
    return names[: len(names) - len(function.args.defaults)]


def _endpoint_calls(functions: Sequence[Function]) -> tuple[str, list[str]] | None:
    """What an endpoint for WebSockets awaits with its socket, if the pipeline is built in another file."""
    for function in functions:
        sockets = [name for name in _parameters(function) if name in SOCKETS]
        for node in ast.walk(function) if sockets else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                passed = [ast.unparse(argument) for argument in node.args]
                passed += [keyword.arg or "" for keyword in node.keywords]
                if sockets[0] in passed:
                    return node.func.id, passed
    return None
