"""Frames between a bot and its client's application. Names and fields are those of Pipecat's clients' world
(pipecat-ai 1.14.0, `processors/frameworks/rtvi/frames.py`), so that bots read the same.

What the client sent comes down the pipeline from its beginning; what is for the client may be pushed
anywhere, and is sent at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.frames import SystemFrame

# ------------------------------------------------------------------ from the client


@dataclass(frozen=True, slots=True)
class RTVIClientMessageFrame(SystemFrame):
    """The client's application says something of its own (`client-message`), and may wait for an answer:
    `RTVIServerResponseFrame`, or `task.rtvi.send_server_response()`."""

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
    """The answer to a client's message; with an `error` the client's request fails with that sentence."""

    client_msg: RTVIClientMessageFrame
    data: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RTVIUICommandFrame(SystemFrame):
    """Something for the client's page to do (`ui-command`): "toast", "navigate", "highlight", or its own."""

    command: str
    payload: Any = None


@dataclass(frozen=True, slots=True)
class RTVIUIJobGroupFrame(SystemFrame):
    """How a group of jobs gets on (`ui-job-group`): an object with `kind` "group_started", "job_update",
    "job_completed" or "group_completed"."""

    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LLMSearchResponseFrame(SystemFrame):
    """What a language model that searches the web found, and where (`bot-llm-search-response`)."""

    search_result: str | None = None
    rendered_content: str | None = None
    origins: Sequence[Mapping[str, Any]] = ()
