"""A caller who types: each line is said, or pressed (`/press 1#`), or ends the call (`/hangup`)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator

from runner.callers.phone import Phone
from runner.callers.report.talk import Talk
from runner.callers.scenario.scenario import KEYS
from runner.callers.sound.microphone import Manner
from runner.callers.sound.voice import CallerVoice
from runner.errors import MissingPackageError

HELP = "Type what the caller says; /press 1# presses keys, /hangup (or Ctrl-D) ends the call."
ANSWER_PATIENCE_S = 10.0
QUIET_S = 1.5


async def typed_lines(fileno: int) -> AsyncIterator[str]:
    """Lines as they are typed, or come through a pipe; a file is read at once."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    rest = b""

    def read() -> None:
        nonlocal rest
        data = os.read(fileno, 4096)
        rest += data
        *whole, rest = rest.split(b"\n")
        for line in whole:
            lines.put_nowait(line.decode(errors="replace"))
        if not data:
            loop.remove_reader(fileno)
            lines.put_nowait(rest.decode(errors="replace"))
            lines.put_nowait(None)

    try:
        loop.add_reader(fileno, read)
    except PermissionError:  # epoll takes no plain files
        for line in sys.stdin:
            lines.put_nowait(line)
        lines.put_nowait(None)
    try:
        while (line := await lines.get()) is not None:
            yield line.strip()
    finally:
        with contextlib.suppress(ValueError, OSError):
            loop.remove_reader(fileno)


class TypedCaller:
    """Says what is typed, in turn. Without a voice a line goes to the bot as text, where that can be."""

    def __init__(self, talk: Talk, voice: CallerVoice) -> None:
        self._talk = talk
        self._phone: Phone = talk.phone
        self._voice = voice

    async def run(self, lines: AsyncIterator[str]) -> None:
        """Until the last line, or until the bot hangs up."""
        typing = asyncio.create_task(self._all(lines), name="typed")
        over = asyncio.create_task(self._phone.ended.wait())
        await asyncio.wait({typing, over}, return_when=asyncio.FIRST_COMPLETED)
        for task in (typing, over):
            task.cancel()
        done = await asyncio.gather(typing, over, return_exceptions=True)
        await self._phone.hang_up()
        if isinstance(done[0], Exception):
            raise done[0]

    async def _all(self, lines: AsyncIterator[str]) -> None:
        async for line in lines:
            if line in ("/hangup", "/quit"):
                self._talk.say("caller", "hangs up")
                return
            if line:
                await self._one(line)
        # The input has ended: the bot may finish.
        spans = len(self._phone.ear.spans)
        await self._phone.until(lambda: len(self._phone.ear.spans) > spans, ANSWER_PATIENCE_S)
        await self._phone.until(lambda: self._phone.bot_quiet_s() > QUIET_S, ANSWER_PATIENCE_S)

    async def _one(self, line: str) -> None:
        command, _, keys = line.partition(" ")
        if command == "/press" and keys and set(keys.upper()) <= KEYS:
            self._talk.say("caller", f"presses {keys}")
            await self._phone.press(keys.upper())
        elif line.startswith("/"):
            self._talk.say("phone", HELP)
        else:
            await self._say(line)

    async def _say(self, text: str) -> None:
        try:
            speech = await self._voice.speak(text)
        except MissingPackageError as error:
            if not await self._talk.side.send("send-text", {"content": text}):
                raise error
            self._talk.say("caller", f"{text}   (sent as text)")
            return
        manner = Manner.INTERRUPTION if self._phone.bot_quiet_s() < 0.1 else Manner.TURN
        utterance = self._phone.say(speech.pcm, speech.sample_rate, text, manner)
        self._talk.caller_said(utterance)
        await self._phone.until(lambda: utterance.done, ANSWER_PATIENCE_S)
