"""What travels while the language model calls a tool. Imported from `runner.frames`, as all frames are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.frames.kinds import SystemFrame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a tool, as the language model asked for it. `arguments` is the model's JSON object."""

    function_name: str
    tool_call_id: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FunctionCallsStartedFrame(SystemFrame):
    """The language model asked for these tools, which now begin; goes both ways."""

    calls: Sequence[FunctionCall]


@dataclass(frozen=True, slots=True)
class FunctionCallInProgressFrame(SystemFrame):
    """A tool runs. `cancel_on_interruption` is False for one that must not be disturbed; goes both ways."""

    call: FunctionCall
    cancel_on_interruption: bool = True


@dataclass(frozen=True, slots=True)
class FunctionCallResultFrame(SystemFrame):
    """A tool has answered: any JSON value; goes both ways."""

    call: FunctionCall
    result: Any


@dataclass(frozen=True, slots=True)
class FunctionCallCancelFrame(SystemFrame):
    """A tool was ended by an interruption; goes both ways."""

    call: FunctionCall
