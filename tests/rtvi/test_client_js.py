"""Pipecat's published client packages, bundled here, in a real browser: they must work with botrun as they
are. `client_js/package.json` pins them; nothing of them is shipped."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from browsing import FLAGS, MICROPHONE, Visit, botrun, microphone_file

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.client_js]

Open = Callable[..., Awaitable[Visit]]

HERE = Path(__file__).parent / "client_js"
PAGE = (
    "<!doctype html><title>guest</title><link rel=icon href=data:,>"
    "<div id=root></div><script src=/app.js></script>"
)
TIME = {"time": "8:45", "zone": "here"}
READY = (
    "document.querySelector('#state')?.innerText === 'ready' && seen.some(([event]) => event === 'botReady')"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The application: a folder with its page and its script."""
    folder = tmp_path_factory.mktemp("application")
    (folder / "guest.html").write_text(PAGE)
    command = ["npm", "run", "--silent", "build", "--", f"--outfile={folder / 'app.js'}"]
    subprocess.run(command, cwd=HERE, check=True, timeout=60)
    return folder


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The application on a server of its own, as under development; its address."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def site(bundle: Path) -> Iterator[str]:
    with served(bundle) as found:
        yield found


@pytest.fixture(scope="module")
def address(site: str) -> Iterator[str]:
    with botrun(HERE / "guest_bot.py", BOTRUN_ALLOW_ORIGINS=site) as found:
        yield found


@pytest.fixture
def microphone(tmp_path: Path) -> str:
    """What Chromium's microphone hears: something is said once, after 4 s."""
    return f"{microphone_file(tmp_path / 'talk.wav', 4.0, 'what_time_is_it', 30.0)}%noloop"


@pytest.fixture
async def open_at(chromium: str, bundle: Path, microphone: str) -> AsyncIterator[Open]:
    """`await open_at(address)` opens the application there."""
    from playwright.async_api import async_playwright

    async with AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        sound = [*MICROPHONE, f"--use-file-for-fake-audio-capture={microphone}"]
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *sound])
        stack.push_async_callback(browser.close)

        async def open_page(address: str, at_botruns_own: bool = False) -> Visit:
            page = await (await browser.new_context(permissions=["microphone"])).new_page()
            visit = Visit(page)
            if at_botruns_own:
                await page.route("**/guest.html", lambda route: route.fulfill(path=bundle / "guest.html"))
                await page.route("**/app.js", lambda route: route.fulfill(path=bundle / "app.js"))
            await page.goto(f"{address}/guest.html")
            await visit.until("document.querySelector('#state')")
            return visit

        yield open_page


async def events(visit: Visit) -> list[tuple[str, Any]]:
    """Which events the application saw, with their data."""
    return [tuple(one) for one in await visit.page.evaluate("seen")]


async def data_of(visit: Visit, event: str) -> list[Any]:
    return [data for kind, data in await events(visit) if kind == event]


async def test_a_react_application_talks_with_the_bot(open_at: Open, address: str) -> None:
    guest = await open_at(address, True)
    page = guest.page
    await page.click("#connect")
    await guest.until(READY)
    (hello,) = await data_of(guest, "botReady")
    assert (hello["version"].partition(".")[0], hello["about"]["library"]) == ("2", "botrun")

    # Spoken: heard, answered by a tool and a voice, and shown word by word.
    await guest.until("document.querySelector('#words').innerText.includes('it.')")
    await guest.until("seen.some(([event]) => event === 'botStoppedSpeaking')")
    kinds = [kind for kind, _ in await events(guest)]
    order = [
        "botReady", "userStartedSpeaking", "userStoppedSpeaking", "userTranscript", "userLlmText",
        "botLlmStarted", "botLlmStopped", "llmFunctionCallStarted", "llmFunctionCallInProgress",
        "llmFunctionCallStopped", "botLlmStarted", "botLlmText", "botLlmStopped",
    ]  # fmt: skip
    assert [kind for kind in kinds if kind in order] == order
    spoken = ["botTtsStarted", "botStartedSpeaking", "botTtsText", "botStoppedSpeaking"]
    assert sorted(spoken, key=kinds.index) == spoken
    assert {"botOutput", "botTranscript", "botTtsStopped", "metrics", "serverMessage"} <= set(kinds)
    assert await data_of(guest, "llmFunctionCallStopped") == [
        {"tool_call_id": "call-1", "function_name": "clock", "cancelled": False, "result": TIME}
    ]
    assert await guest.texts("p.user") == ["what time is it"]
    assert "You said: what time is it." in " ".join(await guest.texts("p.assistant"))
    assert (guest.hosts, guest.faults) == ({address.removeprefix("http://")}, [])

    # Typed with audio_response false: answered in text, and not spoken.
    await page.evaluate("seen.length = 0, client.sendText('quietly', {audio_response: false})")
    await guest.until("seen.some(([event]) => event === 'botLlmStopped')")
    await guest.until("[...document.querySelectorAll('p.assistant')].at(-1).innerText.includes('quietly')")
    # Typed, to be heard.
    await page.evaluate("client.sendText('aloud')")
    await guest.until("seen.some(([event]) => event === 'botStartedSpeaking')")
    kinds = [kind for kind, _ in await events(guest)]
    assert kinds.count("botTtsStarted") == 1
    assert kinds.index("botTtsStarted") > kinds.index("botLlmStopped")
    await page.click("#end")
    await guest.until("document.querySelector('#state').innerText === 'disconnected'")


async def test_the_application_and_the_bot_have_words_of_their_own(
    open_at: Open, site: str, address: str
) -> None:
    guest = await open_at(site)
    page = guest.page
    await page.evaluate(f"start('{address}/start')")
    await guest.until(READY)
    assert await page.evaluate("client.sendClientRequest('guest', null)") == {"guest": "Ada"}
    answer = await page.evaluate("client.sendClientRequest('where', null)")
    assert answer == {"city": "Ulm", "asked": {"precise": True}}
    refused = await page.evaluate(
        "client.sendClientRequest('weather', null).catch((said) => said.data.error)"
    )
    assert refused == "nobody here knows weather"
    await page.evaluate("['toast', 'mute', 'fail'].forEach((what) => client.sendClientMessage(what))")
    await guest.until("document.querySelector('#toast').innerText === 'Hello'")
    await guest.until("seen.some(([event]) => event === 'error')")
    kinds = [kind for kind, _ in await events(guest)]
    assert {"userMuteStarted", "userMuteStopped", "uiCommand", "messageError"} <= set(kinds)
    assert (await data_of(guest, "error"))[0]["error"] == "the voice is hoarse"

    # A muted microphone is silent for the bot: it hears nothing of what is said into it.
    await page.click("#mic")
    assert await page.inner_text("#mic") == "off"
    await page.evaluate(
        "seen.length = 0, client.startUISnapshotStream(), client.sendUIEvent('click', {on: 'b'})"
    )
    await page.evaluate("client.sendDTMF('12#')")
    await page.evaluate("new Promise((done) => setTimeout(done, 4500))")
    kinds = [kind for kind, _ in await events(guest)]
    assert not {"userStartedSpeaking", "messageError"} & set(kinds)
    await page.click("#mic")
    await guest.until("document.querySelector('#mic').innerText === 'on'")

    # The bot ends the call, and the client notices.
    await page.evaluate("client.disconnectBot()")
    await guest.until("document.querySelector('#state').innerText === 'disconnected'")
    assert "botDisconnected" in [kind for kind, _ in await events(guest)]


async def test_our_table_of_messages_is_the_packages_and_unnamed_sites_are_refused(
    open_at: Open, bundle: Path, address: str
) -> None:
    from test_rtvi_whole import ELSEWHERE, FROM_CLIENT, TO_CLIENT

    with served(bundle) as unnamed:
        guest = await open_at(unnamed)
        refused = await guest.page.evaluate(f"start('{address}/start').catch((error) => error.message)")
        published = await guest.page.evaluate("messageTypes")
    assert refused == "Failed to fetch"
    # RTVI 2.2.0 has raw audio; this version of the package does not name it.
    ours = set(FROM_CLIENT) | set(TO_CLIENT) | set(ELSEWHERE)
    assert set(published) == ours - {"raw-audio", "raw-audio-batch"}
