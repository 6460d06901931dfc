"""Checks a scenario's expectations. Each check waits as long as the expectation can still be met."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from runner.callers.call_report import (
    TALKS_ON_S,
    CallerSpan,
    answer_latency,
    bot_spans,
    caller_spans,
    stop_latency,
    talks_on,
)
from runner.callers.scenario.steps import Expect
from runner.callers.sound.microphone import Manner
from runner.callers.talk import Talk


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an expectation was met; the sentence says what was observed."""

    met: bool
    sentence: str


async def check(expect: Expect, talk: Talk) -> list[Verdict]:
    """Check everything that the step expects."""
    return [verdict async for verdict in _verdicts(expect, talk)]


async def _verdicts(expect: Expect, talk: Talk) -> AsyncIterator[Verdict]:
    if expect.greeting_within_s is not None:
        yield await _greeting(talk, expect.greeting_within_s)
    if expect.answer_within_s is not None:
        yield await _answer(talk, expect.answer_within_s)
    if expect.stops_within_s is not None:
        yield await _stops(talk, expect.stops_within_s)
    if expect.keeps_talking is not None:
        yield await _keeps_talking(talk, expect.keeps_talking)
    for text in expect.understood:
        yield await _understood(talk, text, expect.within_s)
    for word in expect.words:
        yield await _words(talk, word, expect.within_s)
    if expect.keys is not None:
        yield await _keys(talk, expect.keys, expect.within_s)
    if expect.hangs_up is not None:
        yield await _hangs_up(talk, expect.hangs_up, expect.within_s)
    if expect.violations is not None:
        yield _at_most(len(talk.phone.log.violations), expect.violations, "messages against the rules")
    if expect.underruns is not None:
        yield _underruns(talk, expect.underruns)


def _at_most(seen: int, most: int, what: str) -> Verdict:
    return Verdict(seen <= most, f"{seen} {what}" + ("" if seen <= most else f", {most} are allowed"))


def _underruns(talk: Talk, most: int) -> Verdict:
    """Count underruns, except those no longer than the phone's own lateness, which may have caused them."""
    late_s = max(talk.phone.log.late_s, default=0.0)
    found = [underrun.duration_s for underrun in talk.phone.playout.underruns]
    short = sum(duration_s <= late_s for duration_s in found)
    verdict = _at_most(len(found) - short, most, "underruns in the bot's speech")
    if not short:
        return verdict
    also = f"; {short} more, no longer than this phone itself was late ({late_s * 1000:.0f} ms), do not count"
    return Verdict(verdict.met, verdict.sentence + also)


def _within(what: str, seen_s: float | None, limit_s: float) -> Verdict:
    if seen_s is None:
        return Verdict(False, f"{what}: not within {limit_s:g} s")
    instead = "" if seen_s <= limit_s else f", not {limit_s * 1000:g} ms"
    return Verdict(seen_s <= limit_s, f"{what} {seen_s * 1000:.0f} ms{instead}")


async def _measured(talk: Talk, figure: Callable[[], float | None], limit_s: float) -> float | None:
    await talk.phone.until(lambda: figure() is not None, limit_s)
    return figure()


async def _greeting(talk: Talk, limit_s: float) -> Verdict:
    def figure() -> float | None:
        spans = bot_spans(talk.phone)
        return spans[0].begin if spans else None

    left_s = limit_s - (talk.phone.now - talk.phone.started_at)
    return _within("the greeting came after", await _measured(talk, figure, left_s), limit_s)


def _last(talk: Talk, *manners: Manner) -> CallerSpan | None:
    return next((said for said in reversed(caller_spans(talk.phone)) if said.manner in manners), None)


def _since_start(talk: Talk) -> float:
    return talk.phone.now - talk.phone.started_at


async def _answer(talk: Talk, limit_s: float) -> Verdict:
    said = _last(talk, Manner.TURN, Manner.INTERRUPTION)
    if said is None:
        return Verdict(False, "the caller has said nothing that could be answered")
    seen = await _measured(
        talk,
        lambda: answer_latency(said, float("inf"), bot_spans(talk.phone)),
        limit_s - (_since_start(talk) - said.end),
    )
    return _within("the answer came after", seen, limit_s)


async def _stops(talk: Talk, limit_s: float) -> Verdict:
    said = _last(talk, Manner.INTERRUPTION, Manner.TURN)
    if said is None or stop_latency(said, bot_spans(talk.phone)) is None:
        return Verdict(True, "there was nothing to stop: the caller has not spoken over the bot")
    # Wait a moment longer: the bot may only pause between words.
    await talk.phone.until(lambda: talk.phone.bot_quiet_s() > 0.7, limit_s + 0.7)
    return _within("the bot fell silent after", stop_latency(said, bot_spans(talk.phone)), limit_s)


async def _keeps_talking(talk: Talk, wanted: bool) -> Verdict:
    said = _last(talk, Manner.MURMUR)
    if said is None:
        return Verdict(False, "the caller has not murmured")

    def heard() -> bool:
        return talks_on(said, bot_spans(talk.phone))

    await talk.phone.until(heard, said.end + TALKS_ON_S[1] - _since_start(talk))
    sentence = "the bot talked on" if heard() else "the bot fell silent at a murmur"
    return Verdict(heard() == wanted, sentence)


async def _words(talk: Talk, wanted: str, within_s: float) -> Verdict:
    last = _last(talk, Manner.TURN, Manner.INTERRUPTION)
    since = talk.phone.started_at + (last.begin if last else 0.0)

    def heard() -> str:
        return _plain(" ".join(word for at, word in talk.words if at >= since))

    await talk.phone.until(lambda: _plain(wanted) in heard(), within_s)
    if not talk.knows_words:
        return Verdict(False, f"{wanted!r} could not be checked: a bot's words are known on its own machine")
    met = _plain(wanted) in heard()
    return Verdict(met, f"the bot said {wanted!r}" if met else f"the bot did not say {wanted!r}: {heard()!r}")


async def _understood(talk: Talk, wanted: str, within_s: float) -> Verdict:
    last = _last(talk, Manner.TURN, Manner.INTERRUPTION, Manner.MURMUR)
    if last is None:
        return Verdict(False, "the caller has said nothing that could be understood")
    since = talk.phone.started_at + last.begin

    def understood() -> str:
        return _plain(" ".join(text for at, text in talk.understood if at >= since))

    def known() -> bool:
        if wanted:
            return f" {_plain(wanted)} " in f" {understood()} "
        return any(at >= since for at, _ in talk.understood)

    await talk.phone.until(known, within_s)
    if not talk.knows_words:
        return Verdict(False, f"{last.text!r}: what the bot understood is known on its own machine only")
    met = known() if wanted else not understood()
    seen = f"{understood()!r}" if understood() else "nothing"
    instead = "" if met else f", expected {wanted!r}" if wanted else ", expected nothing"
    return Verdict(met, f"{last.text!r} was understood as {seen}{instead}")


async def _keys(talk: Talk, wanted: str, within_s: float) -> Verdict:
    await talk.phone.until(lambda: wanted in talk.phone.log.keys, within_s)
    seen = talk.phone.log.keys
    return Verdict(wanted in seen, f"the bot pressed {seen or 'nothing'}")


async def _hangs_up(talk: Talk, wanted: bool, within_s: float) -> Verdict:
    await talk.phone.until(talk.phone.ended.is_set, within_s)
    hung_up = talk.phone.ended_by == "bot"
    return Verdict(hung_up == wanted, "the bot hung up" if hung_up else "the bot did not hang up")


def _plain(text: str) -> str:
    """The words in lower case, without punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold()))
