"""The page in a real browser, talking with a bot that needs neither ears nor voice of a machine's."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import ASSETS, Visit, botrun, microphone_file
from free_port import free_port

pytestmark = [pytest.mark.processes, pytest.mark.browser]

BOT = ASSETS / "talkative_bot.py"
SCREENS = [(320, 640), (360, 640), (360, 380), (640, 360), (768, 1024), (1280, 800)]
AUDIBLE_DB = -35
CONNECTED = "botrun.state === 'connected' && botrun.ready"
BOT_IS_HEARD = f"botrun.db.bot > {AUDIBLE_DB}"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with botrun(BOT) as found:
        yield found


@pytest.fixture
def silence(tmp_path: Path) -> Path:
    return microphone_file(tmp_path / "silence.wav", 30.0)


@pytest.mark.realtime
async def test_one_speaks_is_answered_and_can_cut_in(visit: Any, address: str, tmp_path: Path) -> None:
    microphone = microphone_file(tmp_path / "talk.wav", 2.0, "what_time_is_it", 4.5, "stop", 30.0)
    here: Visit = await visit(address, microphone=microphone)
    await here.page.click("#orb")
    await here.until(CONNECTED)
    await here.until(BOT_IS_HEARD)
    await here.until("document.querySelector('mark')")
    assert await here.texts(".bubble.you p") == ["what time is it"]
    await here.until("document.querySelector('.bubble.cut del')")
    await here.until("botrun.db.bot < -70")
    assert (await here.texts(".bubble.bot p"))[0].startswith("It is a quarter to nine.")
    await here.until("document.querySelectorAll('.bubble.you p').length === 2")
    await here.until(
        "[...document.querySelectorAll('.bubble.bot')].at(-1).innerText.includes('You said: stop.')"
    )
    figures = await here.figures()
    assert figures["turnMs"] > 0
    assert figures["stopMs"] > 0
    assert (here.hosts, here.faults) == ({address.removeprefix("http://")}, [])
    await here.page.click("#end")
    await here.until("botrun.state === 'ended'")


async def test_a_typed_turn_needs_no_microphone(visit: Any, address: str) -> None:
    here: Visit = await visit(address)
    await here.page.fill("#text", "what time is it")
    await here.page.keyboard.press("Enter")
    await here.until(BOT_IS_HEARD)
    assert await here.texts(".bubble.you p") == ["what time is it"]
    await here.until("document.querySelector('.bubble.bot mark')")
    assert await here.texts(".notice") == []
    assert await here.page.inner_text("#connection") == "Connected"


async def test_the_keyboard_alone_will_do(visit: Any, address: str, silence: Path) -> None:
    here: Visit = await visit(address, microphone=silence)
    await here.page.keyboard.press("Space")
    await here.until(CONNECTED)
    await here.until("document.body.dataset.mood === 'listening'")
    await here.page.keyboard.press("Space")
    await here.until("document.body.dataset.mood === 'muted'")
    await here.page.keyboard.press("/")
    assert await here.page.evaluate("document.activeElement.id") == "text"
    await here.page.keyboard.type("a b")  # a space in the text box is a space
    assert await here.page.input_value("#text") == "a b"


async def test_choices_are_remembered(visit: Any, address: str, silence: Path) -> None:
    here: Visit = await visit(address, microphone=silence)
    for name in ("echoCancellation", "noiseSuppression", "autoGainControl"):
        assert await here.page.is_checked(f"#{name}")
    await here.page.click("#open-settings")
    await here.page.click("#noiseSuppression")
    await here.page.keyboard.press("Escape")
    await here.page.reload()
    await here.until("window.botrun !== undefined")
    assert not await here.page.is_checked("#noiseSuppression")
    assert await here.page.is_checked("#echoCancellation")


@pytest.mark.parametrize(
    ("error", "title"),
    [
        ("NotAllowedError", "The microphone is blocked"),
        ("NotFoundError", "No microphone found"),
        ("NotReadableError", "The microphone cannot be opened"),
    ],
)
async def test_a_microphone_that_cannot_be_had_is_explained(
    visit: Any, address: str, error: str, title: str
) -> None:
    refuse = f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', '{error}') }}"
    here: Visit = await visit(address, init=refuse)
    await here.page.click("#orb")
    await here.until("document.querySelector('.notice')")
    assert await here.texts(".notice strong") == [title]
    assert await here.page.evaluate("botrun.state") == "idle"


async def test_plain_http_from_elsewhere_is_explained(visit: Any, address: str) -> None:
    here: Visit = await visit(
        address, init="Object.defineProperty(window, 'isSecureContext', {value: false})"
    )
    await here.page.click("#orb")
    await here.until("document.querySelector('.notice')")
    assert await here.texts(".notice strong") == ["No microphone over HTTP"]


async def test_a_bot_that_fails_at_once_is_shown_with_file_and_line(visit: Any, silence: Path) -> None:
    with botrun(BOT, BOT_FAILS="at once") as address:
        here: Visit = await visit(address, microphone=silence)
        await here.page.click("#orb")
        await here.until("document.querySelector('.notice')")
        await here.until("botrun.state === 'ended'")
        [place] = await here.texts(".notice code")
        [notice] = await here.texts(".notice")
    line = next(n for n, text in enumerate(BOT.read_text().splitlines(), 1) if "marvin" in text)
    assert place == f"talkative_bot.py:{line}"
    assert "no such voice: marvin" in notice
    assert notice.count(place) == 1


async def test_a_processor_that_fails_is_named_and_the_call_goes_on(visit: Any) -> None:
    with botrun(BOT, BOT_FAILS="when spoken to") as address:
        here: Visit = await visit(address)
        await here.page.fill("#text", "hello")
        await here.page.keyboard.press("Enter")
        await here.until("document.querySelector('.notice')")
        assert re.fullmatch(r"talkative_bot\.py:\d+", (await here.texts(".notice code"))[0])
        assert await here.page.evaluate("botrun.state") == "connected"


async def test_a_server_that_went_away_is_found_again(visit: Any, silence: Path) -> None:
    port = str(free_port())
    # One that is stopped says goodbye; one that is killed does not.
    with botrun(BOT, signal.SIGKILL, BOTRUN_PORT=port) as address:
        here: Visit = await visit(address, microphone=silence)
        await here.page.click("#orb")
        await here.until(CONNECTED)
    await here.until("botrun.state === 'reconnecting'")
    await here.until("document.querySelector('.notice')")
    assert await here.texts(".notice strong") == ["The server does not answer"]
    with botrun(BOT, BOTRUN_PORT=port):
        await here.until(CONNECTED)
        assert await here.texts(".notice") == []


async def test_it_fits_every_screen(visit: Any, address: str) -> None:
    here: Visit = await visit(address)
    for width, height in SCREENS:
        await here.page.set_viewport_size({"width": width, "height": height})
        root = "document.documentElement"
        assert await here.page.evaluate(f"[{root}.scrollWidth, {root}.scrollHeight]") == [width, height]
        for selector in ("#orb", "#text", "#open-settings"):
            box = await here.page.locator(selector).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["y"] + box["height"] <= height


async def test_the_newest_line_stays_in_view_until_one_scrolls_back(visit: Any, address: str) -> None:
    here: Visit = await visit(address)
    await here.page.set_viewport_size({"width": 360, "height": 640})
    log = "document.querySelector('#log')"
    at_end = f"{log}.scrollHeight - {log}.scrollTop - {log}.clientHeight < 2"
    for number in range(12):
        await here.page.fill("#text", f"hello {number}")
        await here.page.keyboard.press("Enter")
    await here.until(f"{log}.scrollHeight > {log}.clientHeight + 100 && {at_end}")
    await here.page.evaluate(
        "document.querySelector('#notices').style.minHeight = '120px'"
    )  # as a notice does
    await here.until(at_end)
    assert await here.page.evaluate("document.querySelector('#latest').hidden")
    await here.page.evaluate(f"{log}.scrollTop = 0")
    await here.until("!document.querySelector('#latest').hidden")
    await here.page.fill("#text", "one more")
    await here.page.keyboard.press("Enter")
    await here.until("[...document.querySelectorAll('.bubble.you')].at(-1).innerText.includes('one more')")
    assert await here.page.evaluate(f"{log}.scrollTop") == 0
    await here.page.click("#latest")
    await here.until(at_end)


async def test_both_ends_say_how_well_they_hear(visit: Any, address: str, silence: Path) -> None:
    here: Visit = await visit(address, microphone=silence)
    await here.page.click("#orb")
    await here.until("document.getElementById('you-hear').dataset.tone")
    await here.until("document.getElementById('bot-hears').dataset.tone")
    assert "made up" in (await here.page.get_attribute("#bot-hears", "title") or "")
    assert "held back" in (await here.page.get_attribute("#you-hear", "title") or "")
