"""A room's requests: phones, recording, transcription, permissions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from runner.errors import BotrunError
from runner.settings import credentials as keys
from runner.transports.daily.media import DailyInput
from runner.transports.daily.params import DailyParams

logger = logging.getLogger(__name__)

Settings = Mapping[str, Any]


class DailyRequests:
    """Methods of `DailyTransport` that send one request each. All raise `TransportError`.

    Attributes:
        phone_session: session id of the phone that connected last; "" without one.
    """

    phone_session: str = ""
    _params: DailyParams
    _input: DailyInput | None
    _transcribed_only: frozenset[str] = frozenset()

    async def ask(self, what: str, *given: Any, **more: Any) -> Any:
        raise NotImplementedError

    # ------------------------------------------------------------ phones

    async def start_dialout(self, settings: Settings) -> Any:
        """Call a phone: `{"phoneNumber": "+1…"}` or `{"sipUri": "sip:…"}`. Returns the session id."""
        return await self.ask("start_dialout", dict(settings))

    async def stop_dialout(self, participant_id: str) -> None:
        """Hang up a phone that was called."""
        await self.ask("stop_dialout", participant_id)

    async def send_dtmf(self, settings: Settings) -> None:
        """Press keys: `{"sessionId": …, "tones": "12#"}`."""
        await self.ask("send_dtmf", dict(settings))

    async def sip_call_transfer(self, settings: Settings) -> None:
        """Transfer a phone now: `{"sessionId": …, "toEndPoint": …}`. `DailySIPTransferFrame` waits."""
        await self.ask("sip_call_transfer", dict(settings))

    async def sip_refer(self, settings: Settings) -> None:
        """Transfer a SIP call to an endpoint outside of Daily."""
        await self.ask("sip_refer", dict(settings))

    def _is_alone(self) -> None:
        """Check whether the bot is alone, after a phone left."""
        raise NotImplementedError

    def _phone_connected(self, event: Settings) -> None:
        self.phone_session = str(event.get("sessionId") or self.phone_session)

    def _phone_left(self, event: Settings) -> None:
        if event.get("sessionId") in (None, self.phone_session):
            self.phone_session = ""
        self._is_alone()

    def _dialin_ready(self, sip_endpoint: str) -> None:
        """The room is ready for phones: connect the waiting caller."""
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
            await self._input.push_error(f"Could not connect the waiting caller: {error}", fatal=True)
        finally:
            if rest is not None:
                await rest.aclose()

    # ------------------------------------------------------------ recording and transcription

    async def start_recording(self, streaming_settings: Settings | None = None, stream_id: str | None = None,
                              force_new: bool | None = None) -> Any:  # fmt: skip
        """Record the room; returns the stream's id."""
        more = {"streaming_settings": streaming_settings, "stream_id": stream_id, "force_new": force_new}
        return await self.ask("start_recording", **_given(more))

    async def stop_recording(self, stream_id: str | None = None) -> None:
        await self.ask("stop_recording", **_given({"stream_id": stream_id}))

    async def update_recording(self, update_settings: Settings, stream_id: str | None = None) -> None:
        await self.ask("update_recording", update_settings, **_given({"stream_id": stream_id}))

    async def start_transcription(self, settings: Settings | None = None) -> None:
        """Start Daily's transcription."""
        await self.ask("start_transcription", settings)

    async def stop_transcription(self) -> None:
        await self.ask("stop_transcription")

    async def capture_participant_transcription(self, participant_id: str) -> None:
        """Transcribe only this participant, and those named in earlier calls."""
        self._transcribed_only |= {participant_id}
        await self.ask("update_transcription", sorted(self._transcribed_only), None)

    def _is_wanted(self, participant: str) -> bool:
        return not self._transcribed_only or participant in self._transcribed_only

    # ------------------------------------------------------------ who may do what

    async def update_publishing(self, publishing_settings: Settings) -> None:
        await self.ask("update_publishing", publishing_settings)

    async def update_subscriptions(
        self, participant_settings: Settings | None = None, profile_settings: Settings | None = None
    ) -> None:
        await self.ask("update_subscriptions", participant_settings, profile_settings)

    async def update_remote_participants(self, remote_participants: Settings) -> None:
        await self.ask("update_remote_participants", remote_participants)

    async def eject_participants(self, ids: Sequence[str]) -> None:
        """Remove participants from the room."""
        await self.ask("eject_remote_participants", list(ids))

    async def send_prebuilt_chat_message(self, message: str, user_name: str | None = None) -> None:
        """Send a message to the chat of Daily Prebuilt."""
        await self.ask("send_prebuilt_chat_message", message, **_given({"user_name": user_name}))


def _given(settings: Settings) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}
