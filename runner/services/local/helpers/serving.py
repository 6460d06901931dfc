"""The helper's side of the pipe: messages in from stdin, answers out to stdout.

Runs only inside a helper process. A helper ends when its stdin does: whoever holds the other end has
ended, however that came about.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

from runner.services.local.helpers.framing import Header, Message, MessageReader, encode

_READ_BYTES = 65536
_STDIN, _STDOUT = 0, 1


class Pipe:
    """Both directions of the pipe to botrun. `send` may be called from any thread."""

    def __init__(self) -> None:
        # Ctrl-C goes to everything at the terminal; the parent decides when a helper ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Whatever a foreign library prints must not come between the messages.
        self._out = os.dup(_STDOUT)
        os.dup2(2, _STDOUT)
        self._lock = threading.Lock()

    def messages(self) -> Iterator[Message]:
        """What botrun sends, until it closes the pipe."""
        reader = MessageReader()
        while data := os.read(_STDIN, _READ_BYTES):
            yield from reader.feed(data)

    def send(self, header: Header, payload: bytes = b"") -> None:
        """Answer. When nobody listens any more the helper's work is over, and it ends."""
        data = memoryview(encode(header, payload))
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._out, data) :]
            except BrokenPipeError:
                os._exit(0)
