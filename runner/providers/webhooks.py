"""A provider's webhook request, the reasons to refuse it, and the documents that answer it. Pure."""

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
    """The request did not come from the provider, or is not acceptable. The message holds no secret."""


@dataclass(frozen=True)
class WebRequest:
    """A request with nothing decoded.

    Attributes:
        method: in upper case.
        url: the configured public URL with the raw path and query; never built from headers, which anybody
            can set.
        headers: by lower-case name.
        body: raw bytes.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """A header. Raises `RefusedError` if it is missing."""
        value = self.headers.get(name, "")
        if not value:
            raise RefusedError(f"it has no {name} header, so it does not come from the provider")
        return value

    @property
    def is_form(self) -> bool:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM

    @cached_property
    def form(self) -> list[tuple[str, str]]:
        """The fields of a form, in order."""
        return _pairs(self.body) if self.is_form else []

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """The fields of the URL's query."""
        return _pairs(urlsplit(self.url).query.encode())

    @cached_property
    def fields(self) -> dict[str, str]:
        """All fields, of the query and the form."""
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
        raise RefusedError(f"its fields are not UTF-8, or there are more than {MOST_FIELDS}") from None


def same(ours: str, theirs: str) -> bool:
    """Compare two signatures in constant time."""
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "surrogatepass"))


def as_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def from_base64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError(f"its {what} is not base64") from None


def shown_url(url: str) -> str:
    """A URL for log lines, without the media socket's token and the query's values."""
    parts = urlsplit(url)
    path = "/".join(part if len(part) < 20 else "…" for part in parts.path.split("/"))
    names = "&".join(dict.fromkeys(name for name, _ in _pairs(parts.query.encode())))
    return f"{parts.scheme}://{parts.netloc}{path}" + (f"?{names}=…" if names else "")


def does_not_fit(request: WebRequest, key: str) -> RefusedError:
    """The refusal of a wrong signature, with its possible causes."""
    sent = ", ".join(dict.fromkeys(name for name, _ in request.form))
    return RefusedError(
        f"the signature does not match {request.method} {shown_url(request.url)}"
        + (f" with the fields {sent[:300]}" if sent else "")
        + f". Check that exactly this URL is configured at the provider (https, slashes) and that {key}"
        " belongs to the same account. If both are right, the request is forged"
    )


XML = "application/xml"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'

# XML 1.0, 2.2: these characters are not allowed in a document, not even escaped.
_NOT_XML = dict.fromkeys(
    [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], ""
)


@dataclass(frozen=True, slots=True)
class Document:
    """The answer to a webhook."""

    text: str
    media_type: str = XML
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """The data of a call in a webhook.

    `answered_by` is the result of the provider's voicemail detection: "human", "machine", or "".
    """

    call_id: str = ""
    from_number: str = field(default="", repr=False)
    to_number: str = field(default="", repr=False)
    outbound: bool = False
    answered_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSocket:
    """Where the provider connects its media stream. `origin` is "wss://host"; the token is valid once."""

    origin: str
    token: str = field(repr=False)

    @property
    def in_path(self) -> str:
        return f"{self.origin}/ws/{self.token}"

    @property
    def in_query(self) -> str:
        return f"{self.origin}/ws?token={self.token}"


def response(content: str) -> Document:
    """An XML document (Twilio, Telnyx, Plivo)."""
    return Document(f"{_HEAD}<Response>{content}</Response>")


def json_document(value: Mapping[str, str]) -> Document:
    return Document(json.dumps(value), "application/json")


def text(value: str) -> str:
    """A text, escaped for XML content."""
    return escape(value.translate(_NOT_XML))


def attribute(value: str) -> str:
    """A text, escaped for an XML attribute in double quotes."""
    return escape(value.translate(_NOT_XML), {'"': "&quot;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


def numbers(call: CallFacts) -> dict[str, str]:
    """The call's numbers, as parameters that come back in the start message."""
    found = {"from_number": call.from_number, "to_number": call.to_number}
    return {name: number for name, number in found.items() if number}


def parameters(values: Mapping[str, str], most: int) -> str:
    """`<Parameter>` elements; those of more than `most` characters are left out."""
    return "".join(
        f'<Parameter name="{attribute(name)}" value="{attribute(value)}" />'
        for name, value in values.items()
        if len(name) + len(value) <= most
    )
