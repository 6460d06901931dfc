"""One conversation in a real browser, while its bot is edited: nothing is lost, nobody is greeted twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsing import Visit
from saving import saving

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.timeout(240)]

BREAKS = {
    3: ("VERSION =", "VERSION = = "),
    6: ("VERSION =", "import no_such_module_at_all\nVERSION ="),
    9: ("    # here a test makes it fail", "    raise RuntimeError('no voice today')"),
    12: ("VERSION =", "Path(__file__).with_name('prompt.md').read_text()\nVERSION ="),
    15: ("VERSION =", "while True: pass\nVERSION ="),
}
SAVES = 20


async def test_twenty_edits_lose_no_turn(page_of: Any, tmp_path: Path) -> None:
    async with saving(tmp_path, "-t", "webrtc") as saved:
        here: Visit = await page_of(saved.address)
        turns: list[str] = []
        version = 0

        async def turn() -> None:
            turns.append(f"turn{len(turns)}")
            await here.page.fill("#text", turns[-1])
            await here.page.keyboard.press("Enter")
            answer = f"version {version}, heard {' '.join(turns)}."
            await here.until(
                f"[...document.querySelectorAll('.bubble.bot p')].at(-1)?.innerText === '{answer}'"
            )

        async def greetings() -> int:
            result = "JSON.stringify(message.data ?? '').includes('Greetings')"
            return int(await here.page.evaluate(f"botrun.messages.filter((message) => {result}).length"))

        await turn()
        greeted = await greetings()
        assert greeted > 0
        answered = 0
        for number in range(1, SAVES + 1):
            if number in BREAKS:
                old, new = BREAKS[number]
                saved.edit(old, new)
                await here.until("document.querySelector('.notice[data-subject=code]')")
                [place] = await here.texts(".notice[data-subject=code] code")
                assert place.startswith("bot.py:")
                if number == 9:
                    answered += 1  # it loads, and fails when called
                else:
                    await turn()  # the previous code keeps serving
                saved.edit(new, old)
            else:
                saved.edit(f"version {version}", f"version {version + 1}")
                version += 1
            answered += 1
            await saved.reloaded(answered)
            await turn()
            assert await here.texts(".notice") == []
            assert await greetings() <= greeted  # the page keeps the last thousand messages
        assert await here.page.evaluate("botrun.state") == "connected"
        assert here.faults == []
        assert "has gone" not in saved.output
        await here.page.click("#end")
        await saved.until(f"the client of version {version} has gone")
        assert saved.output.count("has gone") == 1
