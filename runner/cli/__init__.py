"""What a person types. No logic of calls.

This file is all that runs before Ctrl-C is looked after, so it imports next to nothing.
"""

from __future__ import annotations

import sys

STOPPED_BY_CTRL_C = 130


def main() -> None:
    """The program `botrun`."""
    try:
        from runner.worker import gc_control as garbage

        garbage.pause()
        from runner.cli.program import run_program

        garbage.resume()
        status = run_program(sys.argv[1:])
    except KeyboardInterrupt:
        status = STOPPED_BY_CTRL_C
    sys.exit(status)
