"""`botrun load` against a real bot over real sockets, shortly."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BOTS = Path(__file__).parents[3] / "bots"
ECHO = str(BOTS / "echo_bot.py")


async def start(*words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "runner.cli", "load", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def load(*words: str) -> tuple[int | None, str, str]:
    process = await start(*words)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def check_echo(found: dict[str, Any], calls: int) -> None:
    assert found["up"] == calls, found["failures"]
    assert found["failures"] == []
    # Two chirps a call; a machine that is busy may delay one beyond what is looked at.
    assert found["echo_ms"]["n"] >= calls
    assert found["returned"] > 0.9
    assert found["server"]["cpu_ms_per_call_s"] > 0
    assert found["server"]["peak_mb"] > 20
    assert found["callers"]["late_ms"]["n"] >= calls * 50
    assert "p95" in found["criterion"]


def check_talks(found: dict[str, Any]) -> None:
    # Each rings again and again until the time is over.
    assert found["talks"] >= 3
    assert found["failures"] == found["violations"] == found["missed"] == []
    assert found["callers"]["late_ms"]["n"] > 100


SCENARIO = """
about: Beeps, listens to its echo and hangs up.
steps:
  - beep: 300ms
  - wait: 400ms
  - hang_up
"""


@pytest.mark.processes
async def test_callers_measure_over_a_phones_wire_and_webrtc_and_play_scenarios(tmp_path: Path) -> None:
    (tmp_path / "beep.yaml").write_text(SCENARIO)
    four = ("-n", "4", "--duration", "2", "--ramp", "0.4", "--json")
    two = ("-n", "2", "--duration", "5", "--ramp", "0.4", "--json")
    # Beside each other, for most of their time they wait.
    loads = await asyncio.gather(
        load(ECHO, "-t", "twilio", *four, "--procs", "2"),
        load(ECHO, "-t", "webrtc", *four),
        load(ECHO, "-t", "websocket", "--scenario", str(tmp_path / "beep.yaml"), *two),
    )
    assert [err for _, _, err in loads] == ["", "", ""]
    phone, webrtc, talks = (json.loads(out) for _, out, _ in loads)
    check_echo(phone, 4)
    assert phone["callers"]["procs"] == 2
    check_echo(webrtc, 4)
    check_talks(talks)


@pytest.mark.processes
async def test_ctrl_c_shows_what_was_measured_so_far() -> None:
    process = await start(ECHO, "-n", "2", "--duration", "60", "--ramp", "0.2")
    assert process.stdout is not None
    async for line in process.stdout:
        if line.startswith(b"measuring"):
            break
    await asyncio.sleep(1.5)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert err == b""
    assert process.returncode == 130
    table = out.decode()
    assert "2 of 2 up" in table
    assert "stopped" in table
    assert "echo latency    " in table
    assert "nothing to measure" not in table


@pytest.mark.processes
async def test_a_refusal_by_the_server_is_reported_as_it_is() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        words = (f"ws://127.0.0.1:{port}/ws", "-n", "2", "--duration", "1", "--ramp", "0")
        status, out, err = await load(*words)
    assert (status, err) == (1, "")
    assert "0 of 2 up" in out
    assert "2 ×" in out
    assert "does not hold" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((ECHO, "-t", "twillio"), "did you mean twilio?"),
        ((ECHO, "-n", "0"), "-n: expected a number from 1 to 10000, got 0"),
        ((ECHO, "--duration", "0.1"), "--duration: expected a number from 1"),
        ((ECHO, "--ramp", "-1"), "--ramp: expected a number from 0"),
        ((ECHO, "--scenario", "tlak"), "did you mean talk?"),
        ((ECHO, "-t", "webrtc", "--scenario", "talk"), "over WebRTC there is only echo"),
        ((ECHO, "--plot", "x.svg"), "is not an .html file"),
        ((ECHO, "--pid", "1"), "--pid is only for a server's address"),
        (("ws://127.0.0.1:1/ws", "--pid", "99999999"), "--pid: there is no process 99999999"),
        (("gopher://x", "-n", "1"), "not an address that can be called"),
        (("nowhere.py",), "nowhere.py"),
        (
            ("ws://127.0.0.1:9/ws",),
            "cannot connect to ws://127.0.0.1:9/ws (Connection refused); start the server first",
        ),
    ],
)
def test_bad_input_gets_one_clear_sentence(words: tuple[str, ...], sentence: str, capfd: Any) -> None:
    from runner.cli.program import run_program

    assert run_program(["load", *words]) in (1, 2)
    out, err = capfd.readouterr()
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1


def test_nothing_heavy_is_imported_for_help() -> None:
    heavy = ("numpy", "psutil", "websockets", "rich.progress", "runner.callers")
    code = f"import sys, runner.cli.program; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr
