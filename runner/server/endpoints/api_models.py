"""What the local HTTP API takes and answers. Unknown fields of requests are kept and ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PeerId = Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)]
"""Anything but a string is the id of no connection."""


class Request(BaseModel):
    model_config = ConfigDict(extra="allow")


class IceCandidate(Request):
    candidate: str = Field(description="`candidate:…` as in SDP; empty for the end of candidates.")
    sdp_mid: str | None = None
    sdp_mline_index: int | None = None


class Offer(Request):
    """A WebRTC offer, in the shape of Pipecat's SmallWebRTC transport."""

    sdp: str = Field("", description="The session description.")
    type: str = Field("", description='Always "offer".')
    pc_id: PeerId = Field(None, description="The connection that this offer renegotiates, from its answer.")
    restart_pc: bool | None = Field(None, description="Whether to replace the peer connection.")
    request_data: Any = Field(None, description="`runner_args.body`; `requestData` is read as well.")


class Candidates(Request):
    """ICE candidates found after the offer."""

    pc_id: PeerId = Field(None, description="The connection, from its answer.")
    candidates: list[IceCandidate] | None = None


class Start(Request):
    """Which session a program wants."""

    transport: str | None = Field(
        None, description='"webrtc", "websocket" or "daily"; the first transport of the run if left out.'
    )
    body: Any = Field(None, description="`runner_args.body` of the session.")
    createDailyRoom: bool | None = None
    dailyRoomProperties: Any = None


class Dial(Request):
    """A call that the bot makes. Durations in seconds."""

    provider: str = Field("", description="A phone provider that the run serves.")
    to: str = Field("", description="Whom to call, `+` and digits.")
    from_number: str = Field("", description="A number of yours; `--number` if left out.")
    limit_s: Annotated[int, Field(strict=True, ge=10, le=14_400)] = 600
    ring_s: Annotated[int, Field(strict=True, ge=5, le=120)] = 30
    detect_voicemail: bool = True


class Answer(BaseModel):
    """A WebRTC answer."""

    sdp: str
    type: Literal["answer"]
    pc_id: str
    session_id: str | None = Field(None, description="For pages that follow their call to new code.")


class Status(BaseModel):
    status: Literal["success"]


class Started(BaseModel):
    """How to join the session. Which fields are there depends on the transport."""

    sessionId: str | None = Field(None, description="Offer at `/sessions/{sessionId}/api/offer`.")
    iceConfig: dict[str, Any] | None = Field(None, description="`RTCConfiguration`'s ICE servers, if any.")
    wsUrl: str | None = Field(None, description="The WebSocket to connect to.")
    token: str | None = Field(None, description="The session's token, which `wsUrl` contains.")
    dailyRoom: str | None = None
    dailyToken: str | None = None


class BotInfo(BaseModel):
    file: str
    function: str


class RunStatus(BaseModel):
    """The run, its calls in progress, and how fast the bot answers."""

    status: Literal["ready"]
    pid: int
    transports: list[str]
    bot: BotInfo
    sessions: list[dict[str, Any]] = Field(description="Calls in progress. Ids are shortened.")
    turns: dict[str, float] = Field(description="Turn latency: `n`, `p50_ms`, `p95_ms`.")


class Dialled(BaseModel):
    call_id: str


class DialState(BaseModel):
    state: str
    over: bool


class Refusal(BaseModel):
    """Why the request was refused, in one sentence."""

    error: str


class Detail(BaseModel):
    """Why the request was refused, in one sentence."""

    detail: str
