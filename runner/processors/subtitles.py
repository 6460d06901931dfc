"""`Subtitles`: writes what both speakers say to SRT and WebVTT files and as captions to the caller's page.

Lines have at most 42 characters and cues at most two lines, as is usual for subtitles. A cue ends with a
clause if possible. Times of cues are in ms.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
from runner.turns.segments import join_units, units

LINE_CHARS = 42
CUE_CHARS = 2 * LINE_CHARS
LONGEST_CUE_MS = 7000
PAUSE_MS = 1500
"""Maximum time (ms) that a cue stays after its last word; a longer pause ends the cue."""

CLAUSE_CHARS = 20
"""Minimum length of a clause that ends a cue: a shorter cue would not be readable in time."""

READING_MS_PER_CHAR = 60
SHORTEST_READING_MS = 1200

_SENTENCE_END = re.compile(r"[.!?…。！？؟۔।։።។။][\"'”’)」』]*$")
_CLAUSE_END = re.compile(r"[.!?…。！？؟۔।։።។။,;:–—、，،፣၊][\"'”’)]*$")


@dataclass(frozen=True, slots=True)
class Cue:
    """What `speaker` says from one time (ms) to another."""

    speaker: str
    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """A word, and when (ms) it was heard; `joined` if there is no space before it."""

    text: str
    at_ms: int
    joined: bool = False


class CueMaker:
    """Builds one speaker's cues from words as they are heard."""

    def __init__(self, speaker: str) -> None:
        self._speaker = speaker
        self._words: list[Word] = []

    @property
    def growing(self) -> Cue | None:
        """The cue that is not complete yet."""
        return self._cue(self._words, self._words[-1].at_ms) if self._words else None

    def word(self, word: Word) -> list[Cue]:
        """Add a word; return the cues that it completes."""
        done: list[Cue] = []
        if self._words and self._is_complete(word):
            done = self.finish(word.at_ms)
        elif _length([*self._words, word]) > CUE_CHARS:
            done = [self._break(word.at_ms)]
        self._words.append(word)
        return done

    def finish(self, at_ms: int) -> list[Cue]:
        """End the cue because the speaker is silent from `at_ms` on; return it."""
        words, self._words = self._words, []
        return [self._cue(words, at_ms)] if words else []

    def _is_complete(self, coming: Word) -> bool:
        last, length = self._words[-1], _length(self._words)
        if coming.at_ms - last.at_ms > PAUSE_MS or coming.at_ms - self._words[0].at_ms > LONGEST_CUE_MS:
            return True
        if _SENTENCE_END.search(last.text):
            return length >= CLAUSE_CHARS
        return bool(_CLAUSE_END.search(last.text)) and length > LINE_CHARS

    def _break(self, at_ms: int) -> Cue:
        """End the cue because the next word does not fit: after its last clause, if it has one."""
        cut = _last_clause(self._words) or len(self._words)
        words, self._words = self._words[:cut], self._words[cut:]
        return self._cue(words, self._words[0].at_ms if self._words else at_ms)

    def _cue(self, words: list[Word], until_ms: int) -> Cue:
        end_ms = max(words[0].at_ms + 1, min(until_ms, words[-1].at_ms + PAUSE_MS))
        return Cue(
            self._speaker, words[0].at_ms, end_ms, join_units((word.text, word.joined) for word in words)
        )


def spread(speaker: str, text: str, start_ms: int, end_ms: int) -> list[Cue]:
    """The cues of an utterance without word times."""
    maker, cues, total = CueMaker(speaker), list[Cue](), max(1, len(text))
    for unit in units(text):
        at_ms = start_ms + (end_ms - start_ms) * unit.start // total
        cues += maker.word(Word(unit.text, at_ms, unit.joined))
    # The last word of a long utterance may be shown for longer than PAUSE_MS.
    return [*cues, *(replace(cue, end_ms=max(end_ms, cue.start_ms + 1)) for cue in maker.finish(end_ms))]


def to_read(speaker: str, text: str, at_ms: int) -> list[Cue]:
    """The cues of a text that is only shown, for as long as reading it takes."""
    takes_ms = max(SHORTEST_READING_MS, READING_MS_PER_CHAR * len(text))
    return spread(speaker, text, at_ms, at_ms + takes_ms)


def lines(text: str) -> list[str]:
    """A cue's text as one line or two of similar length, preferably split at a clause near the middle."""
    if len(text) <= LINE_CHARS:
        return [text]
    cuts = [unit.start for unit in units(text)[1:]]
    fitting = [at for at in cuts if len(text[:at].rstrip()) <= LINE_CHARS and len(text) - at <= LINE_CHARS]
    if not cuts:
        return [text]
    middle = len(text) / 2

    def badness(at: int) -> float:
        return abs(at - middle) - (8 if _CLAUSE_END.search(text[:at].rstrip()) else 0)

    at = min(fitting or cuts, key=badness)
    return [text[:at].rstrip(), text[at:]]


def srt(number: int, cue: Cue, name: str) -> str:
    """One cue of a SubRip file, followed by an empty line."""
    text = "\n".join(lines(_clean(f"{name}: {cue.text}" if name else cue.text)))
    return f"{number}\n{_time(cue.start_ms, ',')} --> {_time(cue.end_ms, ',')}\n{text}\n\n"


VTT_HEADER = "WEBVTT\n\n"


def vtt(cue: Cue, name: str) -> str:
    """One cue of a WebVTT file (https://www.w3.org/TR/webvtt1/), followed by an empty line."""
    text = "\n".join(html.escape(line, quote=False) for line in lines(_clean(cue.text)))
    voice = f"<v {html.escape(_clean(name), quote=False)}>" if name else ""
    return f"{_time(cue.start_ms, '.')} --> {_time(cue.end_ms, '.')}\n{voice}{text}\n\n"


def in_order(cues: Iterable[Cue]) -> list[Cue]:
    """Cues sorted by start time, as players expect."""
    return sorted(cues, key=lambda cue: (cue.start_ms, cue.end_ms))


def _time(ms: int, point: str) -> str:
    seconds, rest = divmod(max(0, ms), 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"


def _clean(text: str) -> str:
    """Text without anything that could be parsed as the file's syntax."""
    return " ".join(text.replace("-->", "→").split())


def _length(words: list[Word]) -> int:
    return sum(len(word.text) + (not word.joined) for word in words) - 1


def _last_clause(words: list[Word]) -> int:
    """The number of words up to the end of the last clause long enough for a cue; 0 if there is none."""
    for count in range(len(words) - 1, 0, -1):
        if _CLAUSE_END.search(words[count - 1].text) and _length(words[:count]) >= CLAUSE_CHARS:
            return count
    return 0


FORMATS = (".srt", ".vtt")


class Subtitles(FrameProcessor):
    """Makes subtitles of a call: the bot's words as they are heard, and the caller's transcripts.

    Place it after `transport.output()`. Each cue is pushed as a `SubtitleFrame` that grows word by word; RTVI
    sends it to the page (`server-message` with `type` "subtitle").

    Args:
        paths: files to write, `.srt` or `.vtt`; their folders are created. Cues are appended during the call
            and sorted at its end.
        user: the caller's name in the files; "" leaves it out.
        bot: the bot's name in the files; "" leaves it out.
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
        """The complete cues, in order."""
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
                await self._complete(to_read("bot", frame.text, self._ms(self.processor_setup.clock())))
            case UserStartedSpeakingFrame(at=at):
                self._utterance = [at, at]
            case UserStoppedSpeakingFrame(at=at):
                self._utterance[1] = at
            case InterimTranscriptionFrame() | TranscriptionFrame() if frame.text.strip():
                await self._user_said(frame)
            case StartFrame():
                self._begin = self.processor_setup.clock()
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
            await self._push_cue(growing, final=False)

    async def _user_said(self, frame: TranscriptionFrame | InterimTranscriptionFrame) -> None:
        since, until = map(self._ms, self._utterance)
        final = isinstance(frame, TranscriptionFrame)
        until = until if until > since else self._ms(self.processor_setup.clock())
        cues = spread("user", frame.text, since, until)
        if final:
            await self._complete(cues)
        else:
            await self._push_cue(cues[-1], final=False)

    async def _complete(self, cues: list[Cue]) -> None:
        for cue in cues:
            self._cues.append(cue)
            await self._push_cue(cue, final=True)
        if cues:
            await self._write(*cues)

    async def _push_cue(self, cue: Cue, *, final: bool) -> None:
        await self.push_frame(SubtitleFrame(cue.speaker, cue.text, cue.start_ms, cue.end_ms, final))

    # ------------------------------------------------------------ to disk

    async def cleanup(self) -> None:
        self._cues += self._maker.finish(self._ms(self.processor_setup.clock()))
        await self._write(*self.cues, begin=True, first=1)

    async def _write(self, *cues: Cue, begin: bool = False, first: int | None = None) -> None:
        if not self.paths:
            return
        first = first or len(self._cues) - len(cues) + 1
        try:
            await asyncio.to_thread(self._write_all, cues, begin, first)
        except OSError as error:
            self.paths.clear()
            await self.push_error(f"Subtitles cannot write, so this call has no subtitle files: {why(error)}")

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
