"""The commands. Errors become one line and an exit status here.

Exit status: 0 success; 1 the bot or the machine failed; 2 wrong usage; 3 inconclusive; 130 Ctrl-C.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from runner.botcode.failure import BotCrashError
from runner.cli import call, dial, doctor, load, models, new_bots, run, serve
from runner.cli.calls import command
from runner.cli.deploy import deploy
from runner.cli.replays import baselines, judging, scenarios
from runner.cli.replays import command as replays
from runner.errors import STOPPED_BY_CTRL_C, BotrunError, UsageError
from runner.settings.parsing import did_you_mean

DEFAULT_COMMAND = "run"
GROUP_OPTIONS = frozenset({"--help", "-h"})


def with_default_command(args: Sequence[str], commands: Collection[str]) -> list[str]:
    """Turn `botrun FILE` into `botrun run FILE`."""
    if not args:
        return ["--help"]
    if args[0] in commands or args[0] in GROUP_OPTIONS:
        return list(args)
    _check_command(args[0], commands)
    return [DEFAULT_COMMAND, *args]


def split_bot_args(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate `run FILE … -- ARGS` into botrun's arguments and the bot's."""
    if args[0] != DEFAULT_COMMAND or "--" not in args[2:]:
        return list(args), []
    at = args.index("--", 2)
    return list(args[:at]), list(args[at + 1 :])


def _check_command(word: str, commands: Collection[str]) -> None:
    """Refuse a bare word that is not a file and resembles a command."""
    hint = did_you_mean(word, list(commands)) if word.isalpha() and not Path(word).exists() else ""
    if hint:
        raise UsageError(f"unknown command {word!r}{hint}")


class DefaultsToRun(TyperGroup):
    """A command group that runs `run` by default; its help shows the options of `run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        args, ctx.obj = split_bot_args(with_default_command(args, self.commands))
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["FILE [OPTIONS] [-- ARGS]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        default = self.commands[DEFAULT_COMMAND]
        self.format_commands(ctx, formatter)
        default.format_options(typer.Context(default, parent=ctx, info_name=DEFAULT_COMMAND), formatter)


app = typer.Typer(
    cls=DefaultsToRun,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)


@app.callback()
def botrun() -> None:
    """Run a single-file voice bot in the browser and on the phone."""


app.command("run", short_help="Run the bot until Ctrl-C (the default command).")(run.run)
app.command("serve", short_help="Serve the bot on all cores, for production.")(serve.serve)
app.command("deploy", short_help="Write the files for Docker, Kubernetes, systemd or Fly.")(deploy)
app.command("new")(new_bots.new)
app.command("call", short_help="Call the bot from this terminal, over a provider's wire.")(call.call)
app.command("load", short_help="Place many calls at once and measure.")(load.load)
app.command("calls", short_help="List the recorded calls.")(command.calls)
app.command("show", short_help="Show a recorded call as a timeline.")(command.show)
app.command("replay", short_help="Make a recorded call again with today's code, and compare.")(replays.replay)
app.command("compare", short_help="Compare recorded calls.")(replays.compare)
app.command("pin", short_help="Make a scenario of a recorded call.")(scenarios.pin)
app.command("watch", short_help="Make a scenario's call again at each save.")(scenarios.watch)
app.command("judge", short_help="Judge a recorded conversation by rules, with a language model.")(
    judging.judge
)
app.add_typer(baselines.app, name="baseline", short_help="Keep and check the figures of a scenario's calls.")
app.command("dial", short_help="Let the running bot call a number.")(dial.dial)
app.command("doctor", short_help="Check this machine and, with -t, a provider's account.")(doctor.doctor)
app.add_typer(models.app, name="models", short_help="List and fetch speech models for this machine.")


def run_program(args: Sequence[str]) -> int:
    """Run the command that `args` name. Returns the exit status."""
    try:
        result = app(list(args), prog_name="botrun", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return STOPPED_BY_CTRL_C
    except BotrunError as error:
        return _report(error)
    except BrokenPipeError:
        return 1
    except Exception as error:  # Typer's own errors have no public class that all its versions share
        if not hasattr(error, "format_message"):
            raise
        return _report_typer(error)
    return result if isinstance(result, int) else 0


def _report(error: BotrunError) -> int:
    if run.wants_traceback():
        traceback.print_exception(error.__cause__ or error)
    print(f"botrun: {error}", file=sys.stderr)
    return 2 if isinstance(error, UsageError) and not isinstance(error, BotCrashError) else 1


def _plain(message: str) -> str:
    """Typer's message, reworded if it is about a number."""
    found = re.match(r"Invalid value for '(?:-\w' / ')?(-[\w-]+)': (.*) is not a valid (int|float)", message)
    if found is None:
        return message
    return f"{found[1]}: expected a {'whole ' if found[3] == 'int' else ''}number, got {found[2]}"


def _report_typer(error: Any) -> int:
    message = _plain(str(error.format_message()))
    print(f"botrun: {message} (see botrun --help)" if message else "", file=sys.stderr)
    return int(error.exit_code)
