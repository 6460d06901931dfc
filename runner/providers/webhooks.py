"""A provider's request as it came in, and the words in which one is refused. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

from runner.errors import ProtocolError

MOST_FIELDS = 200
FORM = "application/x-www-form-urlencoded"


class RefusedError(ProtocolError):
    """The request is not the provider's, or not one that we take. Its sentence holds no secret."""


@dataclass(frozen=True)
class WebRequest:
    """A request, nothing decoded.

    Attributes:
        method: in upper case.
        url: the configured public address with the raw path and query. Never rebuilt from headers, which
            anybody can set.
        headers: by their names in lower case.
        body: raw.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """A header that must be there."""
        value = self.headers.get(name, "")
        if not value:
            raise RefusedError(f"it has no {name} header: it does not come from the provider")
        return value

    @property
    def is_form(self) -> bool:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM

    @cached_property
    def form(self) -> list[tuple[str, str]]:
        """The fields of a form, in their order."""
        return _pairs(self.body) if self.is_form else []

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """The fields of the address."""
        return _pairs(urlsplit(self.url).query.encode())

    @cached_property
    def fields(self) -> dict[str, str]:
        """What the provider tells, wherever it stands."""
        return dict([*self.query, *self.form])

    @cached_property
    def json(self) -> Mapping[str, Any]:
        """The body as a JSON object; empty if it is none."""
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise RefusedError("its fields cannot be read") from None


def same(ours: str, theirs: str) -> bool:
    """Whether two signatures are equal, told in constant time."""
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "surrogatepass"))


def as_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def from_base64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError(f"its {what} is not base64") from None


def shown_url(url: str) -> str:
    """An address for a log line: without the token of a media socket and the values of its query."""
    parts = urlsplit(url)
    path = "/".join(part if len(part) < 20 else "…" for part in parts.path.split("/"))
    names = "&".join(dict.fromkeys(name for name, _ in _pairs(parts.query.encode())))
    return f"{parts.scheme}://{parts.netloc}{path}" + (f"?{names}=…" if names else "")


def does_not_fit(request: WebRequest, key: str) -> RefusedError:
    """The usual refusal, with all that can be wrong about it."""
    sent = ", ".join(dict.fromkeys(name for name, _ in request.form))
    return RefusedError(
        f"the signature does not fit {request.method} {shown_url(request.url)}"
        + (f" with {sent[:300]}" if sent else "")
        + f": is this exactly the address configured at the provider (https, no extra or missing slash)"
        f" and is {key} that of the same account? Or somebody else is calling"
    )


XML = "application/xml"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'

# XML 1.0, 2.2: these characters may not stand in a document, not even escaped.
_NOT_XML = dict.fromkeys(
    [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], ""
)


@dataclass(frozen=True, slots=True)
class Document:
    """An answer to a webhook."""

    text: str
    media_type: str = XML
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What a webhook tells of a call.

    `answered_by` is what a provider's voicemail detection found: "human", "machine" or "" for nothing.
    """

    call_id: str = ""
    from_number: str = field(default="", repr=False)
    to_number: str = field(default="", repr=False)
    outbound: bool = False
    answered_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSocket:
    """Where the provider connects its media stream. `origin` is "wss://host", the token is good once."""

    origin: str
    token: str = field(repr=False)

    @property
    def in_path(self) -> str:
        return f"{self.origin}/ws/{self.token}"

    @property
    def in_query(self) -> str:
        return f"{self.origin}/ws?token={self.token}"


def response(content: str) -> Document:
    """An XML document of any of the three providers that have them."""
    return Document(f"{_HEAD}<Response>{content}</Response>")


def json_document(value: Mapping[str, str]) -> Document:
    return Document(json.dumps(value), "application/json")


def text(value: str) -> str:
    """For between tags."""
    return escape(value.translate(_NOT_XML))


def attribute(value: str) -> str:
    """For between double quotes."""
    return escape(value.translate(_NOT_XML), {'"': "&quot;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


def numbers(call: CallFacts) -> dict[str, str]:
    """The numbers of a call, as the start message's parameters bring them back."""
    told = {"from_number": call.from_number, "to_number": call.to_number}
    return {name: number for name, number in told.items() if number}


def parameters(values: Mapping[str, str], most: int) -> str:
    """`<Parameter>`s; one that is longer than `most` characters is left out."""
    return "".join(
        f'<Parameter name="{attribute(name)}" value="{attribute(value)}" />'
        for name, value in values.items()
        if len(name) + len(value) <= most
    )
