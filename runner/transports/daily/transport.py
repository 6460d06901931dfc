"""`DailyTransport`: the bot as a participant of a Daily room."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from runner.errors import BotrunError, TransportError, UsageError
from runner.frames import (
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
)
from runner.processors.base import FrameProcessor
from runner.transports.base import BaseTransport
from runner.transports.daily.call import DailyCall
from runner.transports.daily.library import EVENTS, Library, load_library
from runner.transports.daily.media import DailyInput, DailyOutput
from runner.transports.daily.params import UNSEEN, DailyParams, join_settings, transcription_settings
from runner.transports.daily.requests import DailyRequests
from runner.transports.session_port import current_port

logger = logging.getLogger(__name__)

OWN_EVENTS = (
    "on_joined", "on_connected", "on_left", "on_disconnected", "on_before_leave",
    "on_first_participant_joined",
)  # fmt: skip

MOST_MESSAGES_EARLY = 200
"""Number of messages kept until the join; then the oldest are dropped."""

BEFORE_LEAVE_S = 0.3
DIGITS = frozenset("0123456789*#ABCD")


Participant = Mapping[str, Any]


class People:
    """The other participants, by id, in order of arrival.

    Attributes:
        anybody_came: whether anybody has joined.
    """

    def __init__(self) -> None:
        self.anybody_came = False
        self._there: dict[str, Participant] = {}

    def __len__(self) -> int:
        return len(self._there)

    def __iter__(self) -> Iterator[str]:
        return iter(self._there)

    def came(self, participant: Participant) -> bool:
        """Add a participant; False if already known, or if it is the bot itself."""
        who = id_of(participant)
        if not who or _is_local(participant) or who in self._there:
            return False
        self._there[who] = participant
        self.anybody_came = True
        return True

    def changed(self, participant: Participant) -> None:
        """Update a participant."""
        if id_of(participant) in self._there:
            self._there[id_of(participant)] = participant

    def left(self, participant: Participant) -> bool:
        """Remove a participant; False if unknown."""
        return self._there.pop(id_of(participant), None) is not None

    def all(self) -> dict[str, Participant]:
        return dict(self._there)


def id_of(participant: Participant) -> str:
    return str(participant.get("id") or "")


def _is_local(participant: Participant) -> bool:
    info = participant.get("info")
    return isinstance(info, Mapping) and bool(info.get("isLocal"))


def transcript(message: Mapping[str, Any]) -> TranscriptionFrame | InterimTranscriptionFrame | None:
    """The frame of a transcription message; None without text."""
    text = str(message.get("text") or "")
    if not text:
        return None
    raw = message.get("rawResponse")
    final = raw.get("is_final", True) if isinstance(raw, Mapping) else True
    kind = TranscriptionFrame if final else InterimTranscriptionFrame
    return kind(
        text, user_id=str(message.get("participantId") or ""), timestamp=str(message.get("timestamp") or "")
    )


class DailyTransport(DailyRequests, BaseTransport):
    """A Daily room.

    Events, each `handler(transport, …)`: `on_joined(data)`, `on_left()`, `on_first_participant_joined(p)`,
    `on_participant_joined(p)`, `on_participant_left(p, reason)`, `on_participant_updated(p)`,
    `on_client_connected(p)` and `on_client_disconnected(p)` for each, `on_app_message(message, sender)`,
    `on_active_speaker_changed(p)`, `on_error(message)`, `on_call_state_updated(state)`, and those of dial-in,
    dial-out, DTMF, recording and transcription, with Daily's arguments.

    Args:
        room_url: "https://you.daily.co/room".
        token: the bot's; None for a public room.
        bot_name: the bot's name in the room.
        params: what is carried; sample rates are 16000 Hz in and 24000 Hz out by default.
        library: a replacement for daily-python, for tests.
    """

    def __init__(
        self,
        room_url: str,
        token: str | None,
        bot_name: str,
        params: DailyParams | None = None,
        *,
        library: Library | None = None,
    ) -> None:
        super().__init__(*dict.fromkeys((*OWN_EVENTS, *EVENTS)))
        self.room_url = room_url
        self.joined = asyncio.Event()
        self._token, self._bot_name = token, bot_name
        self._params = params or DailyParams()
        self._library = library
        self._port = current_port()
        self._port.disconnect = self._disconnect
        self._people = People()
        self._early: deque[tuple[Any, str | None]] = deque(maxlen=MOST_MESSAGES_EARLY)
        self._call: DailyCall | None = None
        self._left = False
        self._own_id = ""
        self._input: DailyInput | None = None
        self._output: DailyOutput | None = None
        self._on: Mapping[str, Callable[..., None]] = {
            "on_participant_joined": self._came,
            "on_participant_left": self._went,
            "on_participant_updated": self._people.changed,
            "on_app_message": self._app_message,
            "on_transcription_message": self._transcribed,
            "on_dtmf_event": self._dtmf,
            "on_error": self._error,
            "on_call_state_updated": self._state,
            "on_dialin_connected": self._phone_connected,
            "on_dialout_connected": self._phone_connected,
            "on_dialout_answered": self._phone_connected,
            "on_dialin_stopped": self._phone_left,
            "on_dialout_stopped": self._phone_left,
            "on_dialin_error": self._phone_left,
            "on_dialin_ready": self._dialin_ready,
        }

    @property
    def has_input(self) -> bool:
        """Whether the bot uses `input()`, which then joins."""
        return self._input is not None

    def input(self) -> DailyInput:
        if self._input is None:
            self._input = DailyInput(self, self._params)
        return self._input

    def output(self) -> DailyOutput:
        if self._output is None:
            self._output = DailyOutput(self, self._params)
        return self._output

    def participants(self) -> dict[str, Participant]:
        """The others in the room, by id."""
        return self._people.all()

    @property
    def participant_id(self) -> str:
        """The bot's own id, once it is in the room."""
        return self._own_id

    # ------------------------------------------------------------ in and out of the room

    async def join(self, processor: FrameProcessor) -> None:
        """Join the room; a failure ends the call, with its reason."""
        try:
            library = self._library or load_library()
            self._call = call = DailyCall(library, self._bot_name, self._event)
            data = await call.join(self.room_url, self._token, self._settings(library))
        except BotrunError as error:
            self.events.emit("on_error", str(error))
            self._port.lost(str(error))
            await processor.push_error(str(error), fatal=True)
            return
        self.joined.set()
        self.events.emit("on_joined", data)
        self.events.emit("on_connected", data)
        # Participants who were there before may come as events, too, or only here.
        there = data.get("participants")
        there = there if isinstance(there, Mapping) else {}
        self._own_id = id_of(there.get("local") or {})
        for participant in there.values():
            self._came(participant)
        await self._settle_in(call)

    def _settings(self, library: Library) -> dict[str, Any]:
        params, output = self._params, self._output
        sound = output is not None and params.audio_out_enabled and params.microphone_out_enabled
        pictures = output is not None and params.video_out_enabled and params.camera_out_enabled
        microphone = library.microphone(output.sample_rate) if output and sound else None
        size = (params.video_out_width, params.video_out_height)
        camera = library.camera(*size) if pictures else None
        if output is not None:
            output.carry(microphone, camera)
        return join_settings(params, microphone, camera)

    async def _settle_in(self, call: DailyCall) -> None:
        """Send the requests that wait until the bot is in the room."""
        while self._early:
            await self._try(call.ask("send_app_message", *self._early.popleft()))
        await self._try(call.ask("update_subscription_profiles", UNSEEN))
        if self._params.transcription_enabled:
            settings = transcription_settings(self._params.transcription_settings)
            await self._try(self.start_transcription(settings))

    async def _try(self, asked: Awaitable[Any]) -> None:
        try:
            await asked
        except (TransportError, TimeoutError) as error:
            logger.warning("Daily: %s", str(error) or "no answer in time")

    async def leave(self) -> None:
        """Leave the room and stop its events; once."""
        if self._left:
            return
        self._left = True
        self.events.emit("on_before_leave")
        await self.events.aclose(BEFORE_LEAVE_S)
        if self._call is not None:
            await self._call.leave()
        if self.joined.is_set():
            self.events.emit("on_left")
            self.events.emit("on_disconnected")
        await self.events.aclose(BEFORE_LEAVE_S)

    async def ask(self, what: str, *given: Any, **more: Any) -> Any:
        """Call one of the library's methods, by its name.

        Raises:
            TransportError: the request was refused, or the bot is not in the room.
        """
        if self._call is None or not self.joined.is_set():
            raise TransportError("the bot has not joined the room yet")
        try:
            return await self._call.ask(what, *given, **more)
        except TimeoutError:
            raise TransportError(f"Daily did not answer {what} in time") from None

    def hand_over(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function on the event loop, from any thread, while the call lasts."""
        if self._call is not None:
            self._call.hand_over(function, *args)

    async def send_message(self, message: Any, participant_id: str | None = None) -> None:
        """Send a JSON value to all participants' applications, or to one; before the join it waits."""
        if self.joined.is_set() and not self._early:
            await self.ask("send_app_message", message, participant_id)
        else:
            self._early.append((message, participant_id))

    # ------------------------------------------------------------ events, on the loop and in order

    def _event(self, name: str, arguments: tuple[Any, ...]) -> None:
        handle = self._on.get(name)
        if handle is not None:
            handle(*arguments)
        if name not in ("on_participant_joined", "on_participant_left"):
            self.events.emit(name, *arguments)

    def _came(self, participant: Participant) -> None:
        first = not self._people.anybody_came
        if not self._people.came(participant):
            return
        self._port.joined()
        who = id_of(participant)
        if self._params.audio_in_enabled:
            self._hear(who)
        if self._params.video_in_enabled and first:
            self._see(who)
        if first:
            self._port.connected()
            self.events.emit("on_first_participant_joined", participant)
        self.events.emit("on_participant_joined", participant)
        self.events.emit("on_client_connected", participant)

    def _went(self, participant: Participant, reason: str) -> None:
        if not self._people.left(participant):
            return
        if self._input is not None:
            self._input.forget(id_of(participant))
        self.events.emit("on_participant_left", participant, reason)
        self.events.emit("on_client_disconnected", participant)
        self._is_alone()

    def _disconnect(self) -> bool:
        """botrun stops: report all participants as left."""
        for participant in self._people.all().values():
            self._went(participant, "botrun stops")
        return self.events.has_handler("on_participant_left", "on_client_disconnected")

    def _is_alone(self) -> None:
        if not len(self._people):
            self._port.left()

    async def capture_participant_audio(self, participant_id: str, audio_source: str = "microphone") -> None:
        """Receive a participant's sound. Microphones are received without this call."""
        self._hear(participant_id, audio_source)

    async def capture_participant_video(
        self, participant_id: str, framerate: int | None = 30, video_source: str = "camera"
    ) -> None:
        """Receive a participant's pictures, at most `framerate` per second (0 or None: all). With
        `video_in_enabled` the first participant's are received without this call."""
        if not self._params.video_in_enabled:
            raise UsageError(
                f"cannot receive pictures of {participant_id}: set video_in_enabled=True in DailyParams"
            )
        self._see(participant_id, framerate, video_source)

    def _hear(self, participant_id: str, audio_source: str = "microphone") -> None:
        if self._call is not None and self._input is not None:
            hear = partial(self._input.hear, participant_id)
            self._call.hear(participant_id, self._input.capture_rate, hear, audio_source)

    def _see(self, participant_id: str, framerate: int | None = None, video_source: str = "camera") -> None:
        if self._call is not None and self._input is not None:
            see = partial(self._input.see, participant_id)
            self._call.see(participant_id, see, video_source, 1 / framerate if framerate else 0.0)
            wanted = {participant_id: {"media": {video_source: "subscribed"}}}
            self._input.create_task(self._subscribe(wanted), "subscribe")

    async def _subscribe(self, wanted: Mapping[str, Any]) -> None:
        await self._try(self.ask("update_subscriptions", wanted))

    def _app_message(self, message: Any, sender: str) -> None:
        if self._input is not None:
            frame = InputTransportMessageFrame(message)
            self._input.create_task(self._input.push_frame(frame), "message")

    def _transcribed(self, message: Mapping[str, Any]) -> None:
        frame = transcript(message)
        if frame is not None and self._input is not None and self._is_wanted(frame.user_id):
            self._input.push_soon(frame)

    def _dtmf(self, event: Mapping[str, Any]) -> None:
        digit = str(event.get("tone") or event.get("digit") or "").upper()
        if self._input is not None and digit in DIGITS:
            self._input.push_soon(InputDTMFFrame(digit))

    def _error(self, message: str) -> None:
        logger.warning("Daily: %s", message)

    def _state(self, state: str) -> None:
        """Daily removed the bot: the room ended, or its owner removed it."""
        if state == "left" and self.joined.is_set() and not self._left:
            self._port.lost("the room was closed")
            if (processor := self._input or self._output) is not None:
                error = processor.push_error(
                    "Daily removed the bot: the room was closed, or its owner removed the bot", fatal=True
                )
                processor.create_task(error, "sent out")
