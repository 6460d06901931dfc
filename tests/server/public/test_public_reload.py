"""A run with a number of one's own whose bot is edited: the number is set once, and given back once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psutil
import pytest
from carrier_calls import call_in, post
from eventually import eventually
from provider_server import BEFORE, ProviderServer, provider_server
from public_world import call_fields, media_url, signed, socket_headers, wire
from run_process import BOT, Run, running
from websockets.asyncio.client import ClientConnection, connect

from runner.supervisor.processes import MOST_CRASHES

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


@contextlib.asynccontextmanager
async def edited(
    provider: str,
    server: ProviderServer,
    folder: Path,
    then: str = "stay",
    way: Sequence[str] = (),
    **env: str,
) -> AsyncIterator[Run]:
    """A run whose bot is a copy of its own; nothing of it may be left."""
    copy = folder / "bot" / "bot.py"
    copy.parent.mkdir()
    shutil.copy(BOT, copy)
    family: list[psutil.Process] = []
    async with running(provider, server, folder, bot=copy, then=then, way=way, **env) as run:
        yield run
        if run.process.returncode is None:
            family += run.family()
            await run.end()
    for port in (run.port, run.public_port):
        with socket.create_server(("127.0.0.1", port)):
            pass
    assert not [process for process in family if process.is_running()]


@contextlib.asynccontextmanager
async def calling(url: str, name: str, call_id: str) -> AsyncIterator[ClientConnection]:
    """A call that its caller holds; `then` the caller hangs up."""
    async with connect(
        url, additional_headers=socket_headers(name, url), proxy=None, compression=None, max_queue=None
    ) as media:
        for message in wire(name, call_id).opening():
            await media.send(message)
        yield media


async def asked(run: Run, name: str, call_id: str, **more: str) -> str:
    """The answer document of a call that comes in."""
    path = f"/{name}/answer"
    answer = await post(run.origin, signed(name, path, call_fields(name, call_id, **more), origin=run.origin))
    assert answer.status_code == 200, answer.text
    return answer.text


def times_set(server: ProviderServer) -> int:
    return sum(1 for a in server.asked if a.method == "POST" and "IncomingPhoneNumbers" in a.path)


def keeper_of(run: Run) -> psutil.Process:
    """The process that remembers the number."""
    (taken,) = json.loads((run.folder / "state" / "numbers.json").read_text())
    return psutil.Process(taken["pid"])


@pytest.mark.faults(19)
async def test_three_saves_during_a_call_and_the_next_call_has_the_new_code(tmp_path: Path) -> None:
    async with (
        provider_server() as server,
        edited("twilio", server, tmp_path, BOTRUN_MAX_CALLS_PER_CALLER="2") as run,
    ):
        key = next((tmp_path / "state").glob("dial-*.key")).read_text()
        async with calling(media_url("twilio", await asked(run, "twilio", "C1")), "twilio", "C1") as first:
            await run.ready("version 0 answers C1")
            for number in range(3):
                before = media_url("twilio", await asked(run, "twilio", "C2")) if number == 2 else ""
                run.save(f"version {number}", f"version {number + 1}")
                await run.reloaded(number + 1)
            # The webhook was answered by the code from before: its token is good for the new one, once.
            async with calling(before, "twilio", "C2"):
                await run.ready("version 3 answers C2")
                with pytest.raises(Exception, match="403"):
                    await connect(before, additional_headers=socket_headers("twilio", before), proxy=None)
                assert "<Reject" in await asked(run, "twilio", "C3"), "two calls, in two workers, are two"
            await run.ready("version 3 was left by C2")
            await first.ping()
        await run.ready("version 0 was left by C1")
        forged = signed(
            "twilio", "/twilio/answer", call_fields("twilio", "C4"), origin="https://evil.example"
        )
        assert (await post(run.origin, forged)).status_code == 403
        status = signed("twilio", "/twilio/status", {}, origin="")
        status.method, status.path, status.headers = "GET", "/status", {"x-botrun-key": key}
        assert (await post(f"http://127.0.0.1:{run.port}", status)).status_code == 200
        assert times_set(server) == 1
        assert await run.end() == 0
        assert (times_set(server), server.address("twilio")) == (2, BEFORE)
    assert run.output.count("ring  ") == 1
    assert "Traceback" not in run.output
    assert not list((tmp_path / "state").glob("*.key"))


async def test_what_became_of_a_dialled_call_is_known_after_a_save(tmp_path: Path) -> None:
    async with provider_server() as server, edited("twilio", server, tmp_path) as run:
        key = next((tmp_path / "state").glob("dial-*.key")).read_text()
        main = f"http://127.0.0.1:{run.port}"
        order = signed("twilio", "/dial", {})
        order.body = json.dumps({"provider": "twilio", "to": "+14150000077"}).encode()
        order.headers = {"content-type": "application/json", "x-botrun-key": key}
        response = await post(main, order)
        assert response.status_code == 200, response.text
        run.save("version 0", "version 1")
        await run.reloaded(1)
        fields = call_fields("twilio", "CA-out", CallStatus="busy")
        await post(run.origin, signed("twilio", "/twilio/status", fields, origin=run.origin))
        order.method, order.path, order.body = "GET", "/dial/CA-out", b""
        assert (await post(main, order)).json() == {"state": "over: busy", "over": True}


async def test_a_broken_edit_leaves_the_good_code_at_the_public_door(tmp_path: Path) -> None:
    async with provider_server() as server, edited("twilio", server, tmp_path, "hang up") as run:
        run.save("async def bot(", "async def bot((")
        await run.ready("the previous code keeps serving")
        assert await call_in(run, server, "twilio", "C1") >= 0.5
        run.save("async def bot((", "async def bot(")
        run.save("version 0", "version 1")
        await run.reloaded(1)
        assert await call_in(run, server, "twilio", "C2") >= 0.5
        assert ("version 0 answers C1" in run.output, "version 1 answers C2" in run.output) == (True, True)
        assert times_set(server) == 1


async def test_ctrl_c_in_the_middle_of_a_reload_gives_the_number_back(tmp_path: Path) -> None:
    async with provider_server() as server, edited("twilio", server, tmp_path) as run:
        async with calling(media_url("twilio", await asked(run, "twilio", "C1")), "twilio", "C1"):
            server.calls["C1"] = "talking"
            await run.ready("version 0 answers C1")
            workers = len(run.family())
            run.save("VERSION =", "__import__('time').sleep(60)\nVERSION =")
            await eventually(lambda: len(run.family()) > workers, 20)
            family = run.family()
            assert await run.end() == 0
        assert (server.calls["C1"], server.address("twilio")) == ("completed", BEFORE)
        assert not [process for process in family if process.is_running()]


async def test_when_the_supervisor_is_killed_its_keeper_gives_the_number_back(tmp_path: Path) -> None:
    async with provider_server() as server, edited("twilio", server, tmp_path) as run:
        family = run.family()
        run.process.kill()
        await eventually(lambda: server.address("twilio") == BEFORE, 20)
        await eventually(lambda: not any(process.is_running() for process in family), 20)
        assert not (tmp_path / "state" / "numbers.json").exists()


async def test_a_worker_that_is_killed_is_replaced_and_its_calls_count_no_more(tmp_path: Path) -> None:
    async with (
        provider_server() as server,
        edited("twilio", server, tmp_path, BOTRUN_MAX_PUBLIC_CALLS="1") as run,
    ):
        async with calling(media_url("twilio", await asked(run, "twilio", "C1")), "twilio", "C1") as media:
            server.calls["C1"] = "talking"
            await run.ready("version 0 answers C1")
            assert "<Reject" in await asked(run, "twilio", "C2")
            keeper = keeper_of(run)
            (worker,) = (p for p in run.family() if p.ppid() == keeper.ppid() and p.pid != keeper.pid)
            worker.kill()
            await media.wait_closed()
        await run.ready("botrun restarts it")
        await run.ready("call C1 hung up: its worker died")
        assert [asked.fields for asked in server.asked if asked.path.endswith("/Calls/C1.json")] == [
            {"Status": "completed"}
        ]
        async with calling(media_url("twilio", await asked(run, "twilio", "C3")), "twilio", "C3"):
            await run.ready("version 0 answers C3")
        assert times_set(server) == 1


async def test_a_worker_that_crashes_again_and_again_ends_the_run_and_gives_the_number_back(
    tmp_path: Path,
) -> None:
    """Callers are never left in silence: they hear that it is busy while no worker accepts."""
    async with provider_server() as server, edited("twilio", server, tmp_path) as run:
        keeper, killed = keeper_of(run), 0

        def workers() -> list[psutil.Process]:
            return [p for p in run.family() if p.pid != keeper.pid and p.ppid() == keeper.ppid()]

        while killed < MOST_CRASHES:
            (worker,) = await eventually(workers)
            worker.kill()
            killed += 1
            await run.ready("the bot's process was ended by SIGKILL", killed)
            if killed < MOST_CRASHES:
                if killed > 3:  # long enough that it is surely asked in between
                    assert "<Reject" in await asked(run, "twilio", f"C{killed}")
                await run.ready("the new code answers", killed)
        assert await run.ended() == 1
        assert f"{MOST_CRASHES} times in a row; botrun restores the number and exits" in run.output
        assert server.address("twilio") == BEFORE


async def test_when_the_keeper_is_killed_the_number_is_taken_again_and_calls_go_on(tmp_path: Path) -> None:
    async with (
        provider_server() as server,
        edited("twilio", server, tmp_path, BOTRUN_MAX_PUBLIC_CALLS="2") as run,
    ):
        async with calling(media_url("twilio", await asked(run, "twilio", "C1")), "twilio", "C1") as media:
            await run.ready("version 0 answers C1")
            keeper_of(run).kill()
            await run.ready("the process that keeps the public address was ended by SIGKILL")
            await run.ready("the public address leads to this run again")
            assert server.address("twilio") == f"{run.origin}/twilio/answer"
            async with calling(media_url("twilio", await asked(run, "twilio", "C2")), "twilio", "C2"):
                await run.ready("version 0 answers C2")
                await media.ping()
                assert "<Reject" in await asked(run, "twilio", "C3"), "the call from before counts"
        assert BEFORE not in [asked.fields.get("VoiceUrl") for asked in server.asked], "callers meet this run"
        assert await run.end() == 0
        assert server.address("twilio") == BEFORE


async def test_an_address_that_cannot_be_opened_again_ends_the_run(tmp_path: Path) -> None:
    async with provider_server() as server, edited("twilio", server, tmp_path) as run:
        server.faults.extend(["401"] * 20)
        keeper_of(run).kill()
        async with asyncio.timeout(30):
            assert await run.process.wait() == 1
        await run.end()
        assert "botrun restarts it" in run.output
        assert run.output.rstrip().splitlines()[-1].startswith("botrun: Twilio: it refused with 401")
        (left,) = json.loads((tmp_path / "state" / "numbers.json").read_text())
        assert left["state"]["voice_url"] == BEFORE, "the next start puts it back"


NGROK = """
import os, pathlib

class Session:
    def authtoken(self, token): return self
    def http_endpoint(self): return self
    async def connect(self): return self

    async def listen_and_forward(self, to):
        note("opened")
        self.name = "127.0.0.1" if NOTES.read_text().count("opened") == 1 else "localhost"
        self.port = to.rpartition(":")[2]
        return self

    def url(self): return f"http://{self.name}:{self.port}"
    async def close(self): note("closed")

SessionBuilder = Session
NOTES = pathlib.Path(os.environ["NGROK_NOTES"])

def note(word):
    with NOTES.open("a") as file:
        file.write(word + " ")
"""
"""ngrok's SDK, whose second tunnel has another address than the first, as without an account's domain."""


async def test_a_tunnel_is_opened_once_and_another_address_after_its_keeper_died_is_taken_up(
    tmp_path: Path,
) -> None:
    notes, package = tmp_path / "notes", tmp_path / "packages"
    package.mkdir()
    (package / "ngrok.py").write_text(NGROK)
    env = {"NGROK_NOTES": str(notes), "NGROK_AUTHTOKEN": "t", "PYTHONPATH": str(package)}
    async with (
        provider_server() as server,
        edited("twilio", server, tmp_path, "hang up", ("--tunnel",), **env) as run,
    ):
        for number in range(2):
            run.save(f"version {number}", f"version {number + 1}")
            await run.reloaded(number + 1)
        assert notes.read_text() == "opened "
        assert await call_in(run, server, "twilio", "C1") >= 0.5
        keeper_of(run).kill()
        await run.ready("the public address has changed: the new code answers")
        await run.ready("ring  ", 2)
        there = run.origin.replace("127.0.0.1", "localhost")
        assert server.address("twilio") == f"{there}/twilio/answer"
        fields = call_fields("twilio", "C2")
        assert (await post(run.origin, signed("twilio", "/twilio/answer", fields, origin=there))).is_success
        forged = signed("twilio", "/twilio/answer", fields, origin=run.origin)
        assert (await post(run.origin, forged)).status_code == 403
        await run.end()
        assert server.address("twilio") == BEFORE
    assert notes.read_text() == "opened opened closed "


async def test_a_second_socket_of_exotel_s_finds_its_call_in_the_old_code(tmp_path: Path) -> None:
    async with provider_server() as server, edited("exotel", server, tmp_path) as run:
        url = media_url("exotel", await asked(run, "exotel", "C1"))
        async with calling(url, "exotel", "C1") as first:
            await run.ready("version 0 answers C1")
            run.save("version 0", "version 1")
            await run.reloaded(1)
            first.transport.abort()
        async with calling(url, "exotel", "C1") as second:
            await run.ready("opened a second socket for its call")
            run.save("version 1", "version 2")
            await run.reloaded(2)
            await asyncio.sleep(2.5)  # longer than a broken socket is waited for
            await second.ping()
            assert "was left" not in run.output
        await run.ready("version 0 was left by C1")
        assert "version 1 answers" not in run.output
