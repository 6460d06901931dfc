"""The page of calls in a real browser, over records in the documented format and the real API."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from browsing import ASSETS, Visit, botrun
from records import START, CallWriter, Turn, booking_call, long_call, write_calls

from runner.cli.calls.saved_page import page_of
from runner.records.call import RecordedCall

pytestmark = [pytest.mark.processes, pytest.mark.browser]

READY = "window.inspector !== undefined"
SHOWN_ROWS = "document.querySelectorAll('.list-view .rows .call-row').length"
EVIL = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def calls(folder: Path) -> Path:
    return folder / ".botrun" / "calls"


@pytest.fixture(scope="module")
def ids(calls: Path) -> list[str]:
    ids = write_calls(calls)
    evil = CallWriter("0e0e0e0e0e0e0e0e", START - timedelta(hours=2))
    evil.turn(Turn(user=EVIL, bot=EVIL, tool=(EVIL, {"x": EVIL}, EVIL, 0.1, True)))
    evil.note(evil.now, "log", level="error", logger=EVIL, message=EVIL)
    evil.note(evil.now, "error", message=EVIL, processor=EVIL)
    evil.head["failure"] = {"message": EVIL, "file": EVIL, "line": 1, "source": EVIL, "advice": EVIL}
    evil.head["bot"] = {"file": EVIL, "function": "bot"}
    evil.write(calls)
    broken = calls / "20261101T000000Z-broken"
    broken.mkdir()
    (broken / "call.json").write_text("{")
    return [*ids, evil.id]


@pytest.fixture(scope="module")
def address(folder: Path, ids: list[str]) -> Iterator[str]:
    with botrun(ASSETS / "talkative_bot.py", folder=folder) as found:
        yield found


@pytest.fixture
async def show(visit: Any, address: str) -> Any:
    """`await show("?call=…")` opens the page of calls."""

    async def show(query: str = "", **context: Any) -> Visit:
        here: Visit = await visit(f"{address}/calls{query}", ready=READY, **context)
        return here

    return show


# ------------------------------------------------------------------ the list


async def test_the_list_has_the_newest_call_first_and_each_problem_in_a_line(
    show: Any, ids: list[str]
) -> None:
    here: Visit = await show()
    await here.until(f"{SHOWN_ROWS} === {len(ids)}")
    shown = await here.page.evaluate(
        "[...document.querySelectorAll('a.call-row')].map((row) => row.dataset.id)"
    )
    assert shown == sorted(ids, reverse=True)
    assert "my_bot.py:57: KeyError: 'city'" in await here.texts(".call-row .what")
    assert await here.texts(".unreadable summary") == ["1 record cannot be read"]
    assert here.faults == []


@pytest.mark.parametrize(
    ("chip", "expected"), [("failed", 2), ("slow", 1), ("interrupted", 1), ("running", 0)]
)
async def test_a_filter_leaves_the_calls_that_match(show: Any, chip: str, expected: int) -> None:
    here: Visit = await show()
    await here.until(f"{SHOWN_ROWS} > 2")
    await here.page.click(f"[data-name={chip}]")
    await here.until(f"{SHOWN_ROWS} === {expected}")
    assert f"{chip}=1" in here.page.url
    await here.page.reload()
    await here.until(f"document.querySelector('.total')?.innerText.startsWith('{expected} match')")


async def test_search_finds_a_call_by_its_scenario(show: Any) -> None:
    here: Visit = await show()
    await here.until(f"{SHOWN_ROWS} > 2")
    await here.page.keyboard.press("/")
    await here.page.keyboard.type("clock")
    await here.until(f"{SHOWN_ROWS} === 1")
    assert (await here.texts(".call-row .who small"))[0] == "Browser · Scenario clock"


async def test_the_keyboard_goes_through_the_list_and_opens_a_call(show: Any, ids: list[str]) -> None:
    here: Visit = await show()
    await here.until(f"{SHOWN_ROWS} > 2")
    for key in ("j", "j", "k", "Enter"):
        await here.page.keyboard.press(key)
    await here.page.wait_for_url(f"**/calls?call={ids[0]}")
    await here.until("document.querySelector('.call-view')")


# ------------------------------------------------------------------ one call


async def test_a_call_has_its_faults_on_top_and_its_slowest_answer_first(show: Any, ids: list[str]) -> None:
    here: Visit = await show(f"?call={ids[0]}")
    await here.until("document.querySelectorAll('.answer').length")
    await here.page.evaluate("document.querySelector('.problems').classList.remove('folded')")
    problems = [" ".join(text.split()) for text in await here.texts(".problem > div")]
    assert problems[0] == "Tool send_mail failed ConnectionRefusedError: smtp:25"
    assert "The event loop was blocked for 0.42 s by the bot’s code my_bot.py:41" in problems
    assert any(text.startswith("Answer 5 came after 2.9") for text in problems)
    first = await here.page.evaluate("document.querySelector('.answer').innerText")
    assert "mostly the model’s first token: 2.31 s" in first
    assert "retry: OpenAILLMService, attempt 2" in first
    bar = await here.page.evaluate("document.querySelector('.answer .bar').getAttribute('aria-label')")
    assert bar.startswith("Waiting 0.3")
    assert (here.hosts, here.faults) == ({here.page.url.split("/")[2]}, [])


async def test_a_failed_call_says_where_and_what_to_do(show: Any, ids: list[str]) -> None:
    here: Visit = await show(f"?call={ids[1]}")
    [problem] = [" ".join(text.split()) for text in await here.texts(".problem > div")]
    assert problem == (
        "The bot failed KeyError: 'city' my_bot.py:57 city = answer['city'] "
        "The key is missing in the dictionary: use answer.get('city')."
    )


async def test_a_link_leads_to_a_moment_and_the_sound_plays_from_there(show: Any, ids: list[str]) -> None:
    here: Visit = await show(f"?call={ids[0]}#t=12.3")
    await here.until("inspector.position === 12.3")
    assert await here.page.evaluate(
        "inspector.timeline.view.from < 12.3 && inspector.timeline.view.to > 12.3"
    )
    await here.page.keyboard.press(" ")
    await here.until("inspector.position > 12.6 && inspector.player.playing")
    await here.page.keyboard.press("3")
    await here.until("inspector.position > 13.2 && inspector.player.channel === 'bot'")
    await here.page.keyboard.press(" ")
    await here.until("!inspector.player.playing && /#t=1[3-9]/.test(location.hash)")
    assert here.faults == []


async def test_a_turn_alone_ends_where_its_answer_ends(show: Any, ids: list[str]) -> None:
    here: Visit = await show(f"?call={ids[0]}")
    await here.until("document.querySelectorAll('.answer').length === 7")
    await here.page.evaluate("inspector.player.speed = 2")
    await here.page.click(".answer[data-n='3'] .play")
    await here.until("inspector.player.playing")
    await here.until("!inspector.player.playing && inspector.position > 20")
    bot = await here.page.evaluate("inspector.model.words.bot[3]")
    assert bot["to_s"] <= await here.page.evaluate("inspector.position") < bot["to_s"] + 1.0


async def test_the_keyboard_goes_from_answer_to_answer_and_zooms(show: Any, ids: list[str]) -> None:
    here: Visit = await show(f"?call={ids[0]}")
    await here.until("document.querySelectorAll('.answer').length === 7")
    for key, n in (("j", 1), ("j", 2), ("k", 1)):
        await here.page.keyboard.press(key)
        await here.until(f"inspector.selected?.n === {n}")
    seconds = "inspector.timeline.view.to - inspector.timeline.view.from"
    before = await here.page.evaluate(seconds)
    await here.page.keyboard.press("+")
    assert await here.page.evaluate(seconds) < before
    await here.page.keyboard.press("ArrowRight")
    await here.until("inspector.position > inspector.selected.from_s + 0.9")
    await here.page.keyboard.press("?")
    await here.until("document.getElementById('help').open")


WHERE_THE_TOOL_IS = """(() => {
  const { timeline, model } = inspector;
  const [tool] = model.lanes.find(({ name }) => name === "tool").spans;
  return timeline.gutter + (tool.from_s - timeline.view.from) * timeline.scale;
})()"""


async def test_a_click_on_the_timeline_listens_from_there_and_shows_details(
    show: Any, ids: list[str]
) -> None:
    here: Visit = await show(f"?call={ids[0]}", viewport={"width": 1280, "height": 1000})
    await here.until("inspector.timeline.drawn > 0 && document.querySelectorAll('.answer').length")
    box = await here.page.locator(".timeline canvas").bounding_box()
    await here.page.mouse.click(box["x"] + 600, box["y"] + 60)
    await here.until("inspector.position > 15 && inspector.position < 35")
    at = await here.page.evaluate(WHERE_THE_TOOL_IS)
    await here.page.mouse.click(box["x"] + at + 4, box["y"] + box["height"] - 2 * 19 - 12)
    await here.until("document.querySelector('.details:not([hidden])')?.innerText.includes('find_flights')")
    await here.page.keyboard.press("Escape")
    await here.until("document.querySelector('.details[hidden]')")


async def test_messages_are_decoded_filtered_and_come_with_their_media(show: Any, ids: list[str]) -> None:
    here: Visit = await show(f"?call={ids[0]}#tab=messages&t=0")
    await here.until("document.querySelectorAll('.messages .table-row').length > 2")
    assert set(await here.texts(".messages .type")) == {"connected", "start", "mark", "clear"}
    await here.page.click(".messages .table-row:nth-child(2)")
    await here.until("document.querySelector('.details .json .key')")
    assert '"event": "start"' in await here.page.evaluate("document.querySelector('.details').innerText")
    await here.page.click("text=With media")
    await here.until("inspector.messages.items.length > 3000")
    await here.page.fill("#panel-messages input", "clear")
    await here.until("inspector.messages.items.length === 1")


async def test_tools_and_log_and_conversation_are_there(show: Any, ids: list[str]) -> None:
    here: Visit = await show(f"?call={ids[0]}")
    await here.until("inspector.log.table.shown.length === 3")
    await here.page.click("#tab-tools")
    assert len(await here.texts(".tool")) == 2
    assert "TP 931" in (await here.texts(".tool"))[0]
    await here.page.click("#tab-log")
    assert (await here.texts(".log .text"))[-1] == "send_mail failed"
    await here.page.click("#tab-said")
    assert "It is one hundred – interrupted" in await here.texts(".turn.bot p")


async def test_what_is_not_there_is_said_in_a_sentence(visit: Any, address: str) -> None:
    here: Visit = await visit(
        f"{address}/calls?call=20200101T000000Z-none", ready="document.querySelector('.empty-page')"
    )
    assert "no recorded call has the id" in await here.page.evaluate("document.body.innerText")


@pytest.mark.parametrize("tab", ["answers", "said", "tools", "messages", "log", "events", "facts"])
async def test_words_are_text_wherever_they_are_shown(show: Any, ids: list[str], tab: str) -> None:
    here: Visit = await show(f"?call={ids[-1]}#t=0.1&tab={tab}")
    await here.until("inspector.all.length")
    assert await here.page.evaluate(
        "[window.hacked, document.querySelectorAll('img, #app script').length]"
    ) == [
        None,
        0,
    ]
    assert "<img src=x" in await here.page.evaluate("document.body.innerText")


async def test_words_are_text_in_the_list(show: Any) -> None:
    here: Visit = await show()
    await here.until("document.body.innerText.includes('<img src=x')")
    assert await here.page.evaluate("[window.hacked, document.querySelectorAll('img').length]") == [None, 0]


# ------------------------------------------------------------------ two calls


async def test_two_calls_are_compared_answer_by_answer(show: Any, ids: list[str]) -> None:
    here: Visit = await show()
    await here.until(f"{SHOWN_ROWS} > 2")
    for each in ids[:2]:
        await here.page.hover(f"[data-id='{each}']")
        await here.page.click(f"[data-id='{each}'] .choose")
    await here.page.click(".compare-bar a")
    await here.page.wait_for_url("**/calls?compare=*")
    await here.until("document.querySelectorAll('.pair-row').length === 7")
    assert len(await here.texts(".side")) == 2
    assert (await here.texts(".pair-row .change"))[0].endswith(" s")
    assert here.faults == []


# ------------------------------------------------------------------ a call that runs


async def test_a_running_call_grows_on_the_screen_and_then_ends(show: Any, calls: Path) -> None:
    """The record of a process that lives: this one. Its second half is written while the page looks."""
    whole = booking_call("11febeef11febeef", START + timedelta(minutes=1))
    path = whole.write(calls)
    rest = {}
    for name in ("events.jsonl", "wire.jsonl"):
        lines = (path / name).read_text().splitlines(keepends=True)
        begun = [line for line in lines if json.loads(line)["t"] < 20]
        rest[name] = "".join(lines[len(begun) :])
        (path / name).write_text("".join(begun))
    ended = json.loads((path / "call.json").read_text())
    running = {**ended, "state": "running", "ended": None, "duration_s": None, "end": None, "figures": {}}
    (path / "call.json").write_text(json.dumps(running))

    here: Visit = await show(f"?call={whole.id}")
    await here.until("document.body.classList.contains('live') && inspector.model.answers.length === 2")
    assert "in progress" in await here.page.evaluate("document.querySelector('.call-head').innerText")
    for name, more in rest.items():
        with (path / name).open("a") as file:
            file.write(more)
    await here.until("inspector.model.answers.length === 7 && inspector.all.length > 150")
    assert await here.page.evaluate("document.body.classList.contains('live')")
    (path / "call.tmp").write_text(json.dumps(ended))
    os.replace(path / "call.tmp", path / "call.json")
    await here.until("!document.body.classList.contains('live')")
    await here.until("document.querySelector('.call-head').innerText.includes('the caller left')")
    assert here.faults == []


# ------------------------------------------------------------------ a long call

MOST_NODES = 2500
SCROLL = """async () => {
  const times = [], list = document.querySelector(".messages");
  let last = performance.now();
  for (let n = 0; n < 120; n++) {
    list.scrollTop += 2317;
    inspector.timeline.pan(7);
    await new Promise((done) => requestAnimationFrame(done));
    times.push(performance.now() - last);
    last = performance.now();
  }
  times.sort((one, other) => one - other);
  return [times[60], times[114], document.querySelectorAll("*").length];
}"""


@pytest.mark.timeout(240)
async def test_an_hour_with_its_messages_keeps_few_nodes_in_the_document(
    visit: Any, address: str, calls: Path, record_property: Any
) -> None:
    call = long_call("0a0a0a0a0a0a0a0a", START - timedelta(days=1), 60)
    call.write(calls)
    here: Visit = await visit(f"{address}/calls?call={call.id}#t=1800&tab=messages", ready="true")
    await here.until(READY, 120)
    await here.page.click("text=With media")
    await here.until("inspector.messages.items.length > 100000", 120)
    median_ms, p95_ms, nodes = await here.page.evaluate(SCROLL)
    record_property("frame_ms", {"median": median_ms, "p95": p95_ms})
    print(
        f"a frame while scrolling and panning: median {median_ms:.1f} ms, p95 {p95_ms:.1f} ms; {nodes} nodes"
    )
    assert nodes < MOST_NODES
    await here.page.evaluate("document.querySelector('.messages').scrollTop = 1e9")
    await here.until("document.querySelector('.messages .rows-inner').innerText.includes('1:00:0')")


# ------------------------------------------------------------------ one file


async def test_a_saved_call_opens_offline_with_its_sound(
    visit: Any, calls: Path, ids: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "call.html"
    file.write_text(page_of(RecordedCall(calls / ids[0])))
    requests: list[str] = []
    here: Visit = await visit("about:blank", ready="true")
    here.page.on("request", lambda request: requests.append(request.url.split(":")[0]))
    await here.page.goto(f"{file.as_uri()}#t=12.3")
    await here.until("window.inspector && document.querySelectorAll('.answer').length === 7")
    await here.page.keyboard.press(" ")
    await here.until("inspector.position > 12.6 && inspector.player.playing")
    await here.page.keyboard.press("m")
    await here.until("document.querySelectorAll('.messages .table-row').length > 2")
    assert set(requests) == {"file", "blob"}
    assert here.faults == []
    peaks = await here.page.evaluate("Math.max(...inspector.waves.read('caller', 5, 0.01, 200))")
    assert peaks > 20


async def test_words_are_text_in_a_saved_call(
    visit: Any, calls: Path, ids: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "call.html"
    file.write_text(page_of(RecordedCall(calls / ids[-1])))
    here: Visit = await visit(file.as_uri(), ready=READY)
    for tab in ("said", "tools", "messages", "log", "events", "facts"):
        await here.page.click(f"#tab-{tab}")
        await asyncio.sleep(0.05)
    assert await here.page.evaluate("[window.hacked, document.querySelectorAll('img').length]") == [None, 0]
    assert here.faults == []
