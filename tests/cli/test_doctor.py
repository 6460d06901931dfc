"""`botrun doctor` tells what is wrong on this machine, each line with what to do."""

from __future__ import annotations

import asyncio
import datetime
import socket
from collections.abc import AsyncIterator
from email.utils import format_datetime
from pathlib import Path

import pytest

from runner.cli.doctor import machine
from runner.cli.doctor.machine import Check, State, machine_checks
from runner.cli.doctor.trials import TRIALS, try_keys
from runner.cli.program import run_program
from runner.settings import Settings, resolve
from runner.settings.credentials import KEYS


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for key in KEYS:
        monkeypatch.delenv(key.env, raising=False)


def free() -> Settings:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return resolve({"port": str(found.getsockname()[1])}, {})


def checks(settings: Settings | None = None, **dotenv: str) -> dict[str, Check]:
    found = machine_checks(settings or free(), Path(".env") if dotenv else None, dotenv)
    return {f"{check.what} {check.state.name}": check for check in found}


def test_on_this_machine_nothing_fails() -> None:
    assert not [check for check in checks().values() if check.state is State.FAIL]


def test_a_port_in_use_is_reported_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = resolve({"port": str(taken.getsockname()[1])}, {})
        assert "Use --port 0" in checks(settings)["port NOTE"].result


def test_keys_are_named_and_their_values_are_not() -> None:
    found = checks(OPENAI_API_KEY="sk-very-secret")
    assert "OPENAI_API_KEY" in found["keys OK"].result
    assert not [check for check in found.values() if "very-secret" in check.result]


def test_an_unknown_setting_is_reported_with_the_one_that_was_meant() -> None:
    assert "did you mean BOTRUN_PORT?" in checks(BOTRUN_PROT="1")["settings NOTE"].result


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine.EXTRAS, "Daily", ("no_such_module", "pip install 'botrun[daily]'"))
    assert checks()["extras NOTE"].result == "Daily is not installed (pip install 'botrun[daily]')"


def test_blocked_udp_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def blocked(host: str) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(machine, "_send_to_oneself", blocked)
    assert "A firewall" in checks()["UDP FAIL"].result


def test_a_clock_set_before_the_installation_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.time, "time", lambda: 86400.0)
    assert "Set the clock" in checks()["clock FAIL"].result


def test_the_command_ends_with_1_if_something_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program(["doctor"]) == 0
    monkeypatch.setattr(machine, "PYTHONS", ((3, 8), (3, 9)))
    assert run_program(["doctor"]) == 1
    assert "FAIL  Python" in capsys.readouterr().out


# ------------------------------------------------------------------ keys, tried


class Service:
    """Answers every request alike, and notes it."""

    def __init__(self, status: int, date: datetime.datetime) -> None:
        self.requests: list[str] = []
        self._answer = f"HTTP/1.1 {status} X\r\nDate: {format_datetime(date)}\r\nContent-Length: 0\r\n\r\n"

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self._answer.encode())
        await writer.drain()
        writer.close()


async def tried(service: Service) -> AsyncIterator[Check]:
    server = await asyncio.start_server(service.take, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        async for check in try_keys({"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": url}):
            yield check


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@pytest.mark.parametrize(
    ("status", "state"), [(200, "OK"), (401, "FAIL"), (403, "FAIL"), (429, "NOTE"), (404, "FAIL")]
)
async def test_a_key_is_tried_with_one_request(status: int, state: str) -> None:
    service = Service(status, now())
    (check,) = [check async for check in tried(service)]
    assert (check.what, check.state.name) == ("OpenAI", state)
    (request,) = service.requests
    assert request.startswith("GET /v1/models ")
    assert "Bearer sk-1" in request


async def test_a_clock_that_differs_from_the_servers_is_reported() -> None:
    service = Service(200, now() - datetime.timedelta(minutes=10))
    found = [check async for check in tried(service)]
    assert [(check.what, check.state.name) for check in found] == [("OpenAI", "OK"), ("clock", "FAIL")]
    assert "s ahead of 127.0.0.1's" in found[1].result


async def test_a_service_that_cannot_be_reached_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    keys = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}
    (check,) = [check async for check in try_keys(keys)]
    assert "cannot be reached" in check.result


def test_each_key_of_a_service_can_be_tried() -> None:
    services = {key.env for key in KEYS if key.env.endswith("_API_KEY")} - {
        "TELNYX_API_KEY",
        "EXOTEL_API_KEY",
    }
    assert services - {"DAILY_API_KEY"} == set(TRIALS)
