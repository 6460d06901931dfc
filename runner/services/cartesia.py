"""Cartesia's voices, over their streaming WebSocket, with word times.

Wire, read from PyPI's `cartesia` 4.2.0:

* `lib/_tts.py` `_prepare_url`: `wss://api.cartesia.ai/tts/websocket`; `_client.py` `_api_key_auth`,
  `default_headers`: `Authorization: Bearer KEY`, `cartesia-version: 2026-08-14`.
* `types/generation_request_param.py`: a request, whose `continue` leaves the context open for the next,
  and `flush`; `types/raw_output_format_param.py`: pcm_s16le at six rates.
* `types/websocket_client_event_param.py`: `{"cancel": true, "context_id": …}`.
* `types/websocket_response.py`: `chunk` (base64 `data`), `timestamps` (`word_timestamps`: words, start, end
  in s), `flush_done`, `done`, `error`.

Each reply is one context, so that its sentences sound connected. The end of a
sentence is the `flush_done` of the empty flush request after it (its documentation, "Context flushing").
Unconfirmed without an account: that `flush_done` always follows the audio; whether word times of the second
sentence count from its own beginning or from the context's (both are handled).
"""

from __future__ import annotations

import base64
import uuid
from typing import Any

from runner.frames import Frame, FrameDirection, LLMFullResponseStartFrame, TTSSpeakFrame
from runner.services.common.failures import refusal
from runner.services.common.service_link import Message, ServiceLink
from runner.services.common.spoken_text import Timeline
from runner.services.common.streamed_tts import StreamedTTSService
from runner.settings import credentials as keys

URL = "wss://api.cartesia.ai/tts/websocket"
VERSION = "2026-08-14"
MODEL = "sonic-3"
RATES_HZ = (8000, 16000, 22050, 24000, 44100, 48000)
KEY = "CARTESIA_API_KEY"


class CartesiaTTSService(StreamedTTSService):
    """Speaks with a voice of Cartesia.

    Args:
        voice: the voice's id, from play.cartesia.ai.
        api_key: the key; default `CARTESIA_API_KEY`.
        model: the model's name.
        language: the text's language, such as "en"; None = the voice's language.
        generation_config: speed, volume and emotion, passed on unchanged.
        url: the address of another server with the same protocol.
    """

    def __init__(
        self,
        *,
        voice: str,
        api_key: str | None = None,
        model: str = MODEL,
        language: str | None = None,
        generation_config: dict[str, Any] | None = None,
        url: str = URL,
        name: str | None = None,
    ) -> None:
        key = keys.need(KEY, api_key, type(self).__name__)
        link = ServiceLink(
            "Cartesia",
            KEY,
            headers={"Authorization": f"Bearer {key}", "cartesia-version": VERSION},
            on_message=self.take,
            on_trouble=self.on_trouble,
        )
        super().__init__(link, name=name)
        self._url = url
        self._request = {"model_id": model, "voice": {"id": voice}, "add_timestamps": True}
        if language:
            self._request["language"] = language
        if generation_config:
            self._request["generation_config"] = generation_config
        self._context_id = ""
        self._timeline = Timeline()
        self._sound_before_ms = 0.0

    def address(self) -> str:
        return self._url

    def nearest_rate(self, wanted_hz: int) -> int:
        return next((rate for rate in RATES_HZ if rate >= wanted_hz), RATES_HZ[-1])

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, LLMFullResponseStartFrame | TTSSpeakFrame):
            self._context_id = ""  # each reply is a context of its own
        await super().process_frame(frame, direction)

    def interrupted(self) -> None:
        super().interrupted()
        self._context_id = ""

    def begin(self, text: str) -> str:
        if not self._context_id:
            self._context_id = uuid.uuid4().hex
            self._timeline = Timeline()
            self._sound_before_ms = 0.0
        context_id = self._context_id
        self._ask(context_id, f"{text} ", flush=False)
        self._ask(context_id, "", flush=True)
        return context_id

    def _ask(self, context_id: str, transcript: str, *, flush: bool) -> None:
        sound = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": self.sample_rate}
        request = {**self._request, "context_id": context_id, "transcript": transcript, "continue": True}
        self._link.send({**request, "output_format": sound, "flush": flush})

    def abandon(self, context_id: str) -> None:
        self._link.send({"context_id": context_id, "cancel": True})
        if context_id == self._context_id:
            self._context_id = ""

    def take(self, message: Message) -> None:
        utterance = self.live(message.get("context_id"))
        match message["type"]:
            case "error":
                status = int(message.get("status_code") or 500)
                text = ": ".join(str(message[name]) for name in ("title", "message") if message.get(name))
                self.fail(message.get("context_id"), refusal("Cartesia", KEY, status, text))
            case "chunk" if utterance is not None:
                utterance.sound(base64.b64decode(message["data"]))
            case "timestamps" if utterance is not None:
                times = message["word_timestamps"]
                starts_ms = [float(start) * 1000 for start in times["start"]]
                placed = self._timeline.place(starts_ms, self._sound_before_ms)
                for word, at_ms in zip(times["words"], placed, strict=True):
                    utterance.said(str(word), at_ms - self._sound_before_ms)
            # One before any audio belongs to the previous sentence.
            case "flush_done" | "done" if utterance is not None and utterance.sound_ms:
                self._sound_before_ms += utterance.sound_ms
                if message["type"] == "done":
                    self._context_id = ""  # the server has closed it
                utterance.done()
