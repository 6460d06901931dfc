"""`--https`: a self-signed certificate, and which certificates botrun's commands trust.

Browsers allow the microphone only on pages over HTTPS or on localhost. Each browser asks whether to trust the
self-signed certificate; it is stored, so that browsers ask only once.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import secrets
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runner.errors import UsageError
from runner.server.access import is_loopback
from runner.settings import Settings, resolve, state_folder

if TYPE_CHECKING:
    from cryptography import x509

ALL = "0.0.0.0"
_ELSEWHERE = ("192.0.2.1", 9)
"""A documentation address (RFC 5737). Connecting a UDP socket to it sends nothing."""


def with_https(settings: Settings) -> Settings:
    """The settings of a run on the local network, with a certificate and a login key.

    Raises:
        UsageError: the certificate cannot be created or stored.
    """
    host = settings.host if "host" in settings.sources else ALL
    names = {"localhost", "127.0.0.1", "::1", *([lan] if (lan := lan_address()) else [])}
    if host not in (ALL, "::"):
        names.add(host)
    folder = state_folder(settings)
    try:
        made = own_certificate(folder, sorted(names))
    except OSError as error:
        raise UsageError(f"--https: cannot write to {folder}: {error.strerror or error}") from None
    except ValueError:
        raise UsageError(
            f"--https: a certificate cannot name the host {host!r}; use another --host"
        ) from None
    return replace(
        settings,
        host=host,
        certificate=(str(made.chain), str(made.key)),
        login_key=secrets.token_urlsafe(24),
    )


def lan_address() -> str:
    """This machine's address in the local network; "" without a network."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_ELSEWHERE)
        address = str(probe.getsockname()[0])
        return "" if is_loopback(address) else address
    return ""


@contextlib.contextmanager
def key_file(settings: Settings) -> Iterator[None]:
    """Store the run's login key for this user's commands while the block runs."""
    from runner.server.state_file import dial_key_path, write_private

    path = dial_key_path(settings)
    write_private(path, settings.login_key)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


_insecure: ContextVar[bool] = ContextVar("botrun_insecure", default=False)


def trust_anybody() -> None:
    """`--insecure`: accept any certificate from now on, in this context."""
    _insecure.set(True)


def trust_for(url: str, *, insecure: bool = False) -> ssl.SSLContext | None:
    """The TLS context for a command's connection to `url`; None if it is not encrypted.

    botrun's own certificate is trusted, because its key is on this machine. `insecure`: accept any
    certificate.
    """

    if urlsplit(url).scheme not in {"wss", "https"}:
        return None
    context = ssl.create_default_context()
    with contextlib.suppress(OSError):
        context.load_verify_locations(_chain())
    if insecure or _insecure.get():
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _chain() -> Path:
    return state_folder(resolve({}, {})) / "https.pem"


# ------------------------------------------------------------ the certificate

VALID_DAYS = 365
"""Validity (days) of a certificate; browsers refuse those valid for much longer than a year."""

RENEW_DAYS = 7
"""A certificate with fewer days left is replaced."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The PEM files of a certificate and its key, readable only by their owner."""

    chain: Path
    key: Path


def own_certificate(folder: Path, hosts: Sequence[str]) -> Certificate:
    """The certificate in `folder` if it is valid for all of `hosts` (names and addresses), else a new one."""
    found = Certificate(folder / "https.pem", folder / "https-key.pem")
    if not _is_good(found, hosts):
        _make(found, hosts)
    return found


def _is_good(found: Certificate, hosts: Sequence[str]) -> bool:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(found.chain.read_bytes())
        found.key.read_bytes()
    except (OSError, ValueError):
        return False
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    remaining = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return remaining.days >= RENEW_DAYS and all(_name(host) in names for host in hosts)


def _make(found: Certificate, hosts: Sequence[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "botrun on this machine")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    found.chain.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(found.key, private)
    _write(found.chain, certificate.public_bytes(serialization.Encoding.PEM))


def _name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(path: Path, content: bytes) -> None:
    """Write the file atomically, readable only by its owner."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
