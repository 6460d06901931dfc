"""Tools in RTVI: reports to the client about the bot's tools, and functions that the client runs."""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from runner.errors import ProtocolError, ServiceError
from runner.frames import (
    FunctionCall,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
)
from runner.rtvi import messages
from runner.rtvi.outbox import Outbox
from runner.rtvi.requests import FunctionResult

MAX_CALLS = 256
"""Maximum number of calls remembered in order to report each phase once."""

CLIENT_FUNCTION_S = 30.0


class RTVIFunctionCallReportLevel(StrEnum):
    """How much of a tool call is reported to the client: nothing; only that it happens; its name; also its
    arguments; also its result. (pipecat-ai 1.14.0, `processors/frameworks/rtvi/observer.py`.)"""

    DISABLED = "disabled"
    NONE = "none"
    NAME = "name"
    ARGUMENTS = "arguments"
    FULL = "full"

    def covers(self, other: RTVIFunctionCallReportLevel) -> bool:
        """Whether this reports at least as much as `other`."""
        order = list(RTVIFunctionCallReportLevel)
        return order.index(self) >= order.index(other)


def _nothing_private() -> dict[str, RTVIFunctionCallReportLevel]:
    return {"*": RTVIFunctionCallReportLevel.NONE}


@dataclass(frozen=True, kw_only=True)
class RTVIObserverParams:
    """What is reported to the client.

    Attributes:
        function_call_report_level: by tool name, "*" for all others. Arguments and results may be private, so
            they are sent only where this allows it.
    """

    function_call_report_level: Mapping[str, RTVIFunctionCallReportLevel] = field(
        default_factory=_nothing_private
    )

    def level_of(self, function_name: str) -> RTVIFunctionCallReportLevel:
        """How much is reported of this tool."""
        levels = self.function_call_report_level
        return levels.get(function_name) or levels.get("*") or RTVIFunctionCallReportLevel.NONE


class FunctionReports:
    """Reports to the client how tools progress."""

    def __init__(self, outbox: Outbox, params: RTVIObserverParams) -> None:
        self._outbox = outbox
        self._params = params
        self._reported: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def started(self, frame: FunctionCallsStartedFrame) -> None:
        """The model called tools."""
        for call in frame.calls:
            if self._is_news("started", call):
                name = call.function_name if self._covers(call, RTVIFunctionCallReportLevel.NAME) else None
                await self._outbox.post(messages.function_call_started(name))

    async def in_progress(self, frame: FunctionCallInProgressFrame) -> None:
        """A tool runs."""
        call = frame.call
        if self._is_news("in-progress", call):
            name = call.function_name if self._covers(call, RTVIFunctionCallReportLevel.NAME) else None
            arguments = call.arguments if self._covers(call, RTVIFunctionCallReportLevel.ARGUMENTS) else None
            await self._outbox.post(messages.function_call_in_progress(call.tool_call_id, name, arguments))

    async def answered(self, frame: FunctionCallResultFrame) -> None:
        """A tool returned."""
        result = frame.result if self._covers(frame.call, RTVIFunctionCallReportLevel.FULL) else None
        await self._stopped(frame.call, cancelled=False, result=result)

    async def cancelled(self, frame: FunctionCallCancelFrame) -> None:
        """A tool was cancelled."""
        await self._stopped(frame.call, cancelled=True, result=None)

    async def _stopped(self, call: FunctionCall, *, cancelled: bool, result: Any) -> None:
        if self._is_news("stopped", call):
            name = call.function_name if self._covers(call, RTVIFunctionCallReportLevel.NAME) else None
            message = messages.function_call_stopped(
                call.tool_call_id, name, cancelled=cancelled, result=result
            )
            await self._outbox.post(message)

    def _covers(self, call: FunctionCall, level: RTVIFunctionCallReportLevel) -> bool:
        return self._params.level_of(call.function_name).covers(level)

    def _is_news(self, phase: str, call: FunctionCall) -> bool:
        key = (phase, call.tool_call_id)
        if key in self._reported or not self._covers(call, RTVIFunctionCallReportLevel.NONE):
            return False
        self._reported[key] = None
        if len(self._reported) > MAX_CALLS:
            self._reported.popitem(last=False)
        return True


class ClientFunctions:
    """Functions that the client registered (`registerFunctionCallHandler`), called from here."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)

    async def call(self, name: str, arguments: Mapping[str, Any], timeout_s: float) -> Any:
        """Run a function at the client and return its result.

        Raises:
            ServiceError: nothing came back in time.
        """
        call_id = f"client-{next(self._numbers)}"
        answer = self._waiting[call_id] = asyncio.get_running_loop().create_future()
        result = None
        try:
            await self._ask(call_id, name, arguments)
            async with asyncio.timeout(timeout_s):
                result = await answer
        except TimeoutError:
            text = f"the client returned nothing from {name} within {timeout_s:g} s: has it registered it?"
            raise ServiceError(text) from None
        finally:
            del self._waiting[call_id]
            done = answer.done() and not answer.cancelled()
            await self._outbox.post(
                messages.function_call_stopped(call_id, name, cancelled=not done, result=result)
            )
        return result

    async def _ask(self, call_id: str, name: str, arguments: Mapping[str, Any]) -> None:
        # A client that knows both messages would run the function twice, so each major gets only its own.
        await self._outbox.post(messages.function_call_v1(call_id, name, arguments), majors=(1,))
        await self._outbox.post(messages.function_call_started(name), majors=(2,))
        asked = messages.function_call_in_progress(call_id, name, arguments)
        await self._outbox.post(asked, majors=(2,))

    def answered(self, result: FunctionResult) -> None:
        """The client sent what its function returned.

        Raises:
            ProtocolError: no call is waiting for it.
        """
        waiting = self._waiting.get(result.tool_call_id)
        if waiting is None:
            raise ProtocolError(f"no call of {result.function_name} waits for a result (any more)")
        if not waiting.done():
            waiting.set_result(result.result)
