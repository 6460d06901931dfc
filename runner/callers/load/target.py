"""Whom the load is for: a bot's file, or the address of a server."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit, urlunsplit

from runner.errors import TransportError, UsageError
from runner.server.access.local_only import is_loopback
from runner.server.access.login import key_headers
from runner.server.wire.tls import trust_for
from runner.settings.transports import TRANSPORTS

STATUS_TIMEOUT_S = 3.0
REACH_TIMEOUT_S = 5.0
_SCHEMES = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}
_HTTP = {"ws": "http", "wss": "https"}


def is_address(target: str) -> bool:
    """Whether it is no file."""
    return "://" in target


def address_for(target: str, transport: str) -> str:
    """Where that transport's callers come in.

    Raises:
        UsageError: it is no address that can be called.
    """
    try:
        parts = urlsplit(target)
        scheme, known = _SCHEMES.get(parts.scheme), bool(parts.hostname and parts.port != 0)
    except ValueError:
        scheme, known = None, False
    if scheme is None or not known:
        raise UsageError(
            f"TARGET: {target!r} is no address that can be called (ws://127.0.0.1:7860/ws, http://127.0.0.1:7860)"
        )
    if transport == "webrtc":
        return urlunsplit((_HTTP[scheme], parts.netloc, "", "", ""))
    path = TRANSPORTS[transport].path if parts.path in ("", "/") else parts.path
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def check_reachable(url: str) -> None:
    """Raises `TransportError` if nothing listens at this address."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme in ("wss", "https") else 80)
    try:
        socket.create_connection((parts.hostname or "", port), REACH_TIMEOUT_S).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        raise TransportError(f"nobody answers at {url} ({reason}): is it running?") from None


def pid_of(url: str) -> int | None:
    """The process of a botrun on this machine, as its `/status` tells it; None if nobody does."""
    import httpx2

    parts = urlsplit(url)
    if not is_loopback(parts.hostname or ""):
        return None
    status = urlunsplit((_HTTP.get(parts.scheme, parts.scheme), parts.netloc, "/status", "", ""))
    try:
        answer = httpx2.get(
            status,
            headers=key_headers(url),
            timeout=STATUS_TIMEOUT_S,
            trust_env=False,
            verify=trust_for(url) or True,
        )
        found = answer.json().get("pid") if answer.status_code == 200 else None
    except (httpx2.HTTPError, ValueError, AttributeError):
        return None
    return found if isinstance(found, int) else None
