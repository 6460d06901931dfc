"""A port for a server that a test starts in another process."""

from __future__ import annotations

import random
import socket

# Below the range that the system uses for outgoing connections: one of them could take the port first.
LOWEST, HIGHEST = 20_000, 32_000


def free_port() -> int:
    """A free port; test processes that ask at the same time get different ones, most likely."""
    for port in random.SystemRandom().sample(range(LOWEST, HIGHEST), 100):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise OSError(f"no free port among 100 between {LOWEST} and {HIGHEST}")
