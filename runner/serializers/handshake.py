"""Which provider is this? Told by the first message that has a `start` object (PROTOCOLS.md §0)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.errors import ProtocolError
from runner.serializers.exotel import ExotelFrameSerializer
from runner.serializers.media_format import L16_8K, ULAW_8K, Encoding, MediaFormat, parse_media_format
from runner.serializers.messages import check_unicode, parse_object, text_in, texts_in
from runner.serializers.plivo import PlivoFrameSerializer
from runner.serializers.telephony import SerializerParams, TelephonySerializer
from runner.serializers.telnyx import TelnyxFrameSerializer
from runner.serializers.twilio import TwilioFrameSerializer

_MOST_MESSAGES = 10
"""So many messages may come before a `start`; `connected` is one."""

_TELNYX_NAMES = {
    Encoding.ULAW: "PCMU",
    Encoding.ALAW: "PCMA",
    Encoding.L16: "L16",
    Encoding.L16_BIG_ENDIAN: "L16BE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeResult:
    """What the start message tells. The caller's numbers are not shown in its `repr`.

    Attributes:
        provider: "twilio", "telnyx", "plivo" or "exotel".
        stream_id: the provider's id of this media stream.
        call_id: the provider's id of the call ("" if it told none).
        account_id: the provider's id of the account ("" if it told none).
        from_number: the caller's; Twilio and Plivo tell it only in a custom parameter.
        to_number: the number that was called; the same.
        custom_parameters: of the answer document; Plivo's extra headers.
        media_format: of the sound that we are sent, and send.
    """

    provider: str
    stream_id: str
    call_id: str = ""
    account_id: str = ""
    from_number: str | None = field(default=None, repr=False)
    to_number: str | None = field(default=None, repr=False)
    custom_parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    media_format: MediaFormat = ULAW_8K

    @property
    def encoding(self) -> Encoding:
        return self.media_format.encoding

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.media_format.sample_rate

    def serializer(
        self,
        *,
        credentials: Mapping[str, str] | None = None,
        output_format: MediaFormat | None = None,
        params: SerializerParams | None = None,
    ) -> TelephonySerializer:
        """The serializer of this very stream.

        `credentials` by the names of the serializer's own arguments; `output_format` matters to Telnyx
        alone, where the answer sets what we send (`stream_bidirectional_codec`), PCMU at 8 kHz by default.
        """
        return _BUILDERS[self.provider](self, dict(credentials or {}), output_format or ULAW_8K, params)


class Handshake:
    """Reads the first messages of a media socket.

    handshake = Handshake()
    while (result := handshake.feed(await receive())) is None: ...     # under a deadline
    """

    def __init__(self) -> None:
        self._seen = 0

    def feed(self, message: str | bytes) -> HandshakeResult | None:
        """The result, or None while more is needed. Raises `ProtocolError` for what no provider sends."""
        data = parse_object(message)
        start = data.get("start")
        if isinstance(start, dict):
            result = _read(data, start)
            result.serializer()  # what cannot be served is refused now, and not in the bot's hands
            return result
        self._seen += 1
        if self._seen >= _MOST_MESSAGES:
            raise ProtocolError(f"No start among the first {self._seen} messages.")
        return None


def _read(data: Mapping[str, Any], start: Mapping[str, Any]) -> HandshakeResult:
    if "streamId" in start:
        return _plivo(data, start)
    if "streamSid" in data or "streamSid" in start:
        return _twilio(data, start)
    if "stream_sid" in data or "stream_sid" in start:
        return _exotel(data, start)
    if "stream_id" in data:
        return _telnyx(data, start)
    raise ProtocolError("A start message, but of none of Twilio, Telnyx, Plivo and Exotel.")


def _twilio(data: Mapping[str, Any], start: Mapping[str, Any]) -> HandshakeResult:
    parameters = texts_in(start, "customParameters")
    return HandshakeResult(
        provider="twilio",
        stream_id=_id(data if "streamSid" in data else start, "streamSid"),
        call_id=text_in(start, "callSid", ""),
        account_id=text_in(start, "accountSid", ""),
        from_number=_number(parameters, "from"),
        to_number=_number(parameters, "to"),
        custom_parameters=parameters,
        media_format=parse_media_format(start.get("mediaFormat"), ULAW_8K),
    )


def _telnyx(data: Mapping[str, Any], start: Mapping[str, Any]) -> HandshakeResult:
    return HandshakeResult(
        provider="telnyx",
        stream_id=_id(data, "stream_id"),
        call_id=text_in(start, "call_control_id", ""),
        account_id=text_in(start, "user_id", ""),
        from_number=text_in(start, "from", "") or None,
        to_number=text_in(start, "to", "") or None,
        custom_parameters=texts_in(start, "custom_parameters"),
        media_format=parse_media_format(start.get("media_format"), ULAW_8K),
    )


def _plivo(data: Mapping[str, Any], start: Mapping[str, Any]) -> HandshakeResult:
    headers = _extra_headers(data.get("extra_headers", start.get("extra_headers")))
    return HandshakeResult(
        provider="plivo",
        stream_id=_id(start, "streamId"),
        call_id=text_in(start, "callId", ""),
        account_id=text_in(start, "accountId", ""),
        from_number=_number(headers, "from"),
        to_number=_number(headers, "to"),
        custom_parameters=headers,
        # Without a word µ-law, which botrun's answer documents ask for (Plivo's own default is L16).
        media_format=parse_media_format(start.get("mediaFormat"), ULAW_8K),
    )


def _exotel(data: Mapping[str, Any], start: Mapping[str, Any]) -> HandshakeResult:
    return HandshakeResult(
        provider="exotel",
        stream_id=_id(data if "stream_sid" in data else start, "stream_sid"),
        call_id=text_in(start, "call_sid", ""),
        account_id=text_in(start, "account_sid", ""),
        from_number=text_in(start, "from", "") or None,
        to_number=text_in(start, "to", "") or None,
        custom_parameters=texts_in(start, "custom_parameters"),
        media_format=parse_media_format(start.get("media_format"), L16_8K),
    )


def _id(holder: Mapping[str, Any], key: str) -> str:
    value = text_in(holder, key)
    if not value:
        raise ProtocolError(f"`{key}` is empty.")
    return value


def _number(parameters: Mapping[str, str], side: str) -> str | None:
    """A caller's number among the parameters that an answer document passed along."""
    for name in (f"{side}_number", side, side.capitalize(), f"{side}Number"):
        if parameters.get(name):
            return parameters[name]
    return None


def _extra_headers(told: object) -> dict[str, str]:
    """`userId=1;sessionId=a`; commas, colons and an object are taken as well, for pages differ [?]."""
    if told is None:
        return {}
    if isinstance(told, dict):
        return texts_in({"extra_headers": told}, "extra_headers")
    if not isinstance(told, str):
        raise ProtocolError("`extra_headers` is not a text.")
    pairs = (
        re.split(r"[=:]", part, maxsplit=1) for part in re.split(r"[;,]", check_unicode(told).strip("{} "))
    )
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}


_Builder = Callable[
    [HandshakeResult, dict[str, str], MediaFormat, SerializerParams | None], TelephonySerializer
]


def _build_twilio(
    told: HandshakeResult, keys: dict[str, str], _: MediaFormat, params: SerializerParams | None
) -> TelephonySerializer:
    return TwilioFrameSerializer(
        told.stream_id,
        told.call_id,
        keys.get("account_sid", told.account_id),
        keys.get("auth_token"),
        keys.get("region"),
        keys.get("edge"),
        params,
        media_format=told.media_format,
    )


def _build_telnyx(
    told: HandshakeResult, keys: dict[str, str], output: MediaFormat, params: SerializerParams | None
) -> TelephonySerializer:
    return TelnyxFrameSerializer(
        told.stream_id,
        _TELNYX_NAMES[told.encoding],
        _TELNYX_NAMES[output.encoding],
        told.call_id,
        keys.get("api_key"),
        params,
        sample_rate=told.sample_rate,
        output_sample_rate=output.sample_rate,
    )


def _build_plivo(
    told: HandshakeResult, keys: dict[str, str], _: MediaFormat, params: SerializerParams | None
) -> TelephonySerializer:
    auth_id = keys.get("auth_id", told.account_id)
    return PlivoFrameSerializer(
        told.stream_id, told.call_id, auth_id, keys.get("auth_token"), params, media_format=told.media_format
    )


def _build_exotel(
    told: HandshakeResult, keys: dict[str, str], _: MediaFormat, params: SerializerParams | None
) -> TelephonySerializer:
    return ExotelFrameSerializer(
        told.stream_id,
        told.call_id,
        params,
        account_sid=keys.get("account_sid", told.account_id),
        media_format=told.media_format,
    )


_BUILDERS: dict[str, _Builder] = {
    "twilio": _build_twilio,
    "telnyx": _build_telnyx,
    "plivo": _build_plivo,
    "exotel": _build_exotel,
}
