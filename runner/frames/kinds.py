"""Base classes of all frames. Three kinds, which travel differently:

* `SystemFrame` is handled at once, even while a processor is busy with another frame.
* `DataFrame` is queued in order; an interruption drops it (except `InputFrame`, which comes from the caller).
* `ControlFrame` is queued in order with the data; an interruption does not drop it.

Import them from `runner.frames`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class FrameDirection(Enum):
    """Which way a frame travels: `DOWNSTREAM` is from the transport's input to its output."""

    DOWNSTREAM = 1
    UPSTREAM = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """The root of all frames."""

    @property
    def name(self) -> str:
        return type(self).__name__


@dataclass(frozen=True, slots=True)
class SystemFrame(Frame):
    """Handled at once; never queued or dropped."""


@dataclass(frozen=True, slots=True)
class DataFrame(Frame):
    """Queued in order; an interruption drops it.

    `reply_id` is the reply that the frame belongs to, if any: the output drops audio of an interrupted reply,
    however late it arrives.
    """

    reply_id: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class InputFrame(DataFrame):
    """Queued in order; comes from the caller, so an interruption does not drop it."""


@dataclass(frozen=True, slots=True)
class ControlFrame(Frame):
    """Queued in order with the data; an interruption does not drop it."""

    reply_id: int | None = field(default=None, kw_only=True)
