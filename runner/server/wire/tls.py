"""`--https`: what a run needs so that a mobile on the same network may use its page and microphone."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from runner.errors import UsageError
from runner.server.access.local_only import is_loopback
from runner.server.wire.certificate import own_certificate
from runner.settings import Settings, resolve, state_folder

ALL = "0.0.0.0"
_ELSEWHERE = ("192.0.2.1", 9)
"""An address for documentation (RFC 5737). A UDP socket that is connected to it sends nothing."""


def with_https(settings: Settings) -> Settings:
    """The settings of a run that is opened to the network: a certificate, and a key that it asks for.

    Raises:
        UsageError: the certificate cannot be made or kept.
    """
    host = settings.host if "host" in settings.sources else ALL
    names = {"localhost", "127.0.0.1", "::1", *([lan] if (lan := lan_address()) else [])}
    if host not in (ALL, "::"):
        names.add(host)
    folder = state_folder(settings)
    try:
        made = own_certificate(folder, sorted(names))
    except OSError as error:
        raise UsageError(f"--https: {folder} cannot be written: {error.strerror or error}") from None
    except ValueError:
        raise UsageError(f"--https: a certificate cannot name {host!r}") from None
    return replace(
        settings,
        host=host,
        certificate=(str(made.chain), str(made.key)),
        login_key=secrets.token_urlsafe(24),
    )


def lan_address() -> str:
    """This machine's address in its network; "" if it has none."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_ELSEWHERE)
        address = str(probe.getsockname()[0])
        return "" if is_loopback(address) else address
    return ""


@contextlib.contextmanager
def key_file(settings: Settings) -> Iterator[None]:
    """The run's key, where this user's commands find it, while the block lasts."""
    from runner.server.public.keeper import dial_key_path
    from runner.server.state_file import write_private

    path = dial_key_path(settings)
    write_private(path, settings.login_key)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


_anybody: ContextVar[bool] = ContextVar("botrun trusts anybody", default=False)


def trust_anybody() -> None:
    """`--insecure`: from here on, in this context, a certificate of any kind will do."""
    _anybody.set(True)


def trust_for(url: str, *, insecure: bool = False) -> ssl.SSLContext | None:
    """Whom a command of ours trusts at this address, if it is TLS': the run's own certificate, too.

    Its key lies on this disk, so that it may be trusted at any of this machine's addresses.
    `insecure`: whoever answers is trusted.
    """
    if urlsplit(url).scheme not in {"wss", "https"}:
        return None
    context = ssl.create_default_context()
    with contextlib.suppress(OSError):
        context.load_verify_locations(_chain())
    if insecure or _anybody.get():
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _chain() -> Path:
    return state_folder(resolve({}, {})) / "https.pem"
