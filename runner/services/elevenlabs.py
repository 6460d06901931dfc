"""ElevenLabs' voices, over the multi-context streaming WebSocket, with word times from its characters.

Wire, read from PyPI's `elevenlabs` 2.78.0:

* `types/initialize_connection_multi.py`, `send_text_multi.py`, `close_context.py`, `close_socket.py`: the
  messages to the service. A context opens with one space; text ends with a space; closing one "that has been
  set to flush" lets it finish.
* `types/audio_output_multi.py`, `final_output_multi.py`: the messages from the service: base64 `audio`,
  `alignment` with `chars` and `charStartTimesMs`, `contextId`, `isFinal`.
* `types/output_format.py`: pcm and ulaw formats; `core/client_wrapper.py`: the header `xi-api-key`.
* The address and its parameters: `v_1_text_to_speech_voice_id_multi_stream_input` is types only, so these are
  from the API reference ("Multi-context WebSocket"); `realtime_tts.py` has the single-context variant.

Each sentence is a context, flushed and closed at once: only `isFinal` marks its end. PyPI's
`livekit-plugins-elevenlabs` 1.8.9 does the same (`tts.py`). Unconfirmed without an account: whether times
start at 0 with each message, as the SDK's comments say, or continue (both are handled); how errors arrive (a
message with `error`, a close with 1008, or a refused handshake: all three are reported).
"""

from __future__ import annotations

import base64
import uuid
from typing import Any
from urllib.parse import quote, urlencode

from runner.errors import ServiceError
from runner.services.common.failures import own_words
from runner.services.common.service_link import Message, ServiceLink
from runner.services.common.spoken_text import CharacterTimes, Timeline
from runner.services.common.streamed_tts import StreamedTTSService, Utterance
from runner.settings import credentials as keys

URL = "wss://api.elevenlabs.io"
MODEL = "eleven_flash_v2_5"
KEY = "ELEVENLABS_API_KEY"
INACTIVITY_TIMEOUT_S = 180
"""The maximum (s) that the service allows; after it, the service disconnects and botrun reconnects."""

ULAW_HZ = 8000
RATES_HZ = (16000, 22050, 24000, 44100)


class ElevenLabsTTSService(StreamedTTSService):
    """Speaks with a voice of ElevenLabs.

    Args:
        voice: the voice's id.
        api_key: the key; default `ELEVENLABS_API_KEY`.
        model: the model's name; it must stream, which `eleven_v3` does not.
        language: the text's language, such as "en", for models that take one; None lets the model detect it.
        voice_settings: stability, similarity_boost, style, use_speaker_boost, speed, passed on unchanged.
        url: scheme and host of another server with the same protocol.
    """

    def __init__(
        self,
        *,
        voice: str,
        api_key: str | None = None,
        model: str = MODEL,
        language: str | None = None,
        voice_settings: dict[str, Any] | None = None,
        url: str = URL,
        name: str | None = None,
    ) -> None:
        key = keys.need(KEY, api_key, type(self).__name__)
        link = ServiceLink(
            "ElevenLabs",
            KEY,
            headers={"xi-api-key": key},
            on_message=self.take,
            on_trouble=self.on_trouble,
            goodbye={"close_socket": True},
        )
        super().__init__(link, name=name)
        self._base = f"{url.rstrip('/')}/v1/text-to-speech/{quote(voice, safe='')}/multi-stream-input"
        self._model = model
        self._language = language
        self._settings = voice_settings
        self._ulaw = False
        self._characters: dict[str, _Characters] = {}

    def nearest_rate(self, wanted_hz: int) -> int:
        self._ulaw = wanted_hz <= ULAW_HZ
        return ULAW_HZ if self._ulaw else next((rate for rate in RATES_HZ if rate >= wanted_hz), RATES_HZ[-1])

    def address(self) -> str:
        query = {
            "model_id": self._model,
            "output_format": f"{'ulaw' if self._ulaw else 'pcm'}_{self.sample_rate}",
            "auto_mode": "true",  # whole sentences: no waiting for more text
            "sync_alignment": "true",
            "inactivity_timeout": INACTIVITY_TIMEOUT_S,
        }
        if self._language:
            query["language_code"] = self._language
        return f"{self._base}?{urlencode(query)}"

    def begin(self, text: str) -> str:
        context_id = uuid.uuid4().hex
        opening: Message = {"text": " ", "context_id": context_id}
        if self._settings:
            opening["voice_settings"] = self._settings
        self._link.send(opening)
        self._link.send({"text": f"{text} ", "context_id": context_id, "flush": True})
        self._link.send({"context_id": context_id, "close_context": True})
        self._characters = {context_id: _Characters()}
        return context_id

    def take(self, message: Message) -> None:
        context_id = message.get("contextId", message.get("context_id"))
        if message.get("error"):
            text = own_words(str(message.get("message") or message["error"]))
            self.fail(context_id, ServiceError(f"ElevenLabs failed: {text}"))
            return
        utterance = self.live(context_id)
        if utterance is None:
            return
        characters = self._characters[str(context_id)]
        if alignment := message.get("alignment") or message.get("normalizedAlignment"):
            characters.feed(utterance, alignment)
        if audio := message.get("audio"):
            utterance.sound(self._pcm(base64.b64decode(audio)))
        if message.get("isFinal") or message.get("is_final"):
            characters.finish(utterance)
            utterance.done()

    def _pcm(self, sound: bytes) -> bytes:
        if not self._ulaw:
            return sound
        from runner.audio.g711 import ulaw_decode

        return ulaw_decode(sound)


class _Characters:
    """The characters of one sentence, as they arrive with its audio."""

    def __init__(self) -> None:
        self._timeline = Timeline()
        self._times = CharacterTimes()

    def feed(self, utterance: Utterance, alignment: Message) -> None:
        """Take one message's characters, before its audio."""
        starts = [float(start) for start in alignment["charStartTimesMs"]]
        placed = self._timeline.place(starts, utterance.sound_ms)
        for word, at_ms in self._times.feed(alignment["chars"], placed):
            utterance.said(word, at_ms)

    def finish(self, utterance: Utterance) -> None:
        """Place the last word: there are no more characters."""
        for word, at_ms in self._times.flush():
            utterance.said(word, at_ms)
