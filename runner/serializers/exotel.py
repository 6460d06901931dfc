"""Exotel Voicebot (PROTOCOLS.md §4): snake_case, pcm at 8, 16 or 24 kHz, and limits on payload sizes."""

from __future__ import annotations

from typing import ClassVar

from runner.serializers.telephony import (
    Collector,
    SerializerParams,
    TelephonySerializer,
    as_json,
    usual_media,
)
from runner.serializers.wire import L16_8K, MediaFormat

MULTIPLE = 320
SMALLEST = 3200
LARGEST = 100_000
SHORTEST_MS = 100
"""Limits of a payload (bytes, and ms). Exotel's page says "3.2 kB (100 ms)", but 3.2 kB are 200 ms at 8 kHz.
botrun meets both: a message has 200 ms at 8 kHz, and 100 ms at 16 and 24 kHz."""


def smallest_payload(media_format: MediaFormat) -> int:
    """The smallest payload (bytes) that Exotel allows."""
    wanted = max(SMALLEST, media_format.bytes_in(SHORTEST_MS))
    return -(-wanted // MULTIPLE) * MULTIPLE


class ExotelFrameSerializer(TelephonySerializer):
    """For the Voicebot applet.

    Sound is collected: `serialize` returns None until a message is full; `flush` pads and returns the rest.
    A mark covers the messages sent before it, so flush before the mark at the end of an utterance.
    """

    provider: ClassVar[str] = "exotel"
    # Exotel's media messages have no `track`.
    _usual_media = usual_media(
        r'\{"event":"media","sequence_number":"[0-9]{1,18}","stream_sid":"[A-Za-z0-9_-]*",'
        r'"media":\{"chunk":"(?P<number>[0-9]{1,18})","timestamp":"(?P<time>[0-9]{1,18})",'
    )

    def __init__(
        self,
        stream_sid: str,
        call_sid: str | None = None,
        params: SerializerParams | None = None,
        *,
        account_sid: str | None = None,
        media_format: MediaFormat = L16_8K,
    ) -> None:
        super().__init__(
            stream_id=stream_sid,
            call_id=call_sid,
            credentials={"account_sid": account_sid},
            media_format=media_format,
            params=params,
        )
        self.chunk_ms = smallest_payload(media_format) * 1000 // media_format.bytes_in(1000)

    def _make_collector(self) -> Collector:
        pcm_per_byte = 2 // self.output_format.bytes_per_sample
        return Collector(
            smallest=smallest_payload(self.output_format) * pcm_per_byte,
            multiple=MULTIPLE * pcm_per_byte,
            largest=LARGEST * pcm_per_byte,
        )

    def _media_template(self) -> tuple[str, str]:
        return f'{{"event":"media","stream_sid":{as_json(self.stream_id)},"media":{{"payload":"', '"}}'

    def _mark_message(self, name: str) -> str:
        return f'{{"event":"mark","stream_sid":{as_json(self.stream_id)},"mark":{{"name":{as_json(name)}}}}}'

    def _clear_message(self) -> str:
        return f'{{"event":"clear","stream_sid":{as_json(self.stream_id)}}}'
