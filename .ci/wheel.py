"""Run a bot by the installed program, away from the checkout, and ask it for its page.

usage: wheel.py BOTRUN BOT
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path


def main(botrun: str, bot: str) -> None:
    command = [botrun, bot, "-t", "webrtc", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(bot).parent) as process:
        try:
            address = address_in(process)
            status = json.loads(get(f"{address}/status"))
            page = get(f"{address}/").decode()
            for name in re.findall(r'(?:src|href)="/?(page/[^"]+)"', page):
                print(f"{name}: {len(get(f'{address}/{name}'))} bytes")
        finally:
            process.send_signal(signal.SIGTERM)
    assert status["status"] == "ready", status
    assert process.returncode == 0, process.returncode
    print(f"the wheel serves {status['bot']['file']} with a page of {len(page)} characters")


def address_in(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("talk"):
            return line.split()[1]
    raise SystemExit(f"botrun ended with status {process.wait()}")


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


if __name__ == "__main__":
    main(*sys.argv[1:])
