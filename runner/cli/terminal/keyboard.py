"""Single keys from the terminal, without Enter. The terminal is always restored."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator

END_OF_INPUT = b""


def is_terminal() -> bool:
    """Whether input and output are a terminal and this is not CI."""
    from runner.settings import is_set

    return sys.stdin.isatty() and sys.stdout.isatty() and not is_set("CI")


@contextlib.contextmanager
def keys(pressed: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, `pressed` is called with each key, in the running loop. Ctrl-C stays a signal."""
    import termios
    import tty

    terminal, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(terminal)

    def read() -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError):
            data = os.read(terminal, 64)
            if data == END_OF_INPUT:
                loop.remove_reader(terminal)
            elif not data.startswith(b"\x1b"):  # ignore arrows and function keys
                for key in data.decode(errors="ignore"):
                    pressed(key)

    tty.setcbreak(terminal, termios.TCSANOW)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSANOW, before)
