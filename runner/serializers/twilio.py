"""Twilio Media Streams (PROTOCOLS.md §1): camelCase, numbers as strings, outbound sound of any length."""

from __future__ import annotations

from typing import ClassVar

from runner.serializers.telephony import SerializerParams, TelephonySerializer, as_json, usual_media
from runner.serializers.wire import ULAW_8K, MediaFormat


class TwilioFrameSerializer(TelephonySerializer):
    """For `<Connect><Stream>`. Credentials, `region` and `edge` are only passed on, for the hang-up."""

    provider: ClassVar[str] = "twilio"
    # The stream's id comes before the sound or, as in Twilio's documentation, after it.
    _usual_media = usual_media(
        r'\{"event":"media","sequenceNumber":"[0-9]{1,18}",(?:"streamSid":"[A-Za-z0-9_-]*",)?'
        r'"media":\{"track":"inbound","chunk":"(?P<number>[0-9]{1,18})","timestamp":"(?P<time>[0-9]{1,18})",',
        r'(?:,"streamSid":"[A-Za-z0-9_-]*")?',
    )

    def __init__(
        self,
        stream_sid: str,
        call_sid: str | None = None,
        account_sid: str | None = None,
        auth_token: str | None = None,
        region: str | None = None,
        edge: str | None = None,
        params: SerializerParams | None = None,
        *,
        media_format: MediaFormat = ULAW_8K,
    ) -> None:
        self.region = region
        self.edge = edge
        super().__init__(
            stream_id=stream_sid,
            call_id=call_sid,
            credentials={"account_sid": account_sid, "auth_token": auth_token},
            media_format=media_format,
            params=params,
        )

    def _media_template(self) -> tuple[str, str]:
        return f'{{"event":"media","streamSid":{as_json(self.stream_id)},"media":{{"payload":"', '"}}'

    def _mark_message(self, name: str) -> str:
        return f'{{"event":"mark","streamSid":{as_json(self.stream_id)},"mark":{{"name":{as_json(name)}}}}}'

    def _clear_message(self) -> str:
        return f'{{"event":"clear","streamSid":{as_json(self.stream_id)}}}'
