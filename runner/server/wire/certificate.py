"""A certificate of this machine's own, so that a browser on your phone gives the page its microphone.

Browsers give a microphone only to pages over HTTPS (or on localhost). The certificate is signed by itself, so
each browser asks once whether to trust it; it is kept, so that it asks only once.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

VALID_DAYS = 365
"""Browsers refuse server certificates that last much longer than a year."""

RENEW_DAYS = 7
"""So many days before its end it is made anew."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where the certificate and its key lie; both are PEM, for their owner's eyes only."""

    chain: Path
    key: Path


def own_certificate(folder: Path, hosts: Sequence[str]) -> Certificate:
    """The one in `folder` if it is valid for all of `hosts` (names and addresses), else a new one."""
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
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left.days >= RENEW_DAYS and all(_name(host) in names for host in hosts)


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
    """Whole or not at all, and never readable by others."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
