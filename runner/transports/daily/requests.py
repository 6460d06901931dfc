"""What a bot can ask of a room: phones, recording, transcription, rights."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from runner.errors import BotrunError
from runner.settings import credentials as keys
from runner.transports.daily.media import DailyInput
from runner.transports.daily.params import DailyParams

logger = logging.getLogger(__name__)

Fields = Mapping[str, Any]


class DailyRequests:
    """The methods of a `DailyTransport` that are one request each. All raise `TransportError`.

    Attributes:
        phone_session: the phone that was connected last; "" without one.
    """

    phone_session: str = ""
    _params: DailyParams
    _input: DailyInput | None
    _transcribed_only: frozenset[str] = frozenset()

    async def ask(self, what: str, *given: Any, **more: Any) -> Any:
        raise NotImplementedError

    # ------------------------------------------------------------ phones

    async def start_dialout(self, settings: Fields) -> Any:
        """Call a phone: `{"phoneNumber": "+1…"}` or `{"sipUri": "sip:…"}`. Its session's id."""
        return await self.ask("start_dialout", dict(settings))

    async def stop_dialout(self, participant_id: str) -> None:
        """Hang up on a phone that was called."""
        await self.ask("stop_dialout", participant_id)

    async def send_dtmf(self, settings: Fields) -> None:
        """Press keys: `{"sessionId": …, "tones": "12#"}`."""
        await self.ask("send_dtmf", dict(settings))

    async def sip_call_transfer(self, settings: Fields) -> None:
        """Hand a phone on: `{"sessionId": …, "toEndPoint": …}`. `DailySIPTransferFrame` waits its turn."""
        await self.ask("sip_call_transfer", dict(settings))

    async def sip_refer(self, settings: Fields) -> None:
        """Hand a SIP call to an end outside of Daily."""
        await self.ask("sip_refer", dict(settings))

    def _is_alone(self) -> None:
        """A phone is gone: nobody else may be there, nor ever have been."""
        raise NotImplementedError

    def _phone_there(self, event: Fields) -> None:
        self.phone_session = str(event.get("sessionId") or self.phone_session)

    def _phone_gone(self, event: Fields) -> None:
        if event.get("sessionId") in (None, self.phone_session):
            self.phone_session = ""
        self._is_alone()

    def _dialin_ready(self, sip_endpoint: str) -> None:
        """The room takes phones now: the caller who waits is connected."""
        if self._params.dialin_settings is not None and self._input is not None:
            self._input.create_task(self._connect(sip_endpoint), "dial-in")

    async def _connect(self, sip_endpoint: str) -> None:
        from runner.providers.daily import DailyRest

        waiting, params = self._params.dialin_settings, self._params
        assert waiting is not None
        assert self._input is not None
        uri = sip_endpoint if sip_endpoint.startswith("sip:") else f"sip:{sip_endpoint}"
        rest = None
        try:
            rest = DailyRest(
                params.api_key or keys.read("DAILY_API_KEY"), params.api_url or keys.read("DAILY_API_URL")
            )
            await rest.connect_dialin(waiting.call_id, waiting.call_domain, uri)
        except BotrunError as error:
            await self._input.push_error(f"the caller could not be connected: {error}", fatal=True)
        finally:
            if rest is not None:
                await rest.aclose()

    # ------------------------------------------------------------ recording and transcription

    async def start_recording(self, streaming_settings: Fields | None = None, stream_id: str | None = None,
                              force_new: bool | None = None) -> Any:  # fmt: skip
        """Record the room; the stream's id."""
        more = {"streaming_settings": streaming_settings, "stream_id": stream_id, "force_new": force_new}
        return await self.ask("start_recording", **_given(more))

    async def stop_recording(self, stream_id: str | None = None) -> None:
        await self.ask("stop_recording", **_given({"stream_id": stream_id}))

    async def update_recording(self, update_settings: Fields, stream_id: str | None = None) -> None:
        await self.ask("update_recording", update_settings, **_given({"stream_id": stream_id}))

    async def start_transcription(self, settings: Fields | None = None) -> None:
        """Let Daily transcribe."""
        await self.ask("start_transcription", settings)

    async def stop_transcription(self) -> None:
        await self.ask("stop_transcription")

    async def capture_participant_transcription(self, participant_id: str) -> None:
        """From now on only those who were named here are transcribed."""
        self._transcribed_only |= {participant_id}
        await self.ask("update_transcription", sorted(self._transcribed_only), None)

    def _is_wanted(self, participant: str) -> bool:
        return not self._transcribed_only or participant in self._transcribed_only

    # ------------------------------------------------------------ who may do what

    async def update_publishing(self, publishing_settings: Fields) -> None:
        await self.ask("update_publishing", publishing_settings)

    async def update_subscriptions(
        self, participant_settings: Fields | None = None, profile_settings: Fields | None = None
    ) -> None:
        await self.ask("update_subscriptions", participant_settings, profile_settings)

    async def update_remote_participants(self, remote_participants: Fields) -> None:
        await self.ask("update_remote_participants", remote_participants)

    async def eject_participants(self, ids: Sequence[str]) -> None:
        """Send people out of the room."""
        await self.ask("eject_remote_participants", list(ids))

    async def send_prebuilt_chat_message(self, message: str, user_name: str | None = None) -> None:
        """Write into the chat of Daily's own page."""
        await self.ask("send_prebuilt_chat_message", message, **_given({"user_name": user_name}))


def _given(settings: Fields) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}
