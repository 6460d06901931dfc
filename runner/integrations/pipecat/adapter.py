"""Makes a bot of Pipecat's a bot of botrun's: its function takes botrun's arguments."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pipecat

from runner.arguments import RunnerArguments
from runner.botcode import location
from runner.botcode.loader import LoadedBot
from runner.eventloop.waiting import first_of
from runner.integrations.pipecat import hooks, patches, runner_app
from runner.integrations.pipecat.arguments import translate
from runner.integrations.pipecat.call import PipecatCall
from runner.sessions.stats import current_call
from runner.settings import Settings
from runner.transports.session_port import current_port

logger = logging.getLogger(__name__)


def adapt(bot: LoadedBot, settings: Settings) -> LoadedBot:
    """The same bot, to be called with botrun's arguments. `settings`: the run's.

    Raises:
        BotLoadError: the bot's own parser refuses its arguments.
    """
    patches.apply()
    logger.info("%s runs on pipecat %s", bot.path.name, pipecat.__version__)
    command_line = runner_app.command_line_of(bot, settings)
    function = _calling(bot.function, command_line)
    return replace(bot, function=function, routes=runner_app.added_routes(), finished=finished)


def _calling(
    function: Callable[[Any], Awaitable[None]], command_line: runner_app.CommandLine
) -> Callable[[RunnerArguments], Awaitable[None]]:
    @functools.wraps(function)
    async def run(args: RunnerArguments) -> None:
        hooks.install()
        call = PipecatCall(current_port(), current_call(), runner_app.kind_of(args))
        theirs = translate(args, call, command_line.arguments_for(call.kind))
        with call.entered():
            await _until_over(function(theirs), call)

    return run


AFTER_CALL_S = 300.0
"""How long (s) a bot may go on when its call is over: some write reports. Pipecat's runner sets no limit."""

RETURN_S = 1.0
"""How long (s) a bot that has ended its call may take to return, before the session ends without it."""


async def _until_over(running: Awaitable[None], call: PipecatCall) -> None:
    """Run the bot until it returns, or the call is over; then it may finish in the background."""
    work = asyncio.ensure_future(running)
    closed = call.line.closed.wait() if call.line is not None else asyncio.Event().wait()
    try:
        await first_of(asyncio.wait([work]), closed)
        if not work.done():
            await asyncio.wait([work], timeout=RETURN_S)
    finally:
        if not work.done() and call.is_over:
            _finish_in_background(work, call)
        elif not work.done():
            work.cancel()
            await asyncio.wait([work])
    if work.done():
        work.result()
        if call.line is not None:
            await call.line.played_out()


_unfinished: set[asyncio.Future[None]] = set()


async def finished() -> None:
    """Wait until all bots that go on after their calls are done."""
    while _unfinished:
        await asyncio.wait(tuple(_unfinished))


def _finish_in_background(work: asyncio.Future[None], call: PipecatCall) -> None:
    """The bot's pipelines are cancelled; what it does behind them may go on."""
    cancelling = [asyncio.ensure_future(w.cancel()) for w in call.workers if not w.has_finished()]
    _unfinished.update((work, *cancelling))
    for task in cancelling:
        task.add_done_callback(_unfinished.discard)
    timer = asyncio.get_running_loop().call_later(AFTER_CALL_S, work.cancel)

    def done(task: asyncio.Future[None]) -> None:
        timer.cancel()
        _unfinished.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the bot failed after its call: %s", location.describe(error), exc_info=error)

    work.add_done_callback(done)
