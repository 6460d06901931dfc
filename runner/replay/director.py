"""Decides, sample by sample, what the caller of a replay does: each recorded action when it is due. Pure.

The recorded sound of an action plays on until the next one is due. If that is later than it was, the room's
hush fills the time; if it is earlier, the rest of the silence is left out. Times are seconds since the call
was answered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from runner.callers.sound.bot_sound import Span
from runner.records.sound import Samples
from runner.replay.clip import Action, Clip, When

SHORTER_S = 1.2
"""A bot that is silent for so long has nothing more to say, though it said more in the recorded call."""

PATIENCE_S = 8.0
"""How much longer (s) than in the recorded call the caller waits for a bot that says nothing."""

HANG_UP_PATIENCE_S = 5.0
"""The same for a bot that should hang up."""

VAD_WINDOW_MS = 32
"""The VADs of botrun and Pipecat look at pieces of this length. Speech that begins at another place of a
piece, or of a packet, is noticed up to a whole one earlier or later: so it begins at the same place."""

GOES_ON_S = 0.06
"""A bot that was heard so long (s) ago is still speaking."""


@dataclass(frozen=True, slots=True)
class Done:
    """An action was done at `at` (s). `note`: a sentence, where it was not done as in the recorded call."""

    action: Action
    at: float
    note: str = ""


class Schedule(Protocol):
    """When actions are due, and what is heard of the caller meanwhile."""

    def take(self, from_s: float, to_s: float, bot: Sequence[Span]) -> tuple[Samples, list[Done]]:
        """The caller's sound between two times, and what they do in it. `bot`: when the bot was heard."""


class Turns:
    """Each action when it is the caller's turn again, as it was in the recorded call.

    Args:
        clip: the recorded caller.
        packet_ms: how much sound a packet of the wire carries.
    """

    def __init__(self, clip: Clip, packet_ms: int = 20) -> None:
        self._clip = clip
        self._packet_ms = packet_ms
        self._left = list(clip.actions)
        self._begun, self._done = 0.0, -clip.stream_s  # of the last action
        self._recorded_done = 0.0
        self._block_live, self._block_recorded = 0.0, clip.stream_s  # where the sound that plays began

    def take(self, from_s: float, to_s: float, bot: Sequence[Span]) -> tuple[Samples, list[Done]]:
        """As `Schedule.take`."""
        parts: list[Samples] = []
        fired: list[Done] = []
        at = from_s
        while self._left and (due := self._due(self._left[0], to_s, bot)) is not None:
            begin = self._aligned(self._left[0], max(due[0], at))
            if begin >= to_s:
                break
            parts.append(self._sound(at, begin))
            at = begin
            fired.append(Done(self._left.pop(0), begin, due[1]))
            self._began(fired[-1])
        parts.append(self._sound(at, to_s))
        return self._exactly(np.concatenate(parts), to_s - from_s), fired

    def _began(self, done: Done) -> None:
        action = done.action
        self._begun = done.at
        self._done = max(self._done, done.at + action.ends_s - action.at_s)
        self._recorded_done = max(self._recorded_done, action.ends_s)
        if action.what == "speech":
            self._block_live, self._block_recorded = done.at, action.at_s

    def _aligned(self, action: Action, at: float) -> float:
        """The next time (s) at which an action has the same place in a packet and in a VAD's window as
        it did. Speech over the bot is not put off for that longer than need be, and what follows an action by
        the clock not at all."""
        if action.when is When.CLOCK:
            return at
        over = VAD_WINDOW_MS if self._packet_ms <= VAD_WINDOW_MS else self._packet_ms
        step_ms = over if action.when is When.OVER else math.lcm(VAD_WINDOW_MS, self._packet_ms)
        rate, step = self._clip.sample_rate, step_ms * self._clip.sample_rate // 1000
        recorded = round((action.at_s - self._clip.stream_s) * rate)
        position = math.ceil(at * rate - 1e-6)
        return (position + (recorded - position) % step) / rate

    # ------------------------------------------------------------ when

    def _due(self, action: Action, now: float, bot: Sequence[Span]) -> tuple[float, str] | None:
        """When this is due, with a note; None while that is not known."""
        patience_s = HANG_UP_PATIENCE_S if action.what == "wait_for_hang_up" else 0.0
        note = "the bot did not hang up: the caller did" if patience_s else ""
        match action.when:
            case When.CLOCK:
                return self._done + action.seconds + patience_s, note
            case When.SILENCE:
                due = self._after_silence(action, bot, action.seconds + patience_s)
            case When.OVER:
                due = self._over(action, now, bot)
        if due is None:
            waited_s = action.at_s - self._recorded_done + PATIENCE_S
            said = f"the bot was silent for {waited_s:.1f} s: the caller went on"
            return (self._done + waited_s, said) if self._is_silent(bot) else None
        return due if due[1] or not note else (due[0], note)

    def _is_silent(self, bot: Sequence[Span]) -> bool:
        """Whether the bot has not been heard since the caller's last action."""
        return not bot or bot[-1].end <= self._done

    def _after_silence(self, action: Action, bot: Sequence[Span], quiet_s: float) -> tuple[float, str] | None:
        if self._is_silent(bot):
            return None
        fewer = len(self._new(bot)) < action.spans
        return bot[-1].end + (max(quiet_s, SHORTER_S) if fewer else quiet_s), ""

    def _over(self, action: Action, now: float, bot: Sequence[Span]) -> tuple[float, str] | None:
        spoken_s = 0.0
        new = self._new(bot)
        for span in new:
            going_on = span is bot[-1] and now - span.end <= GOES_ON_S
            end = now if going_on else span.end
            if spoken_s + end - span.begin >= action.seconds:
                return span.begin + action.seconds - spoken_s, ""
            spoken_s += span.duration_s
        if not new:
            return None
        note = f"the bot said less than the {action.seconds:.1f} s before the caller spoke over it"
        return new[-1].end + SHORTER_S, note

    def _new(self, bot: Sequence[Span]) -> list[Span]:
        """What the bot began to say since the caller's last action."""
        return [span for span in bot if span.begin >= self._begun]

    # ------------------------------------------------------------ what is heard

    def _sound(self, from_s: float, to_s: float) -> Samples:
        clip, rate = self._clip, self._clip.sample_rate
        count = max(0, round(to_s * rate) - round(from_s * rate))
        begin = round(self._block_recorded * rate) + round(from_s * rate) - round(self._block_live * rate)
        end = min(begin + count, self._block_end())
        recorded = clip.pcm[max(begin, 0) : max(end, begin, 0)]
        missing = count - len(recorded)
        if missing <= 0:
            return recorded[:count]
        offset = begin + len(recorded)  # goes on from call to call, so that the hush has no seams
        hush = np.take(clip.room, np.arange(offset, offset + missing), mode="wrap")
        return np.concatenate([recorded, hush])

    def _block_end(self) -> int:
        """Where the recorded sound that may play ends: at the next thing that the caller says."""
        later = (each.at_s for each in self._left if each.what == "speech")
        until = next(later, None)
        return len(self._clip.pcm) if until is None else round(until * self._clip.sample_rate)

    def _exactly(self, pcm: Samples, seconds: float) -> Samples:
        """Rounding may cost a sample."""
        count = round(seconds * self._clip.sample_rate)
        return pcm[:count] if len(pcm) >= count else np.pad(pcm, (0, count - len(pcm)))


class Exact:
    """Everything at its recorded time, whatever the bot does.

    Args:
        clip: the recorded caller.
    """

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._left = list(clip.actions)

    def take(self, from_s: float, to_s: float, bot: Sequence[Span]) -> tuple[Samples, list[Done]]:
        """As `Schedule.take`."""
        fired: list[Done] = []
        while self._left and self._at(self._left[0]) < to_s:
            action = self._left.pop(0)
            note = "the bot did not hang up: the caller did" if action.what == "wait_for_hang_up" else ""
            fired.append(Done(action, self._at(action), note))
        count = round((to_s - from_s) * self._clip.sample_rate)
        stream_s = self._clip.stream_s
        pcm = self._clip.sound(from_s + stream_s, to_s + stream_s)[:count]
        return np.pad(pcm, (0, count - len(pcm))), fired

    def _at(self, action: Action) -> float:
        at = action.at_s - self._clip.stream_s
        return at + (HANG_UP_PATIENCE_S if action.what == "wait_for_hang_up" else 0.0)


def schedule_of(clip: Clip, mode: str, packet_ms: int) -> Schedule:
    """The schedule of a mode, "turns" or "exact", on a wire whose packets carry so much sound."""
    return Exact(clip) if mode == "exact" else Turns(clip, packet_ms)
