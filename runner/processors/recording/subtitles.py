"""`Subtitles`: what both speakers say, as it is heard, into files and to the caller's page."""

from __future__ import annotations

import asyncio
from pathlib import Path

from runner.errors import UsageError, why
from runner.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    FrameDirection,
    InterimTranscriptionFrame,
    StartFrame,
    SubtitleFrame,
    TranscriptionFrame,
    TTSTextFrame,
    UnspokenTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.base import DOWNSTREAM, FrameProcessor
from runner.processors.recording.cues import (
    VTT_HEADER,
    Cue,
    CueMaker,
    Word,
    in_order,
    spread,
    srt,
    to_read,
    vtt,
)
from runner.turns.segments import units

FORMATS = (".srt", ".vtt")


class Subtitles(FrameProcessor):
    """Makes subtitles of a call: of the bot's words when they are heard, and of what the caller was
    understood to say.

    Stands behind `transport.output()`. Each cue is pushed on as a `SubtitleFrame`, growing word by word; RTVI
    tells the page (`server-message` with `type` "subtitle").

    Args:
        paths: files to write, `.srt` or `.vtt`; their folders are made. Cues are appended while the call
            goes on, and put in order at its end.
        user: how the caller is called in the files; "" leaves the name out.
        bot: how the bot is called there.
    """

    def __init__(self, *paths: str | Path, user: str = "Caller", bot: str = "Bot") -> None:
        super().__init__()
        self.paths = [Path(path) for path in paths]
        for path in self.paths:
            if path.suffix.lower() not in FORMATS:
                raise UsageError(f"subtitles are .srt or .vtt files, not {path.name}")
        self._names = {"user": user, "bot": bot}
        self._maker = CueMaker("bot")
        self._cues: list[Cue] = []
        self._begin = 0.0
        self._utterance = [0.0, 0.0]
        self._reply_id: int | None = None

    @property
    def cues(self) -> list[Cue]:
        """Those that are complete, in order."""
        return in_order(self._cues)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)
        if direction is not DOWNSTREAM:
            return
        match frame:
            case TTSTextFrame(heard_at=float() as at):
                await self._bot_said(frame, at)
            case BotStoppedSpeakingFrame(at=at):
                await self._complete(self._maker.finish(self._ms(at)))
            case UnspokenTextFrame():
                await self._complete(to_read("bot", frame.text, self._ms(self.lent.clock())))
            case UserStartedSpeakingFrame(at=at):
                self._utterance = [at, at]
            case UserStoppedSpeakingFrame(at=at):
                self._utterance[1] = at
            case InterimTranscriptionFrame() | TranscriptionFrame() if frame.text.strip():
                await self._user_said(frame)
            case StartFrame():
                self._begin = self.lent.clock()
                self._utterance = [self._begin, self._begin]
                await self._write(begin=True)

    async def _bot_said(self, frame: TTSTextFrame, at: float) -> None:
        if frame.reply_id != self._reply_id:
            self._reply_id = frame.reply_id
            await self._complete(self._maker.finish(self._ms(at)))
        for index, unit in enumerate(units(frame.text)):
            joined = unit.joined if index else frame.joined
            await self._complete(self._maker.word(Word(unit.text, self._ms(at), joined)))
        if (growing := self._maker.growing) is not None:
            await self._tell(growing, final=False)

    async def _user_said(self, frame: TranscriptionFrame | InterimTranscriptionFrame) -> None:
        since, until = map(self._ms, self._utterance)
        final = isinstance(frame, TranscriptionFrame)
        until = until if until > since else self._ms(self.lent.clock())
        cues = spread("user", frame.text, since, until)
        if final:
            await self._complete(cues)
        else:
            await self._tell(cues[-1], final=False)

    async def _complete(self, cues: list[Cue]) -> None:
        for cue in cues:
            self._cues.append(cue)
            await self._tell(cue, final=True)
        if cues:
            await self._write(*cues)

    async def _tell(self, cue: Cue, *, final: bool) -> None:
        await self.push_frame(SubtitleFrame(cue.speaker, cue.text, cue.start_ms, cue.end_ms, final))

    # ------------------------------------------------------------ to disk

    async def cleanup(self) -> None:
        self._cues += self._maker.finish(self._ms(self.lent.clock()))
        await self._write(*self.cues, begin=True, first=1)

    async def _write(self, *cues: Cue, begin: bool = False, first: int | None = None) -> None:
        if not self.paths:
            return
        first = first or len(self._cues) - len(cues) + 1
        try:
            await asyncio.to_thread(self._write_all, cues, begin, first)
        except OSError as error:
            self.paths.clear()
            await self.push_error(f"the subtitles are not written: {why(error)}")

    def _write_all(self, cues: tuple[Cue, ...], begin: bool, first: int) -> None:
        for path in self.paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            text = "".join(self._format(path, number, cue) for number, cue in enumerate(cues, first))
            if begin and path.suffix.lower() == ".vtt":
                text = VTT_HEADER + text
            with path.open("w" if begin else "a", encoding="utf-8") as file:
                file.write(text)

    def _format(self, path: Path, number: int, cue: Cue) -> str:
        name = self._names[cue.speaker]
        return srt(number, cue, name) if path.suffix.lower() == ".srt" else vtt(cue, name)

    def _ms(self, at: float) -> int:
        return round((at - self._begin) * 1000)
