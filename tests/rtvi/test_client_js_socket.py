"""Pipecat's published client for WebSockets, bundled here, in a real browser: protobuf over `/ws-client`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import Visit, botrun, microphone_file
from test_client_js import HERE, PAGE, Open, data_of, open_at, site  # noqa: F401

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.client_js]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("application")
    (folder / "guest.html").write_text(PAGE)
    command = ["npm", "run", "--silent", "build-socket", "--", f"--outfile={folder / 'app.js'}"]
    subprocess.run(command, cwd=HERE, check=True, timeout=60)
    return folder


@pytest.fixture
def microphone(tmp_path: Path) -> str:
    """Something is said again and again: the client may not be ready the first time."""
    return str(microphone_file(tmp_path / "talk.wav", 4.0, "what_time_is_it", 3.0))


@pytest.fixture(scope="module")
def address(site: str) -> Iterator[str]:  # noqa: F811
    with botrun(HERE / "guest_bot.py", BOTRUN_TRANSPORT="websocket", BOTRUN_ALLOW_ORIGINS=site) as found:
        yield found


async def talk(guest: Visit) -> None:
    """Spoken, understood, answered with a voice that the client plays."""
    await guest.until("seen.some(([event]) => event === 'botReady')")
    await guest.until("seen.some(([event]) => event === 'userTranscript')", 30)
    await guest.until("seen.some(([event]) => event === 'botTranscript')", 30)
    await guest.until("heard() > 12000")
    hello, *_ = await data_of(guest, "botReady")
    assert hello["about"]["library"] == "botrun"
    assert "what time is it" in [said["text"] for said in await data_of(guest, "userTranscript")]


async def test_a_client_that_asks_start_talks_with_the_bot(
    open_at: Open,  # noqa: F811
    site: str,  # noqa: F811
    address: str,
) -> None:
    guest = await open_at(site)
    asked = f"{{endpoint: '{address}/start', requestData: {{transport: 'websocket', body: {{guest: 1}}}}}}"
    await guest.page.evaluate(f"client.startBotAndConnect({asked})")
    await talk(guest)
    assert await guest.page.evaluate("client.sendClientRequest('guest', null)") == {"guest": 1}
    assert guest.faults == []
    await guest.page.evaluate("client.disconnect()")


async def test_a_client_that_connects_straight_away_talks_with_the_bot(
    open_at: Open,  # noqa: F811
    site: str,  # noqa: F811
    address: str,
) -> None:
    guest = await open_at(site)
    await guest.page.evaluate(f"client.connect({{wsUrl: '{address.replace('http', 'ws')}/ws-client'}})")
    await talk(guest)
    # botrun's first message is for plain clients; Pipecat's logs it and goes on.
    assert all("Failed to deserialize incoming message" in fault for fault in guest.faults)
    await guest.page.evaluate("client.disconnect()")
