"""The page's modules that only reckon, each run alone in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browsing import ASSETS, Visit, botrun

pytestmark = [pytest.mark.processes, pytest.mark.browser]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with botrun(ASSETS / "talkative_bot.py") as found:
        yield found


LATENCY = """
async (readings) => {
  const { Latency } = await import("/page/latency.js");
  const latency = new Latency(), seen = [];
  for (const name of ["turn", "stop", "bot-sound"])
    latency.addEventListener(name, ({ detail }) => seen.push([name, Math.round(detail)]));
  for (const [at, what, ...more] of readings)
    what === "hear" ? latency.hear(at, ...more) : latency[what](at, ...more);
  return seen;
}
"""
QUIET, LOUD = -90, -20


def hear(start: int, end: int, you: int, bot: int) -> list[list[object]]:
    return [[at, "hear", you, bot] for at in range(start, end, 20)]


async def latency(visit: Any, address: str, *readings: list[object]) -> list[list[object]]:
    here: Visit = await visit(address)
    result: list[list[object]] = await here.page.evaluate(LATENCY, list(readings))
    return result


async def test_a_turn_is_counted_from_the_last_word_not_from_its_notice(visit: Any, address: str) -> None:
    result = await latency(
        visit,
        address,
        *hear(0, 400, QUIET, QUIET),
        *hear(400, 1000, LOUD, QUIET),  # the last loud moment is 980
        *hear(1000, 1300, QUIET, QUIET),
        [1300, "userStopped"],
        *hear(1300, 1600, QUIET, QUIET),
        *hear(1600, 1700, QUIET, LOUD),
    )
    assert result == [["bot-sound", 1600], ["turn", 620]]


async def test_a_typed_turn_is_counted_from_its_sending(visit: Any, address: str) -> None:
    result = await latency(visit, address, [500, "typed"], *hear(700, 760, QUIET, LOUD))
    assert result == [["bot-sound", 700], ["turn", 200]]


@pytest.mark.parametrize("bot_speaks", [True, False])
async def test_cutting_in_is_counted_until_the_bot_is_silent(
    bot_speaks: bool, visit: Any, address: str
) -> None:
    """Whichever news comes first: that the person speaks, or that the bot was cut."""
    result = await latency(
        visit,
        address,
        *hear(0, 1000, QUIET, LOUD),
        *hear(1000, 1200, LOUD, LOUD),  # cut in at 1000
        [1200, "userStarted", bot_speaks],
        *hear(1200, 1260, LOUD, LOUD),  # last heard at 1240
        *hear(1260, 1500, LOUD, QUIET),
    )
    assert result == [["bot-sound", 0], ["stop", 240]]


async def test_speaking_into_silence_cuts_nothing_off(visit: Any, address: str) -> None:
    result = await latency(visit, address, [100, "userStarted", False], *hear(120, 400, LOUD, QUIET))
    assert result == []


CONVERSATION = """
async (steps) => {
  const { Conversation } = await import("/page/conversation.js");
  const log = document.createElement("div");
  const conversation = new Conversation(log, document.createElement("button"));
  for (const [step, ...more] of steps) conversation[step](...more);
  return [...log.children].map(({ className, lastElementChild }) => [className, lastElementChild.innerHTML]);
}
"""


def segment(id: int, heard: str, rest: str, status: str = "in-progress") -> list[object]:
    progress = {"accumulated_text": heard, "remaining_text": rest}
    data = {"segment_id": id, "text": heard + rest, "spoken_status": status, "spoken_progress": progress}
    return ["segment", data]


async def shown(visit: Any, address: str, *steps: list[object]) -> list[list[str]]:
    here: Visit = await visit(address)
    found: list[list[str]] = await here.page.evaluate(CONVERSATION, list(steps))
    return found


async def test_the_word_that_is_heard_is_marked(visit: Any, address: str) -> None:
    assert await shown(visit, address, segment(1, "It is", " late.")) == [
        ["bubble bot", '<span class="heard">It </span><mark>is</mark> <span class="coming">late.</span>']
    ]


async def test_when_the_bot_is_silent_no_word_is_marked(visit: Any, address: str) -> None:
    said = segment(1, "It is late.", "", "completed")
    assert await shown(visit, address, said, ["botSilent"]) == [
        ["bubble bot", '<span class="heard">It is late.</span>']
    ]


async def test_what_was_cut_off_is_struck_out_and_late_words_still_count(visit: Any, address: str) -> None:
    steps = [segment(1, "One", " two three."), ["interrupted"], segment(1, "One two", " three.")]
    assert await shown(visit, address, *steps) == [
        ["bubble bot cut", '<span class="heard">One two</span> <del class="coming">three.</del>']
    ]


async def test_a_reply_that_was_heard_to_its_end_is_not_cut(visit: Any, address: str) -> None:
    steps = [segment(1, "One.", "", "completed"), ["botSilent"], ["interrupted"]]
    assert (await shown(visit, address, *steps))[0][0] == "bubble bot"


async def test_text_of_the_model_stands_until_the_voice_takes_it_over(visit: Any, address: str) -> None:
    steps = [["draft", "One. "], ["draft", "Two."], segment(1, "", "One.", "new")]
    assert await shown(visit, address, *steps) == [
        ["bubble bot", '<span class="coming">One.</span> <span class="coming">Two.</span>']
    ]


async def test_what_is_being_understood_becomes_what_was_said(visit: Any, address: str) -> None:
    steps = [["userSpeaks"], ["heard", "what", False], ["heard", "what time", True], ["heard", "again", True]]
    assert await shown(visit, address, *steps) == [["bubble you", "what time"], ["bubble you", "again"]]


async def test_a_cough_leaves_no_bubble(visit: Any, address: str) -> None:
    assert await shown(visit, address, ["userSpeaks"], ["userPauses"], ["forgetWaiting"]) == []


async def test_markup_in_what_is_said_is_text(visit: Any, address: str) -> None:
    assert await shown(visit, address, ["typed", "<b>hi</b>"]) == [
        ["bubble you typed", "&lt;b&gt;hi&lt;/b&gt;"]
    ]


HEARING = """async (figures) => (await import("/page/hearing.js")).hearing(figures)"""


async def test_how_well_one_is_heard_is_shown_in_a_word(visit: Any, address: str) -> None:
    here: Visit = await visit(address)

    async def shown(**figures: float | None) -> dict[str, str]:
        found: dict[str, str] = await here.page.evaluate(HEARING, figures)
        return found

    assert (await shown(loss=None, madeUp=None))["word"] == "–"
    assert (await shown(loss=0.002, madeUp=0))["word"] == "clearly"
    assert (await shown(loss=0.03, madeUp=0.005))["word"] == "with gaps"
    badly = await shown(loss=0.03, madeUp=0.06, heldMs=41.6)
    assert (badly["word"], badly["tone"]) == ("badly", "bad")
    assert "3.0 % of the sound was lost" in badly["detail"]
    assert "held back for 42 ms" in badly["detail"]
