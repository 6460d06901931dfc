"""Plivo audio streaming (PROTOCOLS.md §3): JSON numbers, checkpoints, wall-clock timestamps, no `stop`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from runner.errors import ProtocolError
from runner.frames import Frame
from runner.serializers.base import MarkReachedFrame, MediaClearedFrame
from runner.serializers.telephony import SerializerParams, TelephonySerializer, as_json, usual_media
from runner.serializers.wire import ULAW_8K, Encoding, MediaFormat, text_in

_CONTENT_TYPES = {Encoding.ULAW: "audio/x-mulaw", Encoding.L16: "audio/x-l16"}


def check_plivo_format(media_format: MediaFormat) -> MediaFormat:
    """The format. Raises `ProtocolError` if Plivo has no content type for it."""
    if media_format.encoding not in _CONTENT_TYPES:
        raise ProtocolError(f"Plivo has no content type for {media_format}: set the stream to µ-law or L16.")
    return media_format


class PlivoFrameSerializer(TelephonySerializer):
    """For bidirectional `<Stream>`. The credentials are only passed on, for the hang-up."""

    provider: ClassVar[str] = "plivo"
    # The protocol page says `playedStream`, the support pages say `played`. `stop` is not documented; one was
    # seen at an early end [C].
    _events: ClassVar[Mapping[str, str]] = {
        "media": "_on_media",
        "dtmf": "_on_dtmf",
        "playedStream": "_on_played",
        "played": "_on_played",
        "clearedAudio": "_on_cleared",
        "stop": "_on_stop",
        "start": "_on_opening",
    }
    _timestamps_are_media_time = False
    _usual_media = usual_media(
        r'\{"event":"media","sequenceNumber":(?:0|[1-9][0-9]{0,17}),"streamId":"[A-Za-z0-9_-]*",'
        r'"media":\{"track":"inbound","timestamp":"(?P<time>[0-9]{1,18})","chunk":(?P<number>0|[1-9][0-9]{0,17}),',
        r'(?:,"extra_headers":"[ -!#-\[\]-~]*")?',
    )

    def __init__(
        self,
        stream_id: str,
        call_id: str | None = None,
        auth_id: str | None = None,
        auth_token: str | None = None,
        params: SerializerParams | None = None,
        *,
        media_format: MediaFormat = ULAW_8K,
    ) -> None:
        check_plivo_format(media_format)
        super().__init__(
            stream_id=stream_id,
            call_id=call_id,
            credentials={"auth_id": auth_id, "auth_token": auth_token},
            media_format=media_format,
            params=params,
        )

    def _on_played(self, data: Mapping[str, Any]) -> list[Frame]:
        return [MarkReachedFrame(text_in(data, "name"))]

    def _on_cleared(self, data: Mapping[str, Any]) -> list[Frame]:
        return [MediaClearedFrame()]

    def _media_template(self) -> tuple[str, str]:
        form = self.output_format
        return (
            f'{{"event":"playAudio","media":{{"contentType":"{_CONTENT_TYPES[form.encoding]}",'
            f'"sampleRate":{form.sample_rate},"payload":"',
            '"}}',
        )

    def _mark_message(self, name: str) -> str:
        return f'{{"event":"checkpoint","streamId":{as_json(self.stream_id)},"name":{as_json(name)}}}'

    def _clear_message(self) -> str:
        return f'{{"event":"clearAudio","streamId":{as_json(self.stream_id)}}}'

    def _dtmf_message(self, digit: str) -> str:
        # Plivo documents the event but not its fields; these are the likeliest [?].
        return f'{{"event":"sendDTMF","streamId":{as_json(self.stream_id)},"dtmf":{as_json(digit)}}}'
