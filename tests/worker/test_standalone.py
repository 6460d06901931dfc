"""What the person at the terminal sees, from the command to the end."""

from __future__ import annotations

import fcntl
import http.client
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from runner.cli.listen import address_of, open_listener

pytestmark = pytest.mark.processes

BOTS = Path(__file__).parents[1] / "assets" / "bots"
DEADLINE_S = 20.0
CANARY = "canary-4711"


class Terminal:
    """botrun on a pseudo terminal of 100 columns."""

    def __init__(self, *args: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runner.cli", *args],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "OPENAI_API_KEY": "", **(env or {})},
            cwd=cwd,
        )
        os.close(theirs)
        self.raw = ""

    @property
    def shown(self) -> str:
        return re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x1b\x07]*(\x1b\\|\x07))", "", self.raw)

    def wait_for(self, text: str) -> str:
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.shown and time.monotonic() < deadline:
            try:
                self.raw += os.read(self._ours, 65536).decode(errors="replace")
            except OSError:  # EIO: it has closed its side
                break
        assert text in self.shown, self.shown
        return self.shown

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.wait_for("stopping")
        status = self.process.wait(5)
        os.close(self._ours)
        return status


def test_the_table_shows_bot_address_and_keys_once_it_can_be_reached(tmp_path: Path) -> None:
    (tmp_path / "my_bot.py").write_text(
        "import os\nfrom runner import RunnerArguments\n"
        "KEYS = [os.environ.get(k) for k in ('OPENAI_API_KEY', 'DEEPGRAM_API_KEY', 'NOWHERE_API_KEY')]\n"
        "async def bot(runner_args: RunnerArguments) -> None: ...\n"
    )
    (tmp_path / ".env").write_text(f"DEEPGRAM_API_KEY={CANARY}\n")
    terminal = Terminal("my_bot.py", "-t", "webrtc", "--port", "0", cwd=tmp_path)
    shown = terminal.wait_for("╰")
    for pattern in (
        r"bot +│ my_bot\.py  bot\(\)",
        r"transports +│ webrtc",
        r"keys found +│ DEEPGRAM_API_KEY",
        r"key missing +│ NOWHERE_API_KEY",
        r"key missing +│ OPENAI_API_KEY; the scripted dialogue is used",
    ):
        assert re.search(pattern, shown), shown
    port = int(re.search(r"http://127\.0\.0\.1:(\d+)", shown)[1])  # type: ignore[index]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/status")
    assert connection.getresponse().status == 200
    assert terminal.end() == 0
    assert CANARY not in terminal.raw
    assert "Traceback" not in terminal.shown


def test_without_a_terminal_all_is_plain(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "runner.cli", str(BOTS / "plain.py"), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        lines = [next(process.stdout) for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        out, done = process.communicate(timeout=10)
    assert [line.split()[0] for line in lines] == ["bot", "transports", "talk"]
    assert process.returncode == 0
    assert "\x1b" not in "".join(lines) + out + done
    assert done.startswith('{"time": ')


def test_a_helper_that_does_not_start_is_reported_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "runner.cli", str(BOTS / "helper_fails.py"), "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=20)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "botrun: a helper of the bot could not be started: no such voice\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_any_host_of_this_machine_can_be_listened_on(host: str) -> None:
    with open_listener(host, 0) as listener:
        assert address_of(listener)[1] > 0


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
@pytest.mark.faults(22)
def test_an_ipv6_address_can_be_listened_on() -> None:
    with open_listener("::1", 0) as listener:
        assert address_of(listener)[0] == "::1"
