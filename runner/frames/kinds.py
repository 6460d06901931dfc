"""The roots of all frames. Three kinds, which travel differently:

* `SystemFrame` is handled at once, even beside a frame that a processor is still busy with.
* `DataFrame` keeps its order; an interruption throws it away wherever it waits (`InputFrame`, what
  comes from the caller, is the kind of data that it does not).
* `ControlFrame` keeps its order among the data; an interruption leaves it in place.

Import them from `frames.py`, where the frames stand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class FrameDirection(Enum):
    """Which way a frame goes: `DOWNSTREAM` from the caller's ear to the caller's speaker."""

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
    """Handled at once, never queued, never thrown away."""


@dataclass(frozen=True, slots=True)
class DataFrame(Frame):
    """Ordered; thrown away by an interruption while it waits.

    `reply_id` names the reply that the frame belongs to, if any: the output refuses the sound of a
    reply that was interrupted, however late it comes.
    """

    reply_id: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class InputFrame(DataFrame):
    """Ordered; comes from the caller, so an interruption leaves it in place."""


@dataclass(frozen=True, slots=True)
class ControlFrame(Frame):
    """Ordered among the data; survives an interruption."""

    reply_id: int | None = field(default=None, kw_only=True)
