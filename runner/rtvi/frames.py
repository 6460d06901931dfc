"""Frames between a bot and its client's application. Names and fields are Pipecat's (pipecat-ai 1.14.0,
`processors/frameworks/rtvi/frames.py`), so its bots run unchanged.

Frames from the client enter at the start of the pipeline. Frames for the client can be pushed anywhere and
are sent at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.frames import SystemFrame

# ------------------------------------------------------------------ from the client


@dataclass(frozen=True, slots=True)
class RTVIClientMessageFrame(SystemFrame):
    """A custom message from the client's application (`client-message`). Answer it with
    `RTVIServerResponseFrame` or `task.rtvi.send_server_response()`."""

    msg_id: str
    type: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class RTVIUIEventFrame(SystemFrame):
    """Something happened on the client's page (`ui-event`)."""

    msg_id: str
    event: str
    payload: Any = None


@dataclass(frozen=True, slots=True)
class RTVIUISnapshotFrame(SystemFrame):
    """What the client's page shows, as an accessibility tree (`ui-snapshot`)."""

    msg_id: str
    tree: Any


@dataclass(frozen=True, slots=True)
class RTVIUICancelJobGroupFrame(SystemFrame):
    """The client wants a group of jobs to end (`ui-cancel-job-group`)."""

    msg_id: str
    job_id: str
    reason: str | None = None


# ------------------------------------------------------------------ to the client


@dataclass(frozen=True, slots=True)
class RTVIServerMessageFrame(SystemFrame):
    """Any JSON value for the client's application (`server-message`)."""

    data: Any


@dataclass(frozen=True, slots=True)
class RTVIServerResponseFrame(SystemFrame):
    """The answer to a client's message. With an `error`, the client's request fails with that message."""

    client_msg: RTVIClientMessageFrame
    data: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RTVIUICommandFrame(SystemFrame):
    """A command for the client's page (`ui-command`): "toast", "navigate", "highlight", or a custom one."""

    command: str
    payload: Any = None


@dataclass(frozen=True, slots=True)
class RTVIUIJobGroupFrame(SystemFrame):
    """The progress of a group of jobs (`ui-job-group`): an object with `kind` "group_started", "job_update",
    "job_completed" or "group_completed"."""

    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LLMSearchResponseFrame(SystemFrame):
    """The result and sources of a language model's web search (`bot-llm-search-response`)."""

    search_result: str | None = None
    rendered_content: str | None = None
    origins: Sequence[Mapping[str, Any]] = ()
