"""Bad input ends in one clear line and an exit status (RELIABILITY tests 22 and 26)."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.cli.program import run_program, split_bot_args, with_default_command

BOTS = Path(__file__).parents[1] / "assets" / "bots"
PLAIN = str(BOTS / "plain.py")
HEAVY = {
    "aiortc",
    "av",
    "daily",
    "fastapi",
    "numpy",
    "onnxruntime",
    "openai",
    "pocketsphinx",
    "uvicorn",
    "yaml",
}


@pytest.fixture(autouse=True)
def surroundings_are_undone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, path, modules = root.handlers[:], root.level, sys.path[:], set(sys.modules)
    monkeypatch.chdir(tmp_path)
    yield
    root.handlers[:], sys.path[:] = handlers, path
    root.setLevel(level)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BOTS)):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], ["--help"]),
        (["--help"], ["--help"]),
        (["a.py"], ["run", "a.py"]),
        (["run", "a.py"], ["run", "a.py"]),
        (["-t", "webrtc", "a.py"], ["run", "-t", "webrtc", "a.py"]),
        (["--version"], ["run", "--version"]),
    ],
)
def test_run_may_be_left_out(args: list[str], expected: list[str]) -> None:
    assert with_default_command(args, {"run", "call"}) == expected


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["run", "a.py", "-t", "webrtc"], (["run", "a.py", "-t", "webrtc"], [])),
        (["run", "a.py", "-v", "--", "--voice", "ann"], (["run", "a.py", "-v"], ["--voice", "ann"])),
        (["run", "a.py", "--", "a", "--", "b"], (["run", "a.py"], ["a", "--", "b"])),
        (["run", "--", "a.py"], (["run", "--", "a.py"], [])),
        (["call", "a.py", "--", "x"], (["call", "a.py", "--", "x"], [])),
        (["--help"], (["--help"], [])),
    ],
)
def test_what_follows_two_dashes_is_the_bots(args: list[str], expected: tuple[list[str], list[str]]) -> None:
    assert split_bot_args(args) == expected


FAULTS: list[tuple[list[str], int, str]] = [
    (["absent.py"], 2, "there is no file absent.py"),
    (["run", "absent.py", "--port", "0"], 2, "there is no file absent.py"),
    ([str(BOTS / "plian.py")], 2, f"did you mean {PLAIN}?"),
    ([str(BOTS)], 2, "is a folder"),
    ([f"{PLAIN}:other"], 2, "there is no function other"),
    ([str(BOTS / "syntax_error.py")], 1, "syntax_error.py:4: SyntaxError"),
    ([str(BOTS / "fails_on_import.py")], 1, "fails_on_import.py:7: JSONDecodeError"),
    ([str(BOTS / "exits_on_import.py")], 1, "exits_on_import.py:3: the bot ended the program"),
    ([str(BOTS / "missing_module.py")], 2, "pip install a_package_that_nobody_has"),
    ([str(BOTS / "not_async.py")], 2, "not_async.py:1: bot is not async"),
    ([PLAIN, "-t", "twillio"], 2, "--transport: 'twillio' is not a transport"),
    ([PLAIN, "--port", "70000"], 2, "--port: expected a port"),
    ([PLAIN, "--host", "no.such.host.invalid"], 2, "--host: 'no.such.host.invalid' is not an address"),
    ([PLAIN, "--host", "192.0.2.1"], 2, "--host: '192.0.2.1' is not an address of this machine"),
    ([PLAIN, "--body", "{"], 2, "--body: the text is not valid JSON"),
    ([PLAIN, "--ice-server", "turn:x"], 2, "--ice-server: a TURN server needs credentials"),
    ([PLAIN, "--prot", "1"], 2, "--port"),
    ([PLAIN, "another.py"], 2, "another.py"),
    (["run"], 2, "FILE"),
    (["cal", PLAIN], 2, "unknown command 'cal'; did you mean call?"),
    (["dial", "+14155550100", "--limit", "0"], 2, "--limit: expected a number from 1 to 86400, got 0"),
    (["dial", "+14155550100", "--ring", "x"], 2, "--ring: expected a whole number"),
    (["call", PLAIN, "--noise", "loud"], 2, "--noise: expected a number"),
    (["load", PLAIN, "-n", "x"], 2, "--calls: expected a whole number"),
    ([PLAIN, "--watch", "/nowhere"], 2, "--watch: no such file or folder: '/nowhere'"),
    ([PLAIN, "-t", "webrtc,twilio"], 2, "repeat the flag for several transports: -t webrtc -t twilio"),
    (["dial", "+14155550100", "-t", "daily"], 2, "transport.start_dialout"),
    (["somebody"], 2, "there is no file somebody"),
]


@pytest.mark.parametrize(("args", "status", "sentence"), FAULTS, ids=[" ".join(f[0])[-40:] for f in FAULTS])
@pytest.mark.faults(26)
def test_what_is_wrong_is_reported_in_one_line(
    args: list[str], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Port 0, for those that come as far as opening one.
    port = [] if "--port" in args or args[0] in {"run", "call", "load"} else ["--port", "0"]
    # A bot is loaded by a process that first imports what its transport needs: a phone needs the least.
    phone = ["-t", "twilio"] if Path(args[0].partition(":")[0]).is_file() and "-t" not in args else []
    assert run_program([*args, *port, *phone]) == status
    out, output = capsys.readouterr()
    assert sentence in output
    assert output.startswith("botrun: ")
    assert (output.count("\n"), out) == (1, "")


def test_an_unknown_setting_is_reported_and_does_not_stop_botrun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOTRUN_PROT", "1")
    assert run_program([str(BOTS / "syntax_error.py"), "--port", "0", "--no-reload"]) == 1
    output = capsys.readouterr().err
    assert "BOTRUN_PROT is not a setting; did you mean BOTRUN_PORT?" in output
    assert "syntax_error.py:4" in output


@pytest.mark.faults(26)
def test_a_dotenv_with_a_meaningless_line_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".env").write_text("A=1\nTWILIO_AUTH_TOKEN 'canary'\n")
    assert run_program([PLAIN, "--port", "0"]) == 2
    output = capsys.readouterr().err
    assert output.startswith("botrun: .env:2 is not a setting. Write NAME=value")
    assert output.count("\n") == 1
    assert "canary" not in output


def test_verbose_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program([str(BOTS / "fails_on_import.py"), "-v", "-t", "twilio", "--port", "0"]) == 1
    output = capsys.readouterr().err
    assert "Traceback" in output
    assert output.splitlines()[-1].startswith("botrun: ")


@pytest.mark.faults(26)
def test_a_bad_variable_is_reported_by_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTRUN_MAX_SESSIONS", "none")
    assert run_program([PLAIN]) == 2
    expected = 'botrun: BOTRUN_MAX_SESSIONS: expected a whole number of at least 0, got "none"\n'
    assert capsys.readouterr().err == expected


@pytest.mark.faults(22)
def test_a_port_in_use_is_reported_with_the_process_that_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    import os

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_program([PLAIN, "--port", str(port)]) == 1
    output = capsys.readouterr().err
    assert output.startswith(f"botrun: port {port} is in use")
    if sys.platform == "linux":
        assert f"(pid {os.getpid()}," in output


def test_a_password_in_a_bad_value_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program([PLAIN, "--ice-server", "trun:bob:canary@host"]) == 2
    assert "canary" not in capsys.readouterr().err


def test_help_shows_every_flag_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from runner.cli.program import run_program; run_program(['--help']);"
        f"print('LOADED', sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "LOADED []" in done
    for flag in (
        "FILE",
        "--transport",
        "--host",
        "--port",
        "--open",
        "--body",
        "--ice-server",
        "--verbose",
        "--version",
    ):
        assert flag in done
