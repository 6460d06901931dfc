"""Runs the tools that a model called: concurrently, with deadlines, until an interruption cancels them."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from runner.frames import (
    EndTaskFrame,
    Frame,
    FrameDirection,
    FunctionCall,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    LLMFullResponseStartFrame,
    TTSSpeakFrame,
)
from runner.processors.base import DOWNSTREAM, UPSTREAM
from runner.processors.context import LLMContext, Message
from runner.services.common.work import ReplyWork
from runner.services.tools.call import CANCELLED, LanguageModel, MalformedCall, ToolCall, as_json, write_down
from runner.services.tools.signature import ArgumentsError
from runner.services.tools.toolbox import Tool, Toolbox, ToolOptions

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Run:
    """One running call.

    Attributes:
        work: the task of the tool; None before it starts.
        settled: whether its answer is in the context.
        left_alone: whether it continues after its reply was interrupted.
    """

    call: FunctionCall
    tool: Tool | None
    context: LLMContext
    answer: Message
    reply_id: int | None
    work: ReplyWork | None = None
    settled: bool = False
    left_alone: bool = False

    @property
    def options(self) -> ToolOptions:
        return self.tool.options if self.tool is not None else ToolOptions()

    @property
    def may_be_cancelled(self) -> bool:
        return self.work is None or self.options.cancel_on_interruption

    def settle(self, result: Any) -> None:
        """Put the answer into the context."""
        self.settled = True
        self.answer["content"] = json.dumps(result, ensure_ascii=False)


class ToolRunner:
    """The running tools of one language model.

    Args:
        llm: pushes the frames.
        toolbox: the functions by name.
        voice: whether the bot can be heard, for fillers.
        late: called with the context when a tool answers after its reply was interrupted.

    Attributes:
        acted: whether a tool spoke or ended the call since this was last cleared.
    """

    def __init__(
        self, llm: LanguageModel, toolbox: Toolbox, voice: VoiceWatch, late: Callable[[LLMContext], None]
    ) -> None:
        self._llm = llm
        self._toolbox = toolbox
        self._voice = voice
        self._late = late
        self._runs: list[Run] = []
        self._cancelled: list[FunctionCall] = []
        self._fillers_said = 0
        self.acted = False

    async def run(
        self,
        work: ReplyWork,
        context: LLMContext,
        calls: Sequence[FunctionCall],
        start: LLMFullResponseStartFrame,
        said: str,
    ) -> None:
        """Run the calls of one round; returns when all have answered."""
        # A reply may be prepared before the user's turn has ended for certain; its tools wait for that.
        await self._llm.processor_setup.replies.until_certain(start.reply_id)
        answers = write_down(context, calls)
        runs = [
            Run(call, self._toolbox.find(call.function_name, context.tools), context, answer, start.reply_id)
            for call, answer in zip(calls, answers, strict=True)
        ]
        self._runs += runs
        await _both_ways(work, FunctionCallsStartedFrame(tuple(calls)))
        for run in runs:
            await _both_ways(work, FunctionCallInProgressFrame(run.call, run.options.cancel_on_interruption))
            run.work = ReplyWork(self._llm).start(self._running(run), run.call.function_name)
        await self._await_answers(work, runs, start, spoke=bool(said.strip()))

    def interrupt(self) -> None:
        """Cancel the tools that may be cancelled, at once; the others continue."""
        for run in self._runs:
            if run.settled:
                continue
            if run.may_be_cancelled:
                run.settled = True
                run.answer["content"] = CANCELLED
                self._cancelled.append(run.call)
                if run.work is not None:
                    run.work.stop()
            else:
                run.left_alone = True
        self._runs = [run for run in self._runs if not run.settled]

    async def report_cancelled(self) -> None:
        """Push a frame for each call that `interrupt` cancelled."""
        cancelled, self._cancelled = self._cancelled, []
        for call in cancelled:
            for direction in (UPSTREAM, DOWNSTREAM):
                await self._llm.push_frame(FunctionCallCancelFrame(call), direction)

    async def _await_answers(
        self, work: ReplyWork, runs: Sequence[Run], start: LLMFullResponseStartFrame, *, spoke: bool
    ) -> None:
        clock = self._llm.processor_setup.clock
        pending = {run.work.task: run for run in runs if run.work is not None}
        fillers = self._fillers([] if start.skip_tts else runs, spoke=spoke)
        while pending:
            await asyncio.wait(pending, timeout=fillers.wait_s(clock()), return_when=asyncio.FIRST_COMPLETED)
            pending = {task: run for task, run in pending.items() if not task.done()}
            if pending and (text := fillers.take(clock())) is not None:
                self._fillers_said += 1
                await work.push(TTSSpeakFrame(text, reply_id=start.reply_id))

    def _fillers(self, runs: Sequence[Run], *, spoke: bool) -> Fillers:
        options = [run.options for run in runs]
        now = self._llm.processor_setup.clock()
        return Fillers(options, self._voice, now, spoke=spoke, turn=self._fillers_said)

    def _running(self, run: Run) -> Any:
        async def work(work: ReplyWork) -> None:
            result = as_json(await self._result(run, work))
            if run.settled:  # cancelled while it pushed a frame
                return
            run.settle(result)
            if run in self._runs:
                self._runs.remove(run)
            await _both_ways(work, FunctionCallResultFrame(run.call, result))
            if run.left_alone:
                self._late(run.context)

        return work

    async def _result(self, run: Run, work: ReplyWork) -> Any:
        """The tool's result, or the error that the model gets instead."""
        name = run.call.function_name
        if run.tool is None:
            logger.warning("the model called the tool %s, which it was not given", name)
            return {"error": f"there is no tool {name}"}
        if isinstance(run.call, MalformedCall):
            return {"error": f"the arguments are not a JSON object: {run.call.raw[:200]}"}
        # Not `asyncio.timeout`: it could not be distinguished from a TimeoutError that the tool raises.
        running = asyncio.ensure_future(run.tool.run(self._call(run, work)))
        try:
            done, _ = await asyncio.wait({running}, timeout=run.options.timeout_s)
        finally:
            running.cancel()
        if not done:
            logger.warning("the tool %s did not answer within %g s", name, run.options.timeout_s)
            return {"error": f"{name} did not answer within {run.options.timeout_s:g} seconds"}
        return _outcome(name, running, run.tool)

    def _call(self, run: Run, work: ReplyWork) -> ToolCall:
        async def push(frame: Frame, direction: FrameDirection = DOWNSTREAM) -> None:
            self.acted = self.acted or isinstance(frame, TTSSpeakFrame | EndTaskFrame)
            await work.push(frame, direction)

        return ToolCall(
            function_name=run.call.function_name,
            tool_call_id=run.call.tool_call_id,
            arguments=run.call.arguments,
            context=run.context,
            llm=self._llm,
            reply_id=run.reply_id,
            push=push,
        )


def _outcome(name: str, finished: asyncio.Future[Any], tool: Tool) -> Any:
    if finished.cancelled():
        return {"error": f"{name} was cancelled"}
    error = finished.exception()
    if error is None:
        return finished.result()
    if isinstance(error, ArgumentsError):
        logger.info("the tool %s was called with %s", name, error)
        return {"error": str(error)}
    logger.warning("the tool %s failed%s: %s", name, _place(error, tool), _words(error))
    return {"error": _words(error)}


def _place(error: BaseException, tool: Tool) -> str:
    """Where in the tool's file it failed: " at bot.py:12"."""
    frames = traceback.extract_tb(error.__traceback__)
    code = getattr(tool.function, "__code__", None)
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    last = (own or frames)[-1:]
    return f" at {last[0].filename}:{last[0].lineno}" if last else ""


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def _both_ways(work: ReplyWork, frame: Frame) -> None:
    await work.push(frame, UPSTREAM)
    await work.push(frame, DOWNSTREAM)


AGAIN_AFTER_S = 5.0
"""Silence (s) between two fillers."""

VOICE_S = 2.0
"""Time (s) for a voice to be heard."""


class VoiceWatch:
    """Tracks whether the bot is being heard, from the frames that reach the language model."""

    def __init__(self) -> None:
        self.speaking = False
        self.stopped_at = float("-inf")

    def began(self) -> None:
        """The bot starts to be heard."""
        self.speaking = True

    def ended(self, now: float) -> None:
        """Everything has been heard."""
        self.speaking = False
        self.stopped_at = now


class Fillers:
    """The fillers ("one moment") of the tools of one round. Pure: `now` (s) is an argument.

    Args:
        options: the options of the running tools.
        voice: whether the bot can be heard.
        now: when the tools began.
        spoke: whether the model said something before it called them.
        turn: how many fillers the call has heard before, so that they differ.
    """

    def __init__(
        self, options: Sequence[ToolOptions], voice: VoiceWatch, now: float, *, spoke: bool, turn: int
    ) -> None:
        texts = _distinct(text for option in options for text in option.fillers)
        offset = turn % len(texts) if texts else 0
        self._texts = [*texts[offset:], *texts[:offset]]
        self._after_s = min((o.filler_after_s for o in options if o.fillers), default=0.0)
        self._voice = voice
        self._given_words = spoke
        self._since = now

    def wait_s(self, now: float) -> float | None:
        """Time (s) until the next filler is due, if nothing changes; None if there is none."""
        return max(self._due_at(now) - now, 0.0) if self._texts else None

    def take(self, now: float) -> str | None:
        """The filler that is due now."""
        if not self._texts or self._due_at(now) > now:
            return None
        self._given_words, self._since, self._after_s = True, now, AGAIN_AFTER_S
        return self._texts.pop(0)

    def _due_at(self, now: float) -> float:
        return self._quiet_since(now) + self._after_s

    def _quiet_since(self, now: float) -> float:
        if self._voice.speaking:
            return now
        if self._given_words and self._voice.stopped_at < self._since:
            return self._since + VOICE_S
        return max(self._since, self._voice.stopped_at)


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text.strip()))
