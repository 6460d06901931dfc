"""The command line.

This module imports almost nothing, because until `main` runs, Ctrl-C would print a traceback.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """The program `botrun`."""
    try:
        # Nothing is open yet, so exit at once. A KeyboardInterrupt during an import would print a traceback.
        signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
        from runner.worker import pause_gc, resume_gc

        pause_gc()
        from runner.cli.program import run_program

        resume_gc()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = run_program(sys.argv[1:])
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    sys.exit(status)
