"""Telnyx media streaming (PROTOCOLS.md §2): snake_case, messages may come out of order, `error` events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from runner.frames import ErrorFrame, Frame
from runner.serializers.telephony import (
    Collector,
    SerializerParams,
    TelephonySerializer,
    as_json,
    usual_media,
)
from runner.serializers.wire import MediaFormat, check_unicode, parse_encoding

_LONGEST_S = 30


class TelnyxFrameSerializer(TelephonySerializer):
    """For bidirectional streams in rtp mode.

    The names of the two encodings are Pipecat's and are seen from Telnyx:

    Attributes:
        outbound_encoding: of the sound from Telnyx, as in the start message.
        inbound_encoding: of the sound to Telnyx: the `stream_bidirectional_codec` of the answer.
        sample_rate: of the sound from Telnyx (Hz); `output_sample_rate` of the sound to it, 8000 by default.

    L16 is read as little-endian; Telnyx does not document its byte order [?]. Use `"L16BE"` for
    network order.
    """

    provider: ClassVar[str] = "telnyx"
    _events: ClassVar[Mapping[str, str]] = {**TelephonySerializer._events, "error": "_on_error"}
    _first_number = 1
    _usual_media = usual_media(
        r'\{"event":"media","sequence_number":"[0-9]{1,18}","stream_id":"[A-Za-z0-9_-]*",'
        r'"media":\{"track":"inbound","chunk":"(?P<number>[0-9]{1,18})","timestamp":"(?P<time>[0-9]{1,18})",'
    )

    def __init__(
        self,
        stream_id: str,
        outbound_encoding: str = "PCMU",
        inbound_encoding: str = "PCMU",
        call_control_id: str | None = None,
        api_key: str | None = None,
        params: SerializerParams | None = None,
        *,
        sample_rate: int = 8000,
        output_sample_rate: int = 8000,
    ) -> None:
        self.outbound_encoding = outbound_encoding
        self.inbound_encoding = inbound_encoding
        super().__init__(
            stream_id=stream_id,
            call_id=call_control_id,
            credentials={"api_key": api_key},
            media_format=MediaFormat(parse_encoding(outbound_encoding), sample_rate),
            output_format=MediaFormat(parse_encoding(inbound_encoding), output_sample_rate),
            params=params,
        )

    def _make_collector(self) -> Collector:
        # A message may have 20 ms to 30 s of sound [D].
        second = 2 * self.output_sample_rate
        return Collector(smallest=second * self.chunk_ms // 1000, multiple=2, largest=second * _LONGEST_S)

    def _on_error(self, data: Mapping[str, Any]) -> list[Frame]:
        """Telnyx reports an error in a message that botrun sent."""
        self.counters["provider_errors"] += 1
        payload = data.get("payload")
        payload = payload if isinstance(payload, dict) else {}
        words = " ".join(_short(payload.get(key)) for key in ("code", "title", "detail"))
        return [ErrorFrame(f"Telnyx reports an error: {words.strip() or 'no details'}", self.provider)]

    def _media_template(self) -> tuple[str, str]:
        # Without stream_id, as in Pipecat's runner [P].
        return '{"event":"media","media":{"payload":"', '"}}'

    def _mark_message(self, name: str) -> str:
        return f'{{"event":"mark","mark":{{"name":{as_json(name)}}}}}'

    def _clear_message(self) -> str:
        return '{"event":"clear"}'


def _short(value: object) -> str:
    return check_unicode(str(value)[:200]) if isinstance(value, str | int) else ""
