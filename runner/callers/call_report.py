"""The figures of a call, measured from its audio: pure. Times are seconds since the start of the call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import ceil, inf
from typing import Any

from runner.callers.phone import Phone
from runner.callers.sound.bot_sound import Span
from runner.callers.sound.microphone import Manner

DEAD_AIR_S = 2.0
"""A longer silence of both sides is dead air."""

BREATH_S = 0.6
"""A pause up to this long does not count as the bot's stop."""

STOPPED_WITHIN_S = 3.0
"""Maximum time (s) for the bot to fall silent after an interruption; later, it has not stopped for it."""

TALKS_ON_S = (0.3, 1.5)
"""The bot talked on if it is heard in this range after a backchannel, perhaps after a pause to listen."""

TALKED_OVER_S = 0.3
"""Minimum overlap; a shorter one is two people who start at the same time."""

TRUSTED_P99_MS, TRUSTED_MAX_MS = 10.0, 50.0
"""Maximum lateness of the phone itself at which its figures are trusted."""


@dataclass(frozen=True, slots=True)
class CallerSpan:
    """The caller spoke from `begin` to `end`."""

    begin: float
    end: float
    manner: Manner = Manner.TURN
    text: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured latency (ms): number of samples, p50 and p95."""

    n: int
    p50_ms: float | None
    p95_ms: float | None

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Figure:
        found = sorted(seconds)
        if not found:
            return cls(0, None, None)
        return cls(len(found), _ms(quantile(found, 0.5)), _ms(quantile(found, 0.95)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The figures of one call; None if there was nothing to measure. Field names carry the unit.

    Attributes:
        turn_latency: from the end of the caller's speech to the bot's first audio.
        stop_latency: from the start of the caller's speech over the bot to the bot's silence.
        not_stopped: interruptions for which the bot did not stop.
        talked_on: number of backchannels during which the bot talked on, and number of backchannels.
        overlap_s: time in which both spoke.
        dead_air_s: time in silences of both sides of more than 2 s.
        lost_ms: audio that the bot sent but that was not played, because it hung up first.
        repeated_ms: audio that the bot sent twice.
        hang_up_ms: from the bot's last audio to its hang-up.
        holes, hole_ms: silences of 0.3 to 2 s within a sound of the bot.
        messages_twice: media messages that the bot sent twice.
        ahead_ms: the most audio that was queued at the provider.
        talked_over: how often the bot started to speak during a turn of the caller.
        phone_late_ms: how late the phone's own messages left (p50, p99, maximum).
        trusted: whether the phone was punctual enough for the other figures to be valid.
    """

    duration_s: float
    ended_by: str
    close_code: int | None
    greeting_ms: float | None
    turn_latency: Figure
    turn_latencies_ms: tuple[float, ...]
    stop_latency: Figure
    stop_latencies_ms: tuple[float, ...]
    not_stopped: int
    talked_on: tuple[int, int]
    overlap_s: float
    dead_air_s: float
    longest_silence_s: float
    underruns: int
    underrun_ms: float
    lost_ms: float
    repeated_ms: float
    hang_up_ms: float | None
    caller_messages_lost: int
    keys: str
    violations: tuple[str, ...]
    phone_late_ms: tuple[float, float, float]
    trusted: bool
    bot_speech_s: float = 0.0
    caller_speech_s: float = 0.0
    holes: int = 0
    hole_ms: float = 0.0
    messages_twice: int = 0
    ahead_ms: float = 0.0
    talked_over: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


# ------------------------------------------------------------------ from spans to figures


def answer_latency(said: CallerSpan, following: float, bot: Sequence[Span]) -> float | None:
    """From the end of the caller's speech to the bot's next audio; negative if the bot started before the
    caller had finished, and went on. `following` is when the caller spoke next."""
    over = any(span.begin <= said.begin < span.end for span in bot)
    earliest = said.end if over else said.begin
    answers = (span for span in bot if earliest < span.begin < following and span.end > said.end)
    answer = next(answers, None)
    return None if answer is None else answer.begin - said.end


def stop_latency(said: CallerSpan, bot: Sequence[Span]) -> float | None:
    """From the start of the caller's speech to the bot's silence; None if the bot was not speaking."""
    index = next((i for i, span in enumerate(bot) if span.begin < said.begin < span.end), None)
    if index is None:
        return None
    end = bot[index].end
    for span in bot[index + 1 :]:
        if span.begin - end > BREATH_S or span.begin > said.end:
            break
        end = span.end
    return end - said.begin


def turn_latencies(caller: Sequence[CallerSpan], bot: Sequence[Span]) -> list[float]:
    """The latencies of all answered turns and interruptions."""
    spoken = [said for said in caller if said.manner is not Manner.MURMUR]
    following = [*(said.begin for said in spoken[1:]), inf]
    found = (answer_latency(said, until, bot) for said, until in zip(spoken, following, strict=False))
    return [latency for latency in found if latency is not None]


def stop_latencies(caller: Sequence[CallerSpan], bot: Sequence[Span]) -> list[float]:
    """The stop latencies of all speech over the bot except backchannels."""
    found = (stop_latency(said, bot) for said in caller if said.manner is not Manner.MURMUR)
    return [latency for latency in found if latency is not None]


def talks_on(murmur: CallerSpan, bot: Sequence[Span]) -> bool:
    """Whether the bot talked on after a backchannel."""
    after, until = TALKS_ON_S
    return any(span.begin < murmur.end + until and span.end > murmur.end + after for span in bot)


def talked_on(caller: Sequence[CallerSpan], bot: Sequence[Span]) -> tuple[int, int]:
    """Number of backchannels over the bot during which it talked on, and number of all of them."""
    over = [
        said
        for said in caller
        if said.manner is Manner.MURMUR and any(span.begin < said.begin < span.end for span in bot)
    ]
    return sum(talks_on(said, bot) for said in over), len(over)


def talked_over(caller: Sequence[CallerSpan], bot: Sequence[Span]) -> int:
    """How often the bot started to speak during a turn of the caller, for 0.3 s or more."""
    return sum(
        said.manner is Manner.TURN
        and said.begin + TALKED_OVER_S < span.begin < said.end - TALKED_OVER_S
        and span.duration_s >= TALKED_OVER_S
        for said in caller
        for span in bot
    )


def overlap_s(caller: Iterable[CallerSpan], bot: Sequence[Span]) -> float:
    """Time (s) in which both spoke."""
    pairs = ((said, span) for said in caller for span in bot)
    return sum(max(0.0, min(said.end, span.end) - max(said.begin, span.begin)) for said, span in pairs)


def silences(caller: Iterable[CallerSpan], bot: Iterable[Span], end: float) -> list[float]:
    """The lengths (s) of the silences of both sides, from the start of the call to its end."""
    found, until = [], 0.0
    times = [(said.begin, said.end) for said in caller] + [(span.begin, span.end) for span in bot]
    for begin, finish in sorted(times):
        if begin > until:
            found.append(begin - until)
        until = max(until, finish)
    return [*found, max(0.0, end - until)]


# ------------------------------------------------------------------ a call


def caller_spans(phone: Phone) -> list[CallerSpan]:
    """The caller's utterances that have started so far."""
    rate = phone.sample_rate
    return [
        CallerSpan(u.begin / rate, u.end / rate, u.manner, u.text)
        for u in phone.microphone.utterances
        if u.begin is not None and u.end is not None
    ]


def bot_spans(phone: Phone) -> list[Span]:
    """The bot's speech heard so far."""
    start = phone.started_at
    return [Span(span.begin - start, span.end - start) for span in phone.speech.spans]


def lateness_ms(late_s: Iterable[float]) -> tuple[float, float, float]:
    """p50, p99 and maximum (ms)."""
    ordered = sorted(late_s) or [0.0]
    return _ms(quantile(ordered, 0.5)), _ms(quantile(ordered, 0.99)), _ms(ordered[-1])


def measure(phone: Phone) -> Report:
    """The report of a finished call."""
    caller, bot, log = caller_spans(phone), bot_spans(phone), phone.log
    end = (phone.ended_at or phone.now) - phone.started_at
    turns, stops = turn_latencies(caller, bot), stop_latencies(caller, bot)
    stopped = [latency for latency in stops if latency <= STOPPED_WITHIN_S]
    quiet, late = silences(caller, bot, end), lateness_ms(log.late_s)
    hung_up = phone.ended_by == "bot" and bool(bot)
    return Report(
        duration_s=round(end, 3),
        ended_by=phone.ended_by,
        close_code=phone.close[0],
        greeting_ms=_ms(bot[0].begin) if bot else None,
        turn_latency=Figure.of(turns),
        turn_latencies_ms=tuple(map(_ms, turns)),
        stop_latency=Figure.of(stopped),
        stop_latencies_ms=tuple(map(_ms, stopped)),
        not_stopped=len(stops) - len(stopped),
        talked_on=talked_on(caller, bot),
        overlap_s=round(overlap_s(caller, bot), 3),
        dead_air_s=round(sum(s for s in quiet if s > DEAD_AIR_S), 3),
        longest_silence_s=round(max(quiet), 3),
        underruns=len(phone.playout.underruns),
        underrun_ms=_ms(sum(hole.duration_s for hole in phone.playout.underruns)),
        lost_ms=_ms(log.unplayed_s),
        repeated_ms=_ms(phone.repeats.repeated_s),
        hang_up_ms=_ms(end - bot[-1].end) if hung_up else None,
        caller_messages_lost=log.lost,
        keys=log.keys,
        violations=tuple(dict.fromkeys(log.violations)),
        holes=len(phone.faults.holes_s),
        hole_ms=_ms(sum(phone.faults.holes_s)),
        messages_twice=phone.faults.twins if phone.faults.sent_twice else 0,
        ahead_ms=_ms(phone.faults.ahead_s),
        talked_over=talked_over(caller, bot),
        phone_late_ms=late,
        trusted=late[1] <= TRUSTED_P99_MS and late[2] <= TRUSTED_MAX_MS,
        bot_speech_s=round(sum(span.duration_s for span in bot), 3),
        caller_speech_s=round(sum(said.end - said.begin for said in caller), 3),
    )
