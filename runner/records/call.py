"""One recorded call, with all that is derived from it: sound, answers, lanes, words."""

from __future__ import annotations

from functools import cached_property
from statistics import median
from typing import Any

import numpy as np

from runner.records.answers import Answer, answers_of
from runner.records.folder import NoRecordError, RecordError
from runner.records.record import Record
from runner.records.sound import CallSound, Samples, decode, place_arriving, place_played, together
from runner.records.timeline import Span, Word, spans_of, words_of

LONGEST_DELAY_S = 1.0


class RecordedCall(Record):
    """A record and what is derived from it.

    Raises:
        RecordError: there is no record, or it cannot be read at all.
    """

    @cached_property
    def sound(self) -> CallSound:
        """Both channels, as they were heard.

        Raises:
            NoRecordError: there is no sound.
            RecordError: it cannot be decoded.
        """
        caller, bot = self._channel("inbound"), self._channel("outbound")
        if caller is None and bot is None:
            if self.head.get("content") == "none":
                raise NoRecordError(f"{self.id} was recorded without sound (--record-content none)")
            raise NoRecordError(f"{self.id} has no sound: the media files are missing or empty")
        nothing = (np.zeros(0, np.int16), (caller or bot or (None, 8000))[1])
        return together(caller or nothing, bot or nothing, self.head.get("duration_s"))

    @property
    def sound_or_none(self) -> CallSound | None:
        """The sound; None, and a problem, if there is none."""
        try:
            return self.sound
        except RecordError as error:
            if self.head.get("content") != "none":
                self._note(str(error))
            return None

    @cached_property
    def answers(self) -> list[Answer]:
        """The bot's answers with the silence before them."""
        return answers_of(self.events, self.sound_or_none)

    @cached_property
    def spans(self) -> list[Span]:
        """The bars of the timeline."""
        return spans_of(self.events, self.duration_s)

    @cached_property
    def words(self) -> list[Word]:
        """What was said."""
        return words_of(self.events)

    @property
    def duration_s(self) -> float:
        """Length of the call (s), so far or as far as it is known."""
        return self.summary.duration_s or (float(self.events[-1]["t"]) if self.events else 0.0)

    def detail(self) -> dict[str, Any]:
        """`CallDetail` of `docs/records.md`."""
        sound = self.sound_or_none
        found = {
            "call": {**self.head, "id": self.id, "state": self.state},
            "summary": self.summary.as_dict(),
            "sound": None
            if sound is None
            else {
                "sample_rate": sound.sample_rate,
                "duration_s": round(sound.duration_s, 4),
                "caller": bool(np.any(sound.caller)),
                "bot": bool(np.any(sound.bot)),
            },
            "events": len(self.events),
            "messages": len(self.wire),
            "answers": [answer.as_dict() for answer in self.answers],
            "spans": [span.as_dict() for span in self.spans],
            "words": [word.as_dict() for word in self.words],
        }
        return {**found, "problems": self.problems}

    def _channel(self, side: str) -> tuple[Samples, int] | None:
        """One direction's samples and rate (Hz)."""
        try:
            media, encoding, rate = self.media(side)
            pieces, rate = decode(self.wire, media, encoding, rate, inbound=side == "inbound")
        except NoRecordError:
            return None
        except (ValueError, ImportError) as error:
            raise RecordError(f"{self.id}: the {side} sound cannot be decoded: {error}") from None
        if side == "inbound":
            return place_arriving(pieces, rate), rate
        if encoding == "opus":
            placed = place_arriving(pieces, rate, at_end=False)
            lead = np.zeros(round(self._listener_delay_s() * rate), np.int16)
            return np.concatenate([lead, placed]), rate
        played = place_played(pieces, rate, self._listener_delay_s())
        ended = self.head.get("duration_s")  # what was on its way then was not heard
        return (played if ended is None else played[: round(ended * rate)]), rate

    def _listener_delay_s(self) -> float:
        """How long the bot's sound was on its way, as the session measured it: from sending to hearing."""
        delays, sent = [], None
        for event in self.events:
            if event["kind"] == "sound_sent":
                sent = float(event["t"])
            elif event["kind"] == "bot_started" and sent is not None:
                delays.append(float(event["t"]) - sent)
                sent = None
        return min(max(median(delays), 0.0), LONGEST_DELAY_S) if delays else 0.0
