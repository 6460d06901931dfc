"""Pictures in a real browser: its fake camera in, the bot's picture back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import ASSETS, BOTS, Visit, botrun, microphone_file
from eventually import eventually

pytestmark = [pytest.mark.processes, pytest.mark.browser]

SHOWN = "document.getElementById('bot-picture').videoWidth"
OWN = "document.getElementById('your-picture').videoWidth"
LOOK = """(id) => {
  const video = document.getElementById(id);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  const mean = (x) => {
    const { data } = context.getImageData(x, 0, canvas.width / 2 - 8, canvas.height);
    const sum = [0, 0, 0];
    for (let at = 0; at < data.length; at += 4) for (let i = 0; i < 3; i++) sum[i] += data[at + i];
    return sum.map((value) => Math.round((4 * value) / data.length));
  };
  return { width: canvas.width, height: canvas.height, left: mean(0), right: mean(canvas.width / 2 + 8) };
}"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with botrun(ASSETS / "picture_bot.py") as found:
        yield found


@pytest.fixture
def silence(tmp_path: Path) -> Path:
    return microphone_file(tmp_path / "silence.wav", 30.0)


async def call(visit: Any, address: str, silence: Path) -> Visit:
    here: Visit = await visit(address, microphone=silence)
    await here.page.click("#orb")
    await here.until(SHOWN)
    return here


async def test_both_see_each_other(visit: Any, address: str, silence: Path) -> None:
    here = await call(visit, address, silence)
    await here.until(OWN)
    own, shown = [await here.page.evaluate(LOOK, name) for name in ("your-picture", "bot-picture")]
    assert (shown["width"], shown["height"]) == (320, 180)
    assert shown["right"] == pytest.approx((30, 40, 200), abs=12)
    seen = [(left + right) / 2 for left, right in zip(own["left"], own["right"], strict=True)]
    # Chromium's fake camera shows a green field with a disc that turns and beeps.
    assert shown["left"] == pytest.approx(seen, abs=30)
    assert shown["left"][1] > 2 * max(shown["left"][0], shown["left"][2])
    await here.page.click("#end")
    await here.until("botrun.state === 'ended'")
    assert not await here.page.is_visible(".pictures")
    assert here.faults == []


async def test_the_camera_can_be_switched_off_and_on(visit: Any, address: str, silence: Path) -> None:
    here = await call(visit, address, silence)
    await here.until(OWN)
    await here.page.click("#camera")
    assert not await here.page.is_visible("#your-picture")
    assert await here.page.is_visible("#bot-picture")
    await here.page.click("#camera")
    await here.until("!document.getElementById('your-picture').hidden")


async def test_without_a_camera_the_call_goes_on(visit: Any, address: str, silence: Path) -> None:
    refuse = """const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (asked) => {
      if (asked.video) throw new DOMException("", "NotAllowedError");
      return open(asked);
    };"""
    here: Visit = await visit(address, microphone=silence, init=refuse)
    await here.page.click("#orb")
    await here.until("document.querySelector('.notice')")
    assert await here.texts(".notice strong") == ["The camera is blocked"]
    assert await here.page.evaluate("botrun.state") == "connected"


async def test_a_bot_without_pictures_never_asks_for_the_camera(visit: Any, silence: Path) -> None:
    note = """const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    window.asked = [];
    navigator.mediaDevices.getUserMedia = (asked) => (window.asked.push(asked), open(asked));"""
    with botrun(ASSETS / "talkative_bot.py") as address:
        here: Visit = await visit(address, microphone=silence, init=note)
        await here.page.click("#orb")
        await here.until("botrun.state === 'connected' && botrun.ready")
        assert not await here.page.evaluate("window.asked.some(({ video }) => video)")
        assert not await here.page.is_visible("#camera")


BARS = """() => {
  const video = document.getElementById("bot-picture");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  const bright = (top, height) => {
    const { data } = context.getImageData(0, top, canvas.width, height);
    let found = 0;
    for (let at = 0; at < data.length; at += 4) found += data[at + 1] > 140;
    return found;
  };
  return { size: [canvas.width, canvas.height], voice: bright(0, 250), words: bright(250, 110) };
}"""


SHOWN_PIXELS = {"voice": 1000, "words": 200}


@pytest.mark.local
async def test_the_camera_bot_shows_its_voice_and_its_words(visit: Any, silence: Path) -> None:
    with botrun(BOTS / "camera_bot.py") as address:
        here = await call(visit, address, silence)
        await here.until("botrun.db.bot > -35")
        seen = []

        async def both_were_shown() -> bool:
            seen.append(await here.page.evaluate(BARS))
            return all(max(look[part] for look in seen) > least for part, least in SHOWN_PIXELS.items())

        await eventually(both_were_shown, 10)
    assert seen[-1]["size"] == [640, 360]
