"""The port of this machine at which a tunnel ends."""

from __future__ import annotations

import socket

from runner.errors import UsageError
from runner.server.public.readiness import tunnel_of
from runner.settings import Settings


def open_public_listener(settings: Settings) -> socket.socket:
    """A bound TCP socket of the loopback; it listens when calls can be taken.

    Raises:
        UsageError: the port cannot be had.
    """
    own_tunnel = tunnel_of(settings) and "public_port" not in settings.sources
    port = 0 if own_tunnel else settings.public_port
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by its connections: see `cli/listen.py`.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"port {port} cannot be had ({error.strerror}); choose another with --public-port"
        ) from None
    return listener
