"""Tunnels: SSH whole, against a server in this process; ngrok behind its protocol; failures in words."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import asyncssh
import pytest
from carrier_calls import post, talk
from eventually import eventually
from fake_tunnel import FakeTunnel
from free_port import free_port
from provider_server import API, BEFORE, provider_server
from public_world import CALLED, KEYS, Bot, call_fields, make_host, media_url, signed

from runner.errors import MissingPackageError, UsageError
from runner.server.public.address import PublicAddress, UnreachableError, check_public, probe
from runner.server.public.public_side import PublicSide
from runner.settings import Settings
from runner.tunnels import NgrokTunnel, SshTunnel, TunnelError, check_tunnel, make_tunnel


class _Login(asyncssh.SSHServer):
    def __init__(self, server: SshServer) -> None:
        self._server = server

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._server.connections.append(conn)

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        return True

    def begin_auth(self, username: str) -> bool:
        return username != "friend"


@dataclass
class SshServer:
    """sshd with remote forwarding, in this process; `friend` needs no password, nobody else gets in."""

    port: int = 0
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)

    def tunnel(self, origin: str, user: str = "friend") -> SshTunnel:
        remote = origin.rpartition(":")[2]
        via = f"ssh://{user}@127.0.0.1:{self.port}/{remote}"
        return SshTunnel(via, origin, known_hosts=None, client_keys=None, agent_path=None, config=None)


@contextlib.asynccontextmanager
async def ssh_server() -> AsyncIterator[SshServer]:
    state = SshServer()
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.create_server(lambda: _Login(state), "127.0.0.1", 0, server_host_keys=[key])
    state.port = server.get_port()
    try:
        yield state
    finally:
        server.close()
        for connection in state.connections:
            connection.abort()
        await server.wait_closed()
        await asyncio.sleep(0.05)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def settings(tmp_path: Path, **more: Any) -> Settings:
    return Settings(transports=("twilio",), public_port=0, state_dir=str(tmp_path / "state"), **more)


async def test_a_call_comes_in_through_an_ssh_server_and_the_number_is_put_back(
    tmp_path: Path, keys: None
) -> None:
    origin = f"http://127.0.0.1:{free_port()}"

    async def once(args: Any) -> None:
        await args.websocket.receive()

    bot = Bot(once)
    async with ssh_server() as ssh, provider_server() as server:
        config = settings(tmp_path, proxy=origin, number=CALLED, provider_api=server.url + API["twilio"])
        host = make_host(bot, config)
        side = PublicSide(host, ssh.tunnel(origin))
        try:
            await side.open()
            server.calls["C1"] = "talking"
            assert server.address("twilio") == f"{origin}/twilio/answer"
            request = signed("twilio", "/twilio/answer", call_fields("twilio", "C1"), origin=origin)
            answer = await post(origin, request)
            await talk("twilio", media_url("twilio", answer.text), "C1")
            await eventually(lambda: server.calls["C1"] == "completed")
        finally:
            await host.sessions.shut_down(5)
            await side.aclose()
        assert server.address("twilio") == BEFORE
    assert len(bot.args) == 1


async def test_a_broken_ssh_tunnel_is_reopened(tmp_path: Path, keys: None) -> None:
    origin = f"http://127.0.0.1:{free_port()}"
    async with ssh_server() as ssh:
        host = make_host(Bot(), settings(tmp_path, proxy=origin))
        side = PublicSide(host, ssh.tunnel(origin))
        try:
            await side.open()
            ssh.connections[0].abort()
            await eventually(lambda: len(ssh.connections) == 2, 10)
            assert host.public_calls is not None
            await probe(host.public_calls.address)
        finally:
            await side.aclose()


async def test_an_ssh_server_that_refuses_us_is_reported_in_words() -> None:
    async with ssh_server() as ssh:
        tunnel = ssh.tunnel("http://127.0.0.1:1234", user="stranger")
        with pytest.raises(TunnelError, match=r"SSH tunnel through 127\.0\.0\.1 failed: "):
            await tunnel.open(1)
        await tunnel.aclose()


async def test_an_unreachable_ssh_server_is_reported_in_words() -> None:
    tunnel = SshTunnel(f"ssh://127.0.0.1:{free_port()}/80", "https://h", known_hosts=None, config=None)
    with pytest.raises(TunnelError, match="SSH tunnel through"):
        await tunnel.open(1)
    await tunnel.aclose()


# ------------------------------------------------------------------ ngrok


class FakeNgrok(ModuleType):
    """The SDK's few calls that we use, as its type hints tell."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__("ngrok")
        self.forwarded = ""
        self.token = ""
        self.closed = 0
        self._error = error

    def SessionBuilder(self) -> Any:
        return self

    def authtoken(self, token: str) -> Any:
        self.token = token
        return self

    async def connect(self) -> Any:
        if self._error:
            raise self._error
        return self

    def http_endpoint(self) -> Any:
        return self

    async def listen_and_forward(self, url: str) -> Any:
        self.forwarded = url
        return SimpleNamespace(url=lambda: "https://a-b.ngrok.example")

    async def close(self) -> None:
        self.closed += 1


async def test_ngrok_leads_to_our_port_and_is_closed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = FakeNgrok()
    monkeypatch.setitem(sys.modules, "ngrok", sdk)
    tunnel = NgrokTunnel("canary-ngrok")
    assert await tunnel.open(4711) == "https://a-b.ngrok.example"
    assert (sdk.token, sdk.forwarded) == ("canary-ngrok", "http://127.0.0.1:4711")
    await tunnel.aclose()
    await tunnel.aclose()
    assert sdk.closed == 1


async def test_what_ngrok_refuses_is_reported_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ValueError("failed to connect session", "authentication failed: canary-ngrok\n", "ERR_NGROK_105")
    monkeypatch.setitem(sys.modules, "ngrok", FakeNgrok(error))
    tunnel = NgrokTunnel("canary-ngrok")
    with pytest.raises(TunnelError, match=r"ngrok refused the tunnel: .*ERR_NGROK_105") as caught:
        await tunnel.open(1)
    assert "canary" not in str(caught.value)
    await tunnel.aclose()


async def test_without_a_token_or_a_network_ngrok_has_refused_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = ValueError("failed to connect session", "failed to establish tcp connection")
    monkeypatch.setitem(sys.modules, "ngrok", FakeNgrok(error))
    with pytest.raises(TunnelError, match=r"set NGROK_AUTHTOKEN in .env"):
        await NgrokTunnel("").open(1)
    with pytest.raises(TunnelError, match=r"ngrok cannot be reached: .*Check the network"):
        await NgrokTunnel("canary-ngrok").open(1)


def test_the_real_sdk_has_what_we_call() -> None:
    import ngrok

    assert hasattr(ngrok.SessionBuilder, "authtoken")
    assert hasattr(ngrok.SessionBuilder, "connect")
    assert hasattr(ngrok.HttpListenerBuilder, "listen_and_forward")
    assert hasattr(ngrok.Listener, "url")


def test_each_way_has_its_tunnel_and_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_tunnel("ngrok", {}, "").name == "ngrok"
    assert make_tunnel("ssh://u@h/80", {}, "https://h").name == "ssh"
    monkeypatch.setattr("runner.tunnels.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'botrun\[ngrok\]'"):
        check_tunnel("ngrok")


# ------------------------------------------------------------------ opening


async def test_an_address_that_does_not_lead_here_is_reported_before_any_number_is_set(
    tmp_path: Path, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "__defaults__", (0.5,))
    async with provider_server() as server:
        config = settings(tmp_path, number=CALLED, provider_api=server.url)
        tunnel = FakeTunnel(f"http://127.0.0.1:{free_port()}")
        side = PublicSide(make_host(Bot(), config), tunnel)
        with pytest.raises(UnreachableError, match="does not lead to this run") as caught:
            await side.open()
        await side.aclose()
        assert server.asked == []
    assert tunnel.closed == 1
    assert "/ws/" not in str(caught.value)


async def test_something_else_that_answers_there_is_not_taken_for_us(tmp_path: Path, keys: None) -> None:
    host, other = (make_host(Bot(), settings(tmp_path)) for _ in range(2))
    there, side = PublicSide(other, FakeTunnel()), PublicSide(host, FakeTunnel())
    try:
        await there.open()
        await side.open()
        assert host.public_calls is not None
        assert other.public_calls is not None
        stranger = PublicAddress.at(other.public_calls.origin)
        with pytest.raises(UnreachableError):
            await probe(stranger, 0.3)
    finally:
        await side.aclose()
        await there.aclose()


async def test_a_number_of_another_run_is_not_taken(tmp_path: Path, keys: None) -> None:
    async with provider_server() as server:
        config = settings(tmp_path, number=CALLED, provider_api=server.url)
        first, second = (PublicSide(make_host(Bot(), config), FakeTunnel()) for _ in range(2))
        try:
            await first.open()
            mine = server.address("twilio")
            with pytest.raises(UsageError, match=r"another botrun \(process \d+\) has \+14•••02"):
                await second.open()
            assert server.address("twilio") == mine
        finally:
            await first.aclose()
        await second.aclose()
        assert server.address("twilio") == BEFORE


async def test_a_public_port_in_use_is_reported(tmp_path: Path, keys: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = Settings(
            transports=("twilio",), public_port=port, proxy="https://h", state_dir=str(tmp_path / "state")
        )
        side = PublicSide(make_host(Bot(), config))
        with pytest.raises(UsageError, match="choose another with --public-port"):
            await side.open()
        await side.aclose()


# ------------------------------------------------------------------ readiness


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"transports": ("twilio", "plivo"), "tunnel": True},
         "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN .*PLIVO_AUTH_ID, PLIVO_AUTH_TOKEN .*NGROK_AUTHTOKEN"),
        ({"transports": ("telnyx",), "proxy": "https://h"}, "TELNYX_API_KEY, TELNYX_PUBLIC_KEY"),
        ({"transports": ("exotel",), "proxy": "https://h"}, "EXOTEL_WEBHOOK_AUTH"),
        ({"transports": ("webrtc",), "tunnel": True}, "add -t twilio"),
        ({"transports": ("twilio",), "number": CALLED}, "--tunnel or --proxy"),
        ({"transports": ("twilio",), "tunnel": True, "proxy": "https://h"}, "either --tunnel or --proxy"),
        ({"transports": ("twilio",), "tunnel_via": "ssh://h/80"}, "needs --proxy HOST"),
        ({"transports": ("exotel",), "proxy": "https://h", "number": CALLED}, "Voicebot applet"),
    ],
)  # fmt: skip
def test_all_that_is_missing_is_reported_at_once(
    asked: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*KEYS, "NGROK_AUTHTOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match=sentence):
        check_public(Settings(**asked), {})


def test_with_its_keys_a_public_run_may_begin_and_a_local_one_needs_none(keys: None) -> None:
    check_public(Settings(transports=("twilio", "telnyx", "plivo", "exotel"), proxy="https://h"), {})
    check_public(Settings(transports=("twilio",)), {})


def test_keys_may_stand_in_dotenv(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    check_public(Settings(transports=("plivo",), proxy="https://h"), KEYS)
