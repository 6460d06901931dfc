"""The caller of a replay over WebRTC."""

from __future__ import annotations

import asyncio
import json

from runner.callers.sound.bot_sound import Span, SpeechDetector
from runner.callers.webrtc import MICROPHONE_HZ, WebRTCCaller
from runner.replay.clip import Clip
from runner.replay.director import Done, schedule_of

PACKET_MS = 20
HEARD_HZ = 16000
LONGEST_GAP_S = 0.2


class ReplayCaller(WebRTCCaller):
    """Calls a bot as the recorded caller did, in a browser's place.

    Args:
        url: the server.
        clip: the recorded caller, at 48 kHz.
        mode: "turns" or "exact".

    Attributes:
        done: the caller's actions so far.
        late_s: how late each packet left: the caller's own lag.
    """

    def __init__(self, url: str, clip: Clip, mode: str) -> None:
        super().__init__(url, sample_rate=HEARD_HZ)
        self.done: list[Done] = []
        self.late_s: list[float] = []
        self._schedule = schedule_of(clip, mode, PACKET_MS)
        self._speech = SpeechDetector(HEARD_HZ)
        self._heard_until = 0.0

    def line_heard(self, pcm: bytes) -> None:
        super().line_heard(pcm)
        now, length_s = asyncio.get_running_loop().time(), len(pcm) / 2 / HEARD_HZ
        # Sound follows what was heard before; its packets come a little early or late.
        begin = self._heard_until if abs(now - self._heard_until) < LONGEST_GAP_S else now
        self._speech.hear(begin, pcm)
        self._heard_until = begin + length_s

    async def finished(self) -> None:
        """Speak, and wait for the end of the call."""
        loop = asyncio.get_running_loop()
        start, position = loop.time(), 0
        step = MICROPHONE_HZ * PACKET_MS // 1000
        while not self.ended.is_set():
            due = start + position / MICROPHONE_HZ
            if (wait_s := due - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            self.late_s.append(max(loop.time() - due, 0.0))
            end = position + step
            pcm, done = self._schedule.take(
                position / MICROPHONE_HZ, end / MICROPHONE_HZ, self._bot_spans(start)
            )
            position = end
            await self._line.microphone.write(pcm.astype("<i2").tobytes())
            for each in done:
                await self._do(each)

    def _bot_spans(self, start: float) -> list[Span]:
        return [Span(span.begin - start, span.end - start) for span in self._speech.spans]

    async def _do(self, done: Done) -> None:
        self.done.append(done)
        match done.action.what:
            case "app":
                self.send_message(json.loads(done.action.text))
            case "hang_up" | "wait_for_hang_up":
                await self.hang_up()
