"""Request and response models of the local HTTP API, and `/docs`: its OpenAPI document as an HTML page.

Unknown fields of requests are ignored. The page needs no script and no other server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PeerId = Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)]
"""Any other type matches no connection."""


class Request(BaseModel):
    model_config = ConfigDict(extra="allow")


MOST_CANDIDATES = 256
"""Maximum number of candidates in one request; a browser with many networks has some dozens."""


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
    candidates: Annotated[list[IceCandidate], Field(max_length=MOST_CANDIDATES)] | None = None


class Start(Request):
    """The requested session."""

    transport: str | None = Field(
        None,
        description='"webrtc", "websocket", "daily" or a phone provider; default: the run\'s first one.',
    )
    body: Any = Field(None, description="`runner_args.body` of the session.")
    format: Literal["protobuf", "pcm"] | None = Field(
        None, description='What a WebSocket client sends: Pipecat\'s frames (default) or "pcm".'
    )
    enableDefaultIceServers: bool | None = Field(
        None, description="WebRTC: answer a public STUN server where the run has no ICE servers of its own."
    )
    createDailyRoom: bool | None = None
    dailyRoomProperties: Any = Field(None, description="Properties of the room, in Daily's words.")
    dailyMeetingTokenProperties: Any = Field(
        None, description="Properties of the token, in Daily's words. `room_name` is always the room's."
    )


class Dial(Request):
    """A call that the bot makes. Durations in seconds."""

    provider: str = Field("", description="A phone provider that the run serves.")
    to: str = Field("", description="The number to call: `+` and digits.")
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


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
  color-scheme: light dark }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .3rem } code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { overflow-x: auto; padding: .8rem; border: 1px solid #8886; border-radius: .4rem }
table { border-collapse: collapse; width: 100% } td { padding: .2rem .8rem .2rem 0; vertical-align: top }
td:first-child { white-space: nowrap } b { padding: .1rem .4rem; border-radius: .3rem; background: #8883 }
"""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}


def render(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI 3.1 document."""
    return "\n".join(_page(document))


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    info, schemas = document["info"], document.get("components", {}).get("schemas", {})
    yield "<!doctype html><html lang='en'><meta charset='utf-8'>"
    yield f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style>"
    yield f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"
    yield f"<p>{escape(info.get('description', ''))}"
    yield " The same as <a href='openapi.json'>OpenAPI</a>.</p>"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield from _operation(method, path, operation, schemas)


def _operation(
    method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]
) -> Iterator[str]:
    yield f"<h2><b>{escape(method.upper())}</b> <code>{escape(path)}</code></h2>"
    yield f"<p>{escape(operation.get('description', ''))}</p>"
    if body := operation.get("requestBody"):
        yield from _fields("Body", _schema_of(body, schemas), schemas)
    yield "<p>Answers</p><table>"
    for status, answer in operation["responses"].items():
        schema = _schema_of(answer, schemas)
        shown = schema.get("description") or answer["description"]
        names = ", ".join(f"<code>{escape(name)}</code>" for name in schema.get("properties", {}))
        yield f"<tr><td>{escape(status)}</td><td>{names}</td><td>{escape(shown)}</td></tr>"
    yield "</table>"


def _fields(title: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p>{title}: {escape(schema.get('description', ''))}</p><table>"
    for name, field in schema.get("properties", {}).items():
        default = f" = {json.dumps(field['default'])}" if field.get("default") is not None else ""
        yield f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(field) + default)}</td>"
        yield f"<td>{escape(field.get('description', ''))}</td></tr>"
    yield "</table>"


def _kind(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"] if one.get("type") != "null")
    if field.get("type") == "array":
        return f"list of {_kind(field['items'])}"
    return str(field.get("type", "any"))


def _schema_of(holder: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a body or an answer, looked up where it is a reference."""
    schema = holder.get("content", {}).get("application/json", {}).get("schema", {})
    for one in (schema, *schema.get("anyOf", ()), *schema.get("allOf", ())):
        if "$ref" in one:
            found: Mapping[str, Any] = schemas[one["$ref"].rpartition("/")[2]]
            return found
    empty: Mapping[str, Any] = schema
    return empty
