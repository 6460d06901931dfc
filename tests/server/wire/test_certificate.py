"""The certificate of this machine: made once, kept, and replaced when it no longer fits."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from runner.server.wire import tls
from runner.server.wire.tls import own_certificate

HOSTS = ["localhost", "127.0.0.1"]


def test_it_is_kept_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    first = own_certificate(tmp_path, HOSTS)
    before = first.chain.read_bytes()
    assert own_certificate(tmp_path, HOSTS) == first
    assert first.chain.read_bytes() == before
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("fault", ["another host", "soon over", "no certificate", "no key"])
def test_one_that_does_not_fit_is_replaced(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = HOSTS
    first = own_certificate(tmp_path, HOSTS)
    before = first.chain.read_bytes()
    if fault == "another host":
        hosts = [*HOSTS, "10.0.0.7"]
    elif fault == "soon over":
        monkeypatch.setattr(tls, "RENEW_DAYS", tls.VALID_DAYS + 1)
    elif fault == "no certificate":
        first.chain.write_bytes(b"nonsense")
    else:
        first.key.unlink()
    assert own_certificate(tmp_path, hosts).chain.read_bytes() != before


async def test_a_client_that_trusts_it_connects_by_name_and_by_address(tmp_path: Path) -> None:
    made = own_certificate(tmp_path, HOSTS)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(made.chain, made.key)
    theirs = ssl.create_default_context(cafile=str(made.chain))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ours)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for name in HOSTS:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=theirs, server_hostname=name
            )
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()
