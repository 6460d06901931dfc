"""Whole stories, in processes of their own: number set, a call comes in, talk, and all is put back."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import stat
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from carrier_calls import call_in, post, talk
from eventually import eventually
from provider_server import BEFORE, ProviderServer, provider_server
from public_world import (
    CALLER,
    CANARIES,
    PHONES,
    Provided,
    call_fields,
    media_url,
    signed,
)
from run_process import Run, command, running

pytestmark = pytest.mark.processes

REST = ("twilio", "telnyx", "plivo")


def no_canary(*texts: str) -> None:
    for secret in CANARIES:
        forms = (secret, base64.b64encode(secret.encode()).decode(), urllib.parse.quote(secret, safe=""))
        for form in forms:
            assert not any(form in text for text in texts), f"{secret[:12]}… was shown"


def shown_by_the_system(run: Run) -> str:
    """What `ps` shows of the process; its environment is for its owner only."""
    return Path(f"/proc/{run.process.pid}/cmdline").read_text()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", PHONES)
@pytest.mark.parametrize("then", ["hang up", "hand over"])
async def test_a_number_rings_the_bot_is_heard_and_all_is_put_back(
    name: str, then: str, tmp_path: Path
) -> None:
    async with provider_server() as server:
        before = (dict(server.number), dict(server.application), dict(server.plivo_application))
        async with running(name, server, tmp_path, then=then) as run:
            assert await call_in(run, server, name) >= 0.5
            if name != "exotel":
                over = ("completed", "hangup") if then == "hang up" else ("transferred", "transfer")
                await eventually(lambda: server.calls["C1"] in over)
                book = tmp_path / "state" / "numbers.json"
                assert stat.S_IMODE(book.stat().st_mode) == 0o600
            shown = shown_by_the_system(run)
            page = (await post(f"http://127.0.0.1:{run.port}", Provided("GET", "/status"))).text
            status = await run.end()
        assert status == 0, run.output
        assert (server.number, server.application, server.plivo_application) == before
        assert not (tmp_path / "state" / "numbers.json").exists()
        assert not list((tmp_path / "state").glob("*.key"))
    no_canary(run.output, shown, page)
    assert "Traceback" not in run.output
    assert CALLER not in run.output


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", REST)
async def test_after_a_crash_the_next_start_puts_the_number_back(name: str, tmp_path: Path) -> None:
    async with provider_server() as server:
        before = (dict(server.number), dict(server.application), dict(server.plivo_application))
        async with running(name, server, tmp_path) as run:
            await run.crash()
        assert server.address(name) == f"{run.origin}/{name}/answer"
        async with running(name, server, tmp_path) as again:
            assert server.address(name) == f"{again.origin}/{name}/answer" != f"{run.origin}/{name}/answer"
            await again.end(signal.SIGTERM)
        assert (server.number, server.application, server.plivo_application) == before


@pytest.mark.timeout(120)
async def test_after_a_crash_a_start_without_a_public_address_puts_it_back_too(tmp_path: Path) -> None:
    async with provider_server() as server:
        async with running("twilio", server, tmp_path, "--no-reload") as run:
            await run.crash()
        assert server.address("twilio") != BEFORE
        import os
        import sys

        from provider_server import API
        from public_world import KEYS
        from run_process import BOT

        env = {**os.environ, **KEYS, "BOTRUN_PROVIDER_API": server.url + API["twilio"]}
        env["BOTRUN_STATE_DIR"] = str(tmp_path / "state")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "runner.cli", str(BOT), "--port", "0", "-t", "twilio",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, env=env, cwd=tmp_path,
        )  # fmt: skip
        try:
            await eventually(lambda: server.address("twilio") == BEFORE, 30)
        finally:
            process.send_signal(signal.SIGINT)
            await process.wait()


@pytest.mark.timeout(120)
async def test_a_number_that_somebody_changed_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    async with provider_server() as server, running("twilio", server, tmp_path, "--no-reload") as run:
        server.number["voice_url"] = "https://somebody.example/else"
        await run.end()
        assert server.number["voice_url"] == "https://somebody.example/else"
        assert not (tmp_path / "state" / "numbers.json").exists()


@pytest.mark.timeout(120)
async def test_a_provider_that_is_down_at_the_end_is_asked_again_at_the_next_start(tmp_path: Path) -> None:
    async with provider_server() as server:
        async with running("plivo", server, tmp_path) as run:
            server.faults.extend(["500"] * 20)
            await run.end()  # within its deadline
        server.faults.clear()
        assert "botrun tries again at its next start" in run.output
        async with running("plivo", server, tmp_path) as again:
            await again.end()
        assert server.address("plivo") == BEFORE


# ------------------------------------------------------------------ calling out


OUT = {"twilio": "CA-out", "telnyx": "v3:out", "plivo": "plivo-out", "exotel": "exo-out"}


async def picked_up(run: Run, server: ProviderServer, name: str, **more: str) -> float:
    """The dialled phone is answered: what the provider does then."""
    call_id = OUT[name]
    await eventually(lambda: call_id in server.calls, 20)
    server.calls[call_id] = "talking"
    order: dict[str, Any] = next(
        a.fields for a in server.asked if a.method == "POST" and "call" in a.path.lower()
    )
    if name == "telnyx":
        header = {"x-telnyx-streaming-auth-token": order["stream_auth_token"]}
        return await talk(name, order["stream_url"], call_id, header)
    if name == "exotel":
        return await talk(name, order["streamurl"], call_id)
    url = order.get("Url") or order["answer_url"]
    path = url.removeprefix(run.origin)
    direction = "outbound-api" if name == "twilio" else "outbound"
    fields = call_fields(name, call_id, **{"Direction": direction, **more})
    answer = await post(run.origin, signed(name, path, fields, origin=run.origin))
    if "<Hangup" in answer.text:
        return 0.0
    return await talk(name, media_url(name, answer.text), call_id)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", PHONES)
async def test_dial_calls_out_and_sees_the_call_to_its_end(name: str, tmp_path: Path) -> None:
    async with provider_server() as server, running(name, server, tmp_path) as run:
        words = ["dial", "+14150000077", "-t", name, "--port", str(run.port), "--from", "+14150000002"]
        dialling = asyncio.create_task(command(run, *words))
        assert await picked_up(run, server, name) >= 0.5
        status, result = await dialling
        assert (status, result.splitlines()[-1]) == (0, "over: completed"), result
        await run.end()
    no_canary(run.output, result)


@pytest.mark.timeout(120)
async def test_a_voicemail_is_hung_up_and_reported(tmp_path: Path) -> None:
    async with provider_server() as server, running("twilio", server, tmp_path) as run:
        dialling = asyncio.create_task(command(run, "dial", "+14150000077", "--port", str(run.port)))
        assert await picked_up(run, server, "twilio", AnsweredBy="machine_start") == 0
        status, result = await dialling
        assert (status, result.splitlines()[-1]) == (1, "over: voicemail")
        await run.end()


@pytest.mark.timeout(120)
async def test_only_who_started_the_run_may_call_out_with_it(tmp_path: Path) -> None:
    async with provider_server() as server, running("twilio", server, tmp_path) as run:
        main = f"http://127.0.0.1:{run.port}"
        body = json.dumps({"provider": "twilio", "to": "+14150000077"}).encode()
        headers = {"content-type": "application/json", "x-botrun-key": "guess"}
        assert (await post(main, Provided("POST", "/dial", headers, body))).status_code == 401
        assert (await post(run.origin, Provided("POST", "/dial", headers, body))).status_code == 404
        key = next((tmp_path / "state").glob("dial-*.key"))
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert not server.calls
        await run.end()


# ------------------------------------------------------------------ doctor


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", REST)
async def test_doctor_tries_keys_account_number_and_address(name: str, tmp_path: Path) -> None:
    from provider_server import API
    from public_world import CALLED, KEYS

    async with provider_server() as server, running(name, server, tmp_path) as run:
        await run.end()
        port = str(run.public_port)
        env = {**KEYS, "BOTRUN_PROVIDER_API": server.url + API[name], "BOTRUN_PUBLIC_PORT": port}
        words = ("doctor", "-t", name, "--number", CALLED, "--proxy", f"http://127.0.0.1:{port}")
        status, result = await command(run, *words, **env)
        assert status == 0, result
        assert [line[:4] for line in result.splitlines()[-4:]] == ["ok  "] * 4, result
        assert "FAIL" not in result
        assert server.address(name) == BEFORE
        wrong = dict.fromkeys(("TWILIO_AUTH_TOKEN", "TELNYX_API_KEY", "PLIVO_AUTH_TOKEN"), "x" * 20)
        status, bad = await command(run, *words[:3], **env | wrong)
        assert status == 1
        assert "FAIL" in bad
        assert "check the keys" in bad
    no_canary(result, bad)


@pytest.mark.timeout(120)
@pytest.mark.faults(20)
async def test_ctrl_c_in_the_middle_of_a_call_hangs_up_and_puts_the_number_back(tmp_path: Path) -> None:
    async with provider_server() as server, running("twilio", server, tmp_path, then="stay") as run:
        talking = asyncio.create_task(call_in(run, server, "twilio"))
        await eventually(lambda: "session" in run.output, 10)
        assert await run.end() == 0
        await talking
        assert server.calls["C1"] == "completed"
        assert server.address("twilio") == BEFORE


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", PHONES)
@pytest.mark.faults(29)
async def test_a_verbose_run_shows_no_secret(name: str, tmp_path: Path) -> None:
    async with provider_server() as server, running(name, server, tmp_path, "-v") as run:
        await call_in(run, server, name)
        forged = signed(name, f"/{name}/answer", call_fields(name, "C2"), origin="https://evil.example")
        forged.headers = {key: value[:-6] + "AAAAAA" for key, value in forged.headers.items()}
        assert (await post(run.origin, forged)).status_code == 403
        page = (await post(f"http://127.0.0.1:{run.port}", Provided("GET", "/"))).text
        server.faults.extend(["401"] * 3)
        shown = shown_by_the_system(run)
        await run.end()
    assert "refused" in run.output
    no_canary(run.output, page, shown)
