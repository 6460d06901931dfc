"""`botrun …` with a fake of daily-python, for tests that want a process and its Ctrl-C."""

from __future__ import annotations

import sys

from fake_daily import FakeDaily

from runner.cli.program import run_program
from runner.transports.daily import transport

if __name__ == "__main__":
    with FakeDaily() as fake:
        transport.load_library = lambda: fake
        status = run_program(sys.argv[1:])
    sys.exit(status)
