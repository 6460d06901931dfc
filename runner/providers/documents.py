"""Answer documents: what a provider is told to do with a call. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

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
    """Where the provider shall bring the sound. `origin` is "wss://host", the token is good once."""

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
