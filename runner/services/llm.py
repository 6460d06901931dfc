"""Language models: answer an `LLMContextFrame` with a streamed reply, and run the tools that it calls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FrameDirection,
    FunctionCall,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    TextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.aggregators import LLMContextAggregatorPair
from runner.processors.base import DOWNSTREAM, FrameProcessor, stands_in_line, survives_interruption
from runner.processors.context import LLMContext
from runner.services.common.failures import EmptyAnswer, push_failure
from runner.services.common.work import ReplyWork, iterating
from runner.services.tools.call import LanguageModel, asked_with
from runner.services.tools.running import ToolRunner, VoiceWatch
from runner.services.tools.toolbox import Toolbox, make_handler, make_tool, options_of

logger = logging.getLogger(__name__)

TOOL_ROUNDS = 8
"""Maximum number of rounds of tool calls in one reply; then the model must answer in words."""


QUIET_S = 1.2
"""Silence (s) after which the user's words have been recognised."""

LOOK_S = 0.1


class LLMService(LanguageModel):
    """A language model. Override `run_llm`.

    A reply is generated in its own task; an interruption or a newer question stops it. Frames that must not
    overtake a reply (an `EndFrame`, text to speak) wait until it is complete.

    Attributes:
        toolbox: the registered tools.
        sorry: what the bot says when the model fails before its first word; empty: nothing.
        may_stay_silent: whether an answer without text is intended; otherwise it is reported as an error.
    """

    sorry = ""
    may_stay_silent = False

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.toolbox = Toolbox()
        self._voice = VoiceWatch()
        self._tools = ToolRunner(self, self.toolbox, self._voice, self._late)
        self._quiet_wait = QuietWait(self, self._noisy, self.answer)
        self._user_speaking = False
        self._work: ReplyWork | None = None
        self._reply_id: int | None = None
        self._open_reply: int | None = None
        self._line: deque[Frame] = deque()

    def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        """Answer the context: yield text as it comes, tool calls, or frames to push. Raise `ServiceError`
        with one sentence if the model cannot answer.

        It must not change the context, because it can be closed at any time. After it ends, the called tools
        run and it is called again."""
        raise NotImplementedError(f"{type(self).__name__} does not override run_llm")

    def share_tools(self, other: LLMService) -> None:
        """Use the tools of another service, including those registered later."""
        self.toolbox = other.toolbox
        self._tools = ToolRunner(self, self.toolbox, self._voice, self._late)

    def register_function(
        self, function: str | Callable[..., Any], handler: Callable[..., Any] | None = None, **options: Any
    ) -> None:
        """Register a typed Python function as a tool, or a handler for a schema in the context.

        ```python
        llm.register_function(book_a_table, filler="One moment.", timeout_s=5)
        llm.register_function("get_weather", handler)  # handler(params) with params.result_callback
        ```

        Args:
            function: the function; its signature and docstring describe it to the model. Or a name.
            handler: called with a `ToolCall` for calls of that name.
            options: the options of `ToolOptions`.
        """
        if isinstance(function, str):
            if handler is None:
                raise TypeError(f"register_function({function!r}, …) needs the function that answers")
            self.toolbox.register(make_handler(function, handler, options_of(None, options)))
        else:
            self.toolbox.register(make_tool(function, options_of(function, options)))

    def create_context_aggregator(self, context: LLMContext, **options: Any) -> LLMContextAggregatorPair:
        """Create the two aggregators of a context; Pipecat's older interface."""
        return LLMContextAggregatorPair(context, **options)

    register_direct_function = register_function
    """Pipecat's name for registering a typed function."""

    def push_after_reply(self, frame: Frame) -> None:
        """Push a frame after the current reply."""
        if self._busy:
            self._line.append(frame)
        else:
            self.create_task(self.push_frame(frame), "push")

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        self._listen(frame)
        if isinstance(frame, LLMContextFrame) and direction is DOWNSTREAM:
            await self.answer(frame.context, skip_tts=frame.skip_tts)
        elif direction is DOWNSTREAM and (self._busy or self._line) and stands_in_line(frame):
            self._line.append(frame)
        else:
            await self.push_frame(frame, direction)

    async def answer(self, context: LLMContext, *, skip_tts: bool = False) -> None:
        """Stop the current reply and begin one to this context. With `skip_tts` it is not spoken."""
        self._stop()
        await self._stopped()
        reply_id = self._reply_id = self.processor_setup.replies.new()
        start = LLMFullResponseStartFrame(skip_tts, reply_id=reply_id)
        self._work = ReplyWork(self).start(lambda work: self._reply(work, context, start), "reply")

    def interrupted(self) -> None:
        self._line = deque(frame for frame in self._line if survives_interruption(frame))
        if self._stop():
            self.create_task(self._stopped(), "interrupted")

    # ------------------------------------------------------------ who speaks

    def _listen(self, frame: Frame) -> None:
        match frame:
            case UserStartedSpeakingFrame():
                self._user_speaking = True
            case UserStoppedSpeakingFrame():
                self._user_speaking = False
            case BotStartedSpeakingFrame():
                self._voice.began()
            case BotStoppedSpeakingFrame():
                self._voice.ended(self.processor_setup.clock())

    def _noisy(self) -> bool:
        return self._busy or self._user_speaking or self._voice.speaking

    def _late(self, context: LLMContext) -> None:
        self._quiet_wait.want(context)

    # ------------------------------------------------------------ a reply

    @property
    def _busy(self) -> bool:
        return self._work is not None and self._work.running

    def _stop(self) -> bool:
        """Stop the current reply and its tools; False if there is none."""
        if self._work is None or not self._work.running:
            return False
        self._tools.interrupt()
        self._work.stop()
        self._open_reply = self._reply_id
        return True

    async def _stopped(self) -> None:
        """Report that a reply was stopped, and push the frames that waited for it."""
        reply_id, self._open_reply = self._open_reply, None
        if reply_id is None:
            return
        await self._tools.report_cancelled()
        await self.push_frame(LLMFullResponseEndFrame(reply_id=reply_id))
        await self._release()

    async def _reply(self, work: ReplyWork, context: LLMContext, start: LLMFullResponseStartFrame) -> None:
        view = context
        self._tools.acted = has_spoken = False
        for round_number in range(TOOL_ROUNDS + 1):
            self._quiet_wait.forget()
            self.toolbox.withheld = round_number == TOOL_ROUNDS
            calls, said = await self._round(work, view, start, has_spoken=has_spoken or self._tools.acted)
            has_spoken = has_spoken or bool(said.strip())
            if calls and self.toolbox.withheld:
                logger.warning("%s keeps calling tools; botrun stops after %d rounds", self.name, TOOL_ROUNDS)
                break
            if not calls:
                break
            await self._tools.run(work, context, calls, start, said)
            view = asked_with(context, said)
        self._work = None
        await self._release()

    async def _round(
        self, work: ReplyWork, context: LLMContext, start: LLMFullResponseStartFrame, *, has_spoken: bool
    ) -> tuple[list[FunctionCall], str]:
        """Call the model once; returns its tool calls and its text. An empty answer is an error, unless the
        reply `has_spoken` before."""
        reply_id = start.reply_id
        await work.push(replace(start))  # a new frame: observers report each frame once
        calls: list[FunctionCall] = []
        said: list[str] = []
        is_silent = True
        try:
            async with contextlib.aclosing(self._timed(work, context, reply_id)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, FunctionCall):
                        calls.append(piece)
                        continue
                    if isinstance(piece, str):
                        piece = LLMTextFrame(piece, reply_id=reply_id)
                    if not isinstance(piece, Frame):
                        what = f"{type(self).__name__}.run_llm yielded {piece!r:.60}"
                        raise TypeError(f"{what}: yield text, a FunctionCall or a frame")
                    if isinstance(piece, TextFrame):
                        said.append(piece.text)
                    is_silent = is_silent and isinstance(piece, TextFrame) and not piece.text.strip()
                    await work.push(piece)
            if is_silent and not calls and not self.may_stay_silent:
                what = f"{type(self).__name__}.run_llm yielded no text"
                raise EmptyAnswer(f"it answered with nothing: {what}")
        except Exception as error:  # the boundary to the service's own code
            calls = []
            if not (isinstance(error, EmptyAnswer) and has_spoken):
                await push_failure(self, error)
                if self.sorry and not said:
                    await work.push(LLMTextFrame(self.sorry, reply_id=reply_id))
        await work.push(LLMFullResponseEndFrame(reply_id=reply_id))
        return calls, "".join(said)

    async def _timed(
        self, work: ReplyWork, context: LLMContext, reply_id: int | None
    ) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        """`run_llm`, with a metric of the time to its first piece."""
        asked_at = self.processor_setup.clock()
        first = True
        async with contextlib.aclosing(iterating(self.run_llm(context), self, "run_llm")) as pieces:
            async for piece in pieces:
                if first:
                    first = False
                    waited_ms = (self.processor_setup.clock() - asked_at) * 1000
                    await work.push(MetricsFrame("ttfb", self.name, waited_ms, reply_id=reply_id))
                yield piece

    async def _release(self) -> None:
        while self._line and not self._busy:
            await self.push_frame(self._line.popleft())


class QuietWait:
    """Calls `ask(context)` once nobody has spoken for `QUIET_S`, unless `forget` is called before.

    Args:
        owner: starts the task.
        noisy: returns whether somebody speaks or a reply is being generated.
        ask: calls the model.
    """

    def __init__(
        self, owner: FrameProcessor, noisy: Callable[[], bool], ask: Callable[[LLMContext], Awaitable[None]]
    ) -> None:
        self._owner = owner
        self._noisy = noisy
        self._ask = ask
        self._wanted: LLMContext | None = None
        self._waiting: asyncio.Task[None] | None = None

    def want(self, context: LLMContext) -> None:
        """Call the model with this context when it is quiet."""
        self._wanted = context
        if self._waiting is None or self._waiting.done():
            self._waiting = self._owner.create_task(self._wait(), "wait for quiet")

    def forget(self) -> None:
        """The model is called now with the latest context anyway."""
        self._wanted = None

    async def _wait(self) -> None:
        while self._wanted is not None:
            await self._quiet()
            context, self._wanted = self._wanted, None
            if context is not None:
                await self._ask(context)

    async def _quiet(self) -> None:
        quiet_s = 0.0
        while self._wanted is not None and quiet_s < QUIET_S:
            await asyncio.sleep(LOOK_S)
            quiet_s = 0.0 if self._noisy() else quiet_s + LOOK_S
