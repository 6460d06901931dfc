"""Recognizes the provider by the first message with a `start` object (PROTOCOLS.md §0)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from runner.errors import ProtocolError
from runner.serializers.exotel import ExotelFrameSerializer
from runner.serializers.plivo import PlivoFrameSerializer, check_plivo_format
from runner.serializers.telephony import SerializerParams, TelephonySerializer
from runner.serializers.telnyx import TelnyxFrameSerializer
from runner.serializers.twilio import TwilioFrameSerializer
from runner.serializers.wire import (
    L16_8K,
    ULAW_8K,
    Encoding,
    MediaFormat,
    check_unicode,
    parse_media_format,
    parse_object,
    text_in,
    texts_in,
)

_MOST_MESSAGES = 10
"""Maximum number of messages up to the `start`, including `connected`."""

_TELNYX_NAMES = {
    Encoding.ULAW: "PCMU",
    Encoding.ALAW: "PCMA",
    Encoding.L16: "L16",
    Encoding.L16_BIG_ENDIAN: "L16BE",
}


_ALIASES = {
    "from": "from_number",
    "to": "to_number",
    "call_control_id": "call_id",
    "call_sid": "call_id",
    "stream_sid": "stream_id",
    "body": "custom_parameters",
    "account_sid": "account_id",
}
"""Names that providers and Pipecat use for some values."""


@dataclass(frozen=True, kw_only=True)
class CallInfo:
    """The data of a call in its handshake; `call["from"]` and `call.get("from")` work as well.

    Its `repr` hides the phone numbers and parameters.

    Attributes:
        provider: "twilio", "telnyx", "plivo", "exotel", or "websocket" for a plain client.
        stream_id: the provider's id of this media stream.
        call_id: the provider's id of the call; "" if the start message has none.
        account_id: the provider's id of the account; "" if the start message has none.
        from_number: the caller's number; Twilio and Plivo send it only as a custom parameter.
        to_number: the called number; likewise.
        custom_parameters: from the answer document; for Plivo, the extra headers.
        media_format: of the sound in both directions.
    """

    provider: str
    stream_id: str = ""
    call_id: str = ""
    account_id: str = ""
    from_number: str | None = field(default=None, repr=False)
    to_number: str | None = field(default=None, repr=False)
    custom_parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    media_format: MediaFormat = ULAW_8K

    @property
    def body(self) -> Mapping[str, str]:
        """The custom parameters, under Pipecat's name."""
        return self.custom_parameters

    @property
    def outbound_encoding(self) -> str:
        """How the caller's sound is encoded: "PCMU", "PCMA", "L16" or "L16BE"."""
        return _TELNYX_NAMES[self.media_format.encoding]

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
        """A new serializer for this stream of a phone provider.

        `credentials`: named like the serializer's arguments. `output_format`: only for Telnyx, where the
        answer sets the outbound codec (`stream_bidirectional_codec`); PCMU at 8 kHz by default.
        """
        return _BUILDERS[self.provider](self, dict(credentials or {}), output_format or ULAW_8K, params)

    def get(self, key: str, default: Any = None) -> Any:
        """A value by its name here or at the provider; `default` if there is none."""
        return getattr(self, _ALIASES.get(key, key)) if key in self else default

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            raise KeyError(key)
        return self.get(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and (_ALIASES.get(key, key) in _FIELDS or key == "outbound_encoding")

    def __iter__(self) -> Iterator[str]:
        return iter(_FIELDS)

    def keys(self) -> tuple[str, ...]:
        """The names of all values, so that `dict(call)` works."""
        return _FIELDS


_FIELDS = tuple(each.name for each in fields(CallInfo))


class Handshake:
    """Reads the first messages of a media socket.

    handshake = Handshake()
    while (result := handshake.feed(await receive())) is None: ...     # under a deadline
    """

    def __init__(self) -> None:
        self._seen = 0

    def feed(self, message: str | bytes) -> CallInfo | None:
        """The call, or None while more messages are needed. Raises `ProtocolError` for invalid messages."""
        data = parse_object(message)
        start = data.get("start")
        if isinstance(start, dict):
            return _read(data, start)
        self._seen += 1
        if self._seen >= _MOST_MESSAGES:
            raise ProtocolError(f"No start message among the first {self._seen} messages.")
        return None


def is_stop_message(message: str | bytes) -> bool:
    """Whether this is a provider's `stop` message."""
    if isinstance(message, bytes) or '"stop"' not in message:
        return False
    try:
        return parse_object(message).get("event") == "stop"
    except ProtocolError:
        return False


def _read(data: Mapping[str, Any], start: Mapping[str, Any]) -> CallInfo:
    if "streamId" in start:
        return _plivo(data, start)
    if "streamSid" in data or "streamSid" in start:
        return _twilio(data, start)
    if "stream_sid" in data or "stream_sid" in start:
        return _exotel(data, start)
    if "stream_id" in data:
        return _telnyx(data, start)
    raise ProtocolError("The start message is not from Twilio, Telnyx, Plivo or Exotel.")


def _twilio(data: Mapping[str, Any], start: Mapping[str, Any]) -> CallInfo:
    parameters = texts_in(start, "customParameters")
    return CallInfo(
        provider="twilio",
        stream_id=_id(data if "streamSid" in data else start, "streamSid"),
        call_id=text_in(start, "callSid", ""),
        account_id=text_in(start, "accountSid", ""),
        from_number=_number(parameters, "from"),
        to_number=_number(parameters, "to"),
        custom_parameters=parameters,
        media_format=parse_media_format(start.get("mediaFormat"), ULAW_8K),
    )


def _telnyx(data: Mapping[str, Any], start: Mapping[str, Any]) -> CallInfo:
    return CallInfo(
        provider="telnyx",
        stream_id=_id(data, "stream_id"),
        call_id=text_in(start, "call_control_id", ""),
        account_id=text_in(start, "user_id", ""),
        from_number=text_in(start, "from", "") or None,
        to_number=text_in(start, "to", "") or None,
        custom_parameters=texts_in(start, "custom_parameters"),
        media_format=parse_media_format(start.get("media_format"), ULAW_8K),
    )


def _plivo(data: Mapping[str, Any], start: Mapping[str, Any]) -> CallInfo:
    headers = _extra_headers(data.get("extra_headers", start.get("extra_headers")))
    return CallInfo(
        provider="plivo",
        stream_id=_id(start, "streamId"),
        call_id=text_in(start, "callId", ""),
        account_id=text_in(start, "accountId", ""),
        from_number=_number(headers, "from"),
        to_number=_number(headers, "to"),
        custom_parameters=headers,
        # Defaults to µ-law, which botrun's answer documents request (Plivo's own default is L16).
        media_format=check_plivo_format(parse_media_format(start.get("mediaFormat"), ULAW_8K)),
    )


def _exotel(data: Mapping[str, Any], start: Mapping[str, Any]) -> CallInfo:
    return CallInfo(
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
    """A phone number from the parameters of the answer document."""
    for name in (f"{side}_number", side, side.capitalize(), f"{side}Number"):
        if parameters.get(name):
            return parameters[name]
    return None


def _extra_headers(raw: object) -> dict[str, str]:
    """`userId=1;sessionId=a`; also with commas or colons, or as an object: Plivo's pages differ [?]."""
    if raw is None:
        return {}
    if isinstance(raw, dict):
        return texts_in({"extra_headers": raw}, "extra_headers")
    if not isinstance(raw, str):
        raise ProtocolError("`extra_headers` is not a text.")
    pairs = (
        re.split(r"[=:]", part, maxsplit=1) for part in re.split(r"[;,]", check_unicode(raw).strip("{} "))
    )
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}


_Builder = Callable[[CallInfo, dict[str, str], MediaFormat, SerializerParams | None], TelephonySerializer]


def _build_twilio(
    call: CallInfo, keys: dict[str, str], _: MediaFormat, params: SerializerParams | None
) -> TelephonySerializer:
    return TwilioFrameSerializer(
        call.stream_id,
        call.call_id,
        keys.get("account_sid", call.account_id),
        keys.get("auth_token"),
        keys.get("region"),
        keys.get("edge"),
        params,
        media_format=call.media_format,
    )


def _build_telnyx(
    call: CallInfo, keys: dict[str, str], output: MediaFormat, params: SerializerParams | None
) -> TelephonySerializer:
    return TelnyxFrameSerializer(
        call.stream_id,
        _TELNYX_NAMES[call.encoding],
        _TELNYX_NAMES[output.encoding],
        call.call_id,
        keys.get("api_key"),
        params,
        sample_rate=call.sample_rate,
        output_sample_rate=output.sample_rate,
    )


def _build_plivo(
    call: CallInfo, keys: dict[str, str], _: MediaFormat, params: SerializerParams | None
) -> TelephonySerializer:
    auth_id = keys.get("auth_id", call.account_id)
    return PlivoFrameSerializer(
        call.stream_id, call.call_id, auth_id, keys.get("auth_token"), params, media_format=call.media_format
    )


def _build_exotel(
    call: CallInfo, keys: dict[str, str], _: MediaFormat, params: SerializerParams | None
) -> TelephonySerializer:
    return ExotelFrameSerializer(
        call.stream_id,
        call.call_id,
        params,
        account_sid=keys.get("account_sid", call.account_id),
        media_format=call.media_format,
    )


_BUILDERS: dict[str, _Builder] = {
    "twilio": _build_twilio,
    "telnyx": _build_telnyx,
    "plivo": _build_plivo,
    "exotel": _build_exotel,
}
