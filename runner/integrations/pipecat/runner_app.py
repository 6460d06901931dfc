"""What bots ask of Pipecat's runner itself: routes on its server, and its command line's arguments."""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from starlette.routing import Mount, Route, WebSocketRoute

from runner.arguments import RunnerArguments, WebSocketRunnerArguments
from runner.botcode.loader import LoadedBot
from runner.errors import BotLoadError
from runner.settings import Settings

logger = logging.getLogger(__name__)

RUN = "pipecat.runner.run"
_OF_FASTAPI = frozenset(("/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"))

DEFAULTS: Mapping[str, Any] = MappingProxyType({
    "host": "localhost", "port": 7860, "transport": None, "proxy": None, "direct": False,
    "downloads_folder": None, "folder": None, "uploads_folder": None, "uploads_folder_max_files": 10,
    "runner_body": None, "verbose": 0, "dialin": True, "esp32": False, "whatsapp": False, "ws_auth": "none",
    "ice_servers": [], "allowed_origins": [],
})  # fmt: skip
"""What `cli_args` has when nothing was typed."""

_KINDS = {"SmallWebRTCRunnerArguments": "webrtc", "DailyRunnerArguments": "daily"}


def kind_of(args: RunnerArguments) -> str:
    """The transport's name on Pipecat's command line."""
    if isinstance(args, WebSocketRunnerArguments):
        return args.provider
    return _KINDS.get(type(args).__name__, "")


# ------------------------------------------------------------------ routes


def added_routes() -> tuple[Any, ...]:
    """Routes for what the bot has added to `pipecat.runner.run.app`, answered by that application."""
    module = sys.modules.get(RUN)
    app = getattr(module, "app", None)
    if app is None:
        return ()
    return tuple(made for route in app.routes if (made := _forwarded(route, app)) is not None)


def _forwarded(route: Any, app: Any) -> Any:
    match route:
        case Mount():
            return route
        case WebSocketRoute():
            return WebSocketRoute(route.path, app)
        case Route() if route.path not in _OF_FASTAPI:
            return Route(route.path, app)
    return None


# ------------------------------------------------------------------ the command line


class CommandLine:
    """What `runner_args.cli_args` is made of.

    Args:
        settings: the run's.
        own: what the bot's own parser makes of the arguments that follow `--`.
    """

    def __init__(self, settings: Settings, own: Mapping[str, Any]) -> None:
        given = {
            "host": settings.host,
            "port": settings.port,
            "proxy": settings.proxy or None,
            "direct": settings.direct,
            "verbose": int(settings.verbose),
            "allowed_origins": list(settings.allow_origins),
        }
        self._values = {**DEFAULTS, **given, **own}

    def arguments_for(self, transport: str) -> argparse.Namespace:
        """A new namespace for a call over this transport."""
        return argparse.Namespace(**{**self._values, "transport": transport})


def command_line_of(bot: LoadedBot, settings: Settings) -> CommandLine:
    """Read the parser that the bot's last lines pass to Pipecat's `main(parser)`, if they do.

    Raises:
        BotLoadError: arguments were typed that it refuses.
    """
    try:
        tree = ast.parse(bot.path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return CommandLine(settings, {})
    body = _main_block(tree)
    names = _names_of_main(tree)
    until = next((i for i, node in enumerate(body) if _passes_a_parser(node, names)), None)
    if until is None:
        return CommandLine(settings, {})
    block = [node for node in body[: until + 1] if not _imports_main(node)]
    return CommandLine(settings, _parse_own(bot, block, names, settings.bot_args))


def _parse_own(
    bot: LoadedBot, block: list[ast.stmt], names: set[str], typed: Sequence[str]
) -> Mapping[str, Any]:
    """Run these lines with a `main` that only takes the parser, and parse what was typed."""
    taken: list[argparse.ArgumentParser] = []
    values = {**vars(bot.module), **dict.fromkeys(names, taken.append)}
    printed = io.StringIO()
    try:
        exec(compile(ast.Module(block, []), str(bot.path), "exec"), values)
        with contextlib.redirect_stderr(printed):
            return vars(taken[-1].parse_args(typed))
    except (Exception, SystemExit) as error:  # the user's code
        why = printed.getvalue().strip().rpartition("\n")[2] or str(error)
        if typed:
            raise BotLoadError(
                f"the bot refuses its arguments {shlex.join(typed)}: {why}", bot.path
            ) from None
        logger.warning(
            "%s: cli_args lacks the bot's own arguments: %s. Give them behind --",
            os.path.basename(bot.path),
            why,
        )
        return {}


def _main_block(tree: ast.Module) -> list[ast.stmt]:
    for node in reversed(tree.body):
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            return node.body
    return []


def _imports_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == RUN


def _names_of_main(tree: ast.Module) -> set[str]:
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == RUN)
    return {alias.asname or alias.name for node in imports for alias in node.names if alias.name == "main"}


def _passes_a_parser(node: ast.stmt, names: set[str]) -> bool:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in names:
            return bool(call.args or call.keywords)
    return False
