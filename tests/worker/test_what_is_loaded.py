"""What a run imports: its start and its memory are for what was asked for."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Match, Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from websockets.sync.client import connect

from runner.botcode.loader import LoadedBot
from runner.server.app import API_PATHS, create_app
from runner.server.endpoints.lazy import Lazy, LazyApp
from runner.server.host import Host
from runner.services.common import warmup
from runner.sessions.registry import Sessions
from runner.settings import Settings

BOTS = Path(__file__).parents[2] / "bots"

WEBRTC = {"aiortc", "aioice", "av", "cryptography", "pylibsrtp", "google_crc32c"}
VAD = {"onnxruntime"}
SERVER = {"starlette", "uvicorn", "websockets", "uvloop"}
FRAMEWORK = {"fastapi", "pydantic", "httpx2", "rich", "prometheus_client", "yaml"}

BUILD = """
from runner.botcode.loader import load_bot, parse_target
from runner.services.common import warmup
from runner.settings import Settings
from runner.worker.standalone import _build
_build(load_bot(parse_target({bot!r})), Settings(transports={transports!r}))
sys.modules.update(dict.fromkeys("warmed by " + name for name in warmup._entries))
"""

FORK_SERVER = """
from importlib import import_module
from pathlib import Path
import runner.worker.fork_server
from runner.worker.fork_server import modules_for
for name in modules_for(Path({bot!r}), {transports!r}):
    import_module(name)
"""

WHOLE = "\nprint(*sys.modules, sep=', ')\nsys.exit()"

SUPERVISE = """
from runner.supervisor import Supervisor
async def run(self): return 0
Supervisor.run = run
from runner.cli.program import run_program
assert run_program([{bot!r}, "-t", "twilio", "--port", "0"]) == 0
"""


HANG_UP = """
import asyncio
from pathlib import Path
from runner.providers import provider_named
from runner.worker.fork_server import import_all, modules_for
import_all(modules_for(Path({bot!r}), ({provider!r},), is_public=True))

async def answer(reader, writer):
    print(await reader.readline())
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{{}}")
    writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = provider_named({provider!r}, {keys!r}, f"http://127.0.0.1:{{port}}")
    before = set(sys.modules)
    await provider.hang_up("CA1")
    print("loaded:", *sorted(set(sys.modules) - before))
    server.close()
    await provider.aclose()

asyncio.run(main())
"""

FIRST_TOOL = """
import sys
from pathlib import Path
from runner.services.tools.signature import read_signature
from runner.worker.fork_server import import_all, modules_for
import_all(modules_for(Path({bot!r}), ("twilio",)))

def book(day: str, seats: int = 2) -> str:
    "Book a table."

before = set(sys.modules)
read_signature(book, "book")
print("loaded:", *sorted(set(sys.modules) - before))
"""

KEYS_OF_PROVIDERS = {
    "twilio": {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "secret"},
    "telnyx": {"TELNYX_API_KEY": "secret"},
    "plivo": {"PLIVO_AUTH_ID": "MA1", "PLIVO_AUTH_TOKEN": "secret"},
}


@pytest.fixture(autouse=True)
def nothing_to_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have imported is not to be started here."""
    monkeypatch.setattr(warmup, "_entries", {})


def loaded_by(code: str, **env: str) -> set[str]:
    code = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}}, sep=', ')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": "", **env}, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split(", "))


def loaded_for(*transports: str, **env: str) -> set[str]:
    return loaded_by(BUILD.format(bot=str(BOTS / "echo_bot.py"), transports=transports), **env)


def test_the_help_loads_neither_server_nor_sound_nor_model() -> None:
    run = "from runner.cli.program import app\ntry: app(['--help'])\nexcept SystemExit: pass"
    names = loaded_by(run)
    assert not names & (WEBRTC | VAD | SERVER | FRAMEWORK | {"numpy", "asyncio", "ssl"})


def test_the_supervisor_loads_nothing_of_what_its_workers_need() -> None:
    """It lives as long as the run does, beside them."""
    names = loaded_by(SUPERVISE.format(bot=str(BOTS / "echo_bot.py")), HOME="/")
    assert "watchfiles" in names
    assert not names & (WEBRTC | VAD | SERVER | FRAMEWORK | {"numpy"})


@pytest.mark.parametrize("transport", ["twilio", "webrtc"])
def test_the_fork_server_loads_what_its_workers_need_and_no_more(transport: str) -> None:
    """Else each of them would load it again, after each save."""
    bot = str(BOTS / "echo_bot.py")
    fork_server = loaded_by(FORK_SERVER.format(bot=bot, transports=(transport,)) + WHOLE)
    worker = loaded_by(BUILD.format(bot=bot, transports=(transport,)) + WHOLE)
    assert not {name for name in worker - fork_server if name.startswith("runner.")}
    assert bool(fork_server & WEBRTC) is (transport == "webrtc")


def test_a_phone_run_loads_nothing_of_webrtc_and_no_model() -> None:
    names = loaded_for("twilio")
    assert not names & (WEBRTC | VAD | FRAMEWORK)
    assert {"starlette", "uvicorn", "numpy"} <= names


@pytest.mark.parametrize(
    ("transports", "env", "there"),
    [
        (("webrtc", "twilio"), {}, {"warmed by webrtc"}),
        (("twilio",), {"ECHO_VAD": "1"}, {"warmed by vad"}),
    ],
)
def test_what_is_asked_for_is_there_before_the_first_call(
    transports: tuple[str, ...], env: dict[str, str], there: set[str]
) -> None:
    assert there <= loaded_for(*transports, **env)


@pytest.mark.parametrize("with_vad", ["", "1"])
def test_the_first_call_loads_nothing(with_vad: str) -> None:
    """All that it needs was loaded before the bot was ready."""
    command = [sys.executable, str(Path(__file__).parent / "with_first_call.py"), str(BOTS / "echo_bot.py")]
    environment = {"PATH": "", "ECHO_VAD": with_vad}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port, ready = process.stdout.readline(), process.stdout.readline()
            assert ready == "ready\n"
            ring(int(port))
            assert process.stdout.readline() == "loaded:\n"
        finally:
            process.terminate()


@pytest.mark.parametrize("provider", KEYS_OF_PROVIDERS)
def test_the_first_hang_up_of_a_worker_loads_nothing(provider: str) -> None:
    """An import would hold up the other calls (ATTACK.md, reliability 8)."""
    bot, keys = str(BOTS / "echo_bot.py"), KEYS_OF_PROVIDERS[provider]
    code = "import sys\n" + HANG_UP.format(bot=bot, provider=provider, keys=keys)
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": ""}, capture_output=True, text=True, check=True
    )
    request, loaded = done.stdout.splitlines()
    assert "HTTP/1.1" in request
    assert loaded == "loaded:"


def test_the_first_tool_of_a_worker_loads_nothing(tmp_path: Path) -> None:
    bot = tmp_path / "tool_bot.py"
    bot.write_text("async def bot(args):\n    llm.register_function('book', book)\n")
    done = subprocess.run(
        [sys.executable, "-c", FIRST_TOOL.format(bot=str(bot))],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    small = {"loaded:", "pydantic.plugin._loader"}  # private, and imports nothing more
    assert set(done.stdout.split()) <= small
    plain = loaded_by(FORK_SERVER.format(bot=str(BOTS / "echo_bot.py"), transports=("twilio",)))
    assert "pydantic" not in plain


def ring(port: int) -> None:
    """One call by Twilio's messages, until the bot's first sound."""
    started = {"streamSid": "MZ1", "callSid": "CA1", "mediaFormat": {"encoding": "audio/x-mulaw"}}
    sound = base64.b64encode(bytes(range(160))).decode()
    with connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as call:
        call.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        call.send(json.dumps({"event": "start", "streamSid": "MZ1", "start": started}))
        heard = False
        while not heard:
            call.send(json.dumps({"event": "media", "streamSid": "MZ1", "media": {"payload": sound}}))
            with contextlib.suppress(TimeoutError):
                heard = json.loads(call.recv(0.02))["event"] == "media"
        call.send(json.dumps({"event": "stop", "streamSid": "MZ1"}))


def test_an_endpoint_outside_the_selection_is_built_on_its_first_request() -> None:
    built: list[int] = []

    async def answer(scope, receive, send):  # type: ignore[no-untyped-def]
        await PlainTextResponse("here")(scope, receive, send)

    def make() -> ASGIApp:
        built.append(1)
        return answer

    lazy = LazyApp(Lazy(make))
    app = Starlette(routes=[Route(path, lazy) for path in API_PATHS])
    with TestClient(app) as client:
        assert not built
        answers = {client.post("/api/offer").text, client.patch("/sessions/7/api/offer").text}
    assert (answers, built) == ({"here"}, [1])


def test_the_page_can_start_a_session_where_only_phones_were_asked_for() -> None:
    bot = LoadedBot(Path("my_bot.py"), "bot", None, ModuleType("bot"))  # type: ignore[arg-type]
    app = create_app(Host(Settings(), bot, Sessions(bot), ("twilio",)))
    with TestClient(app, base_url="http://localhost", client=("127.0.0.1", 5000)) as client:
        assert client.post("/start", json={"transport": "webrtc"}).json()["sessionId"]
        refused = client.post("/api/offer", json={"sdp": "none", "type": "offer"})
        assert (refused.status_code, list(refused.json())) == (400, ["error"])


def test_each_path_of_the_api_leads_to_it() -> None:
    from runner.server.endpoints.api import create_api

    bot = LoadedBot(Path("my_bot.py"), "bot", None, ModuleType("bot"))  # type: ignore[arg-type]
    api = create_api(Host(Settings(), bot, Sessions(bot), ("twilio",)), Lazy(lambda: None))  # type: ignore[arg-type]
    app = create_app(Host(Settings(), bot, Sessions(bot), ("twilio",)))
    paths = [*api.openapi()["paths"], "/openapi.json", "/docs"]
    assert {"/status", "/start", "/api/offer", "/api/calls"} <= set(paths)
    for path in paths:
        scope = {"type": "http", "path": path.replace("{", "").replace("}", ""), "method": "GET"}
        found = next(one for one in app.routes if one.matches(scope)[0] is not Match.NONE)
        assert isinstance(found.endpoint, LazyApp), path  # type: ignore[attr-defined]


def test_a_phone_run_imports_the_api_with_its_first_request_only() -> None:
    bot = LoadedBot(Path("my_bot.py"), "bot", None, ModuleType("bot"))  # type: ignore[arg-type]
    assert "fastapi" not in loaded_for("twilio")
    app = create_app(Host(Settings(), bot, Sessions(bot), ("twilio",)))
    with TestClient(app, base_url="http://localhost", client=("127.0.0.1", 5000)) as client:
        assert client.get("/status").json()["status"] == "ready"
