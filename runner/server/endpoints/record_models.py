"""Response models of `/api/calls`. `docs/records.md` explains the fields."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    model_config = ConfigDict(populate_by_name=True)


class CallSummary(Model):
    """One call in a list."""

    id: str
    session: str
    state: str = Field(description="running, ended, or lost: its process ended during the call.")
    started: str
    duration_s: float | None
    transport: str
    public: bool
    from_number: str = Field(alias="from")
    to: str
    bot: str
    scenario: str
    origin: str
    end_reason: str
    end_text: str
    failed: bool
    problem: str = Field(description="Why it counts as failed.")
    slow: bool
    turns: int
    turn_p50_s: float | None
    turn_max_s: float | None
    interruptions: int
    errors: int


class Unreadable(Model):
    id: str
    problem: str


class CallList(Model):
    """Recorded calls, newest first."""

    calls: list[CallSummary]
    total: int
    next: str | None = Field(description="Pass it as `before` to get the next page.")
    unreadable: list[Unreadable]


class Segment(Model):
    name: str
    from_s: float
    to_s: float
    seconds: float


class CallAnswer(Model):
    """One answer, and the silence before it."""

    n: int
    from_s: float
    to_s: float
    silence_s: float
    measured: str = Field(description="sound or events: what both ends were measured by.")
    segments: list[Segment]
    reply: int | None
    user_text: str
    bot_text: str
    interrupted: bool
    notes: list[str]


class Span(Model):
    """A bar in a lane of the timeline."""

    lane: str
    from_s: float
    to_s: float
    label: str
    event: int
    detail: dict[str, Any]
    bad: bool


class Word(Model):
    speaker: str
    from_s: float
    to_s: float
    text: str
    interrupted: bool


class Sound(Model):
    sample_rate: int
    duration_s: float
    caller: bool
    bot: bool


class CallDetail(Model):
    """Everything about one call except its events, messages and sound."""

    call: dict[str, Any]
    summary: CallSummary
    problems: list[str]
    sound: Sound | None
    events: int
    messages: int
    answers: list[CallAnswer]
    spans: list[Span]
    words: list[Word]


class EventPage(Model):
    events: list[dict[str, Any]]
    next: int
    total: int
    problems: list[str]


class Message(Model):
    line: int
    t: float
    d: str
    k: str
    text: str | None
    message: Any
    type: str
    at: int | None
    n: int
    seq: int | None
    ts: int | None
    size: int | None


class WirePage(Model):
    messages: list[Message]
    next: int
    total: int
    problems: list[str]


class Peaks(Model):
    """The lowest and highest sample of each column, -127 to 127."""

    from_s: float
    to_s: float
    columns: int
    caller: list[int]
    bot: list[int]
