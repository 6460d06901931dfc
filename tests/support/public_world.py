"""A public door with a bot behind it, and requests as the providers sign them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect

from runner.arguments import RunnerArguments, WebSocketRunnerArguments
from runner.botcode.loader import LoadedBot
from runner.callers.wires import Wire, wire_for
from runner.providers import plivo as plivo_scheme
from runner.providers import provider_named
from runner.providers import twilio as twilio_scheme
from runner.server.host import Host
from runner.server.public.address import PublicAddress
from runner.server.public.ledger import Ledger
from runner.server.public.ledger_client import LocalLedgerClient
from runner.server.public.public_calls import PublicCalls
from runner.server.public.public_side import serving
from runner.sessions.registry import SessionLimits, Sessions
from runner.settings import Settings

ORIGIN = "https://bot.example.com"
NOWHERE = "http://127.0.0.1:9"
"""Where no provider is: nothing leaves this machine."""
PHONES = ("twilio", "telnyx", "plivo", "exotel")
CALLER, CALLED = "+14150000001", "+14150000002"
SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = {
    "TWILIO_ACCOUNT_SID": "AC01",
    "TWILIO_AUTH_TOKEN": "canary-twilio-token",
    "TELNYX_API_KEY": "canary-telnyx-key",
    "TELNYX_PUBLIC_KEY": "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
    "TELNYX_CONNECTION_ID": "conn1",
    "PLIVO_AUTH_ID": "MA01",
    "PLIVO_AUTH_TOKEN": "canary-plivo-token",
    "EXOTEL_WEBHOOK_AUTH": "user:canary-exotel-word",
    "EXOTEL_ACCOUNT_SID": "exo1",
    "EXOTEL_API_KEY": "canary-exotel-key",
    "EXOTEL_API_TOKEN": "canary-exotel-token",
}
CANARIES = tuple(value for value in KEYS.values() if "canary" in value)


@dataclass
class Provided:
    """A webhook as a provider sends it."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def call_fields(provider: str, call_id: str, **more: str) -> dict[str, str]:
    if provider == "plivo":
        fields = {"CallUUID": call_id, "From": CALLER[1:], "To": CALLED[1:], "Direction": "inbound"}
    else:
        fields = {"CallSid": call_id, "From": CALLER, "To": CALLED, "Direction": "inbound"}
    return {**fields, **more}


def signed(
    provider: str,
    path: str,
    fields: Mapping[str, str],
    *,
    origin: str = ORIGIN,
    keys: Mapping[str, str] = KEYS,
) -> Provided:
    """A POST of a form, signed for that address."""
    body = urlencode(fields).encode()
    form = {"content-type": "application/x-www-form-urlencoded"}
    url, pairs = origin + path, list(fields.items())
    match provider:
        case "twilio":
            headers = {"x-twilio-signature": twilio_scheme.sign(keys["TWILIO_AUTH_TOKEN"], url, pairs)}
        case "telnyx":
            stamp = str(int(time.time()))
            signature = base64.b64encode(SIGNING_KEY.sign(f"{stamp}|".encode() + body)).decode()
            headers = {"telnyx-signature-ed25519": signature, "telnyx-timestamp": stamp}
        case "plivo":
            signature = plivo_scheme.sign(keys["PLIVO_AUTH_TOKEN"], "POST", url, pairs, "n1")
            headers = {"x-plivo-signature-v3": signature, "x-plivo-signature-v3-nonce": "n1"}
        case _:
            login = base64.b64encode(keys["EXOTEL_WEBHOOK_AUTH"].encode()).decode()
            headers = {"authorization": f"Basic {login}"}
    return Provided("POST", path, {**form, **headers}, body)


def socket_headers(provider: str, url: str, keys: Mapping[str, str] = KEYS) -> dict[str, str]:
    if provider != "twilio":
        return {}
    return {"x-twilio-signature": twilio_scheme.sign(keys["TWILIO_AUTH_TOKEN"], url, [])}


def media_url(provider: str, text: str) -> str:
    """Where an answer document sends the sound."""
    if provider == "exotel":
        return str(json.loads(text)["url"])
    stream = next(ET.fromstring(text).iter("Stream"))
    return stream.attrib.get("url") or str(stream.text)


@dataclass
class World:
    """A served public door; requests go to its loopback port, whatever the public address is."""

    host: Host
    public_calls: PublicCalls
    ledger: Ledger
    port: int
    client: httpx2.AsyncClient

    async def send(self, request: Provided) -> httpx2.Response:
        return await self.client.request(
            request.method,
            f"http://127.0.0.1:{self.port}{request.path}",
            headers=request.headers,
            content=request.body,
        )

    async def answered(self, provider: str, call_id: str) -> str:
        """A call comes in; returns the URL for its sound."""
        path = f"/{provider}/answer"
        answer = await self.send(signed(provider, path, call_fields(provider, call_id)))
        assert answer.status_code == 200, answer.text
        return media_url(provider, answer.text)

    def local(self, url: str) -> str:
        parts = urlsplit(url)
        return f"ws://127.0.0.1:{self.port}{parts.path}" + (f"?{parts.query}" if parts.query else "")

    @contextlib.asynccontextmanager
    async def media(
        self, provider: str, url: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[ClientConnection]:
        """The media socket, opened as that provider does."""
        sent = socket_headers(provider, url) if headers is None else dict(headers)
        async with connect(self.local(url), additional_headers=sent, proxy=None, compression=None) as socket:
            yield socket


def wire(provider: str, call_id: str) -> Wire:
    return wire_for(provider, call_id=call_id, from_number=CALLER, to_number=CALLED)


@dataclass
class Bot:
    """Counts how often it was started; runs `then`, by default until the caller leaves."""

    then: Callable[[WebSocketRunnerArguments], Awaitable[None]] | None = None
    args: list[WebSocketRunnerArguments] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, args: RunnerArguments) -> None:
        assert isinstance(args, WebSocketRunnerArguments)
        self.args.append(args)
        self.started.set()
        if self.then is not None:
            await self.then(args)
        else:
            while (await args.websocket.receive())["type"] != "websocket.disconnect":
                pass


def make_host(bot: Callable[[Any], Awaitable[None]], settings: Settings) -> Host:
    loaded = LoadedBot(Path(__file__), "bot", bot, sys.modules[__name__])  # type: ignore[arg-type]
    return Host(settings, loaded, Sessions(loaded, SessionLimits(sessions=settings.max_sessions)), PHONES)


@contextlib.asynccontextmanager
async def public_world(
    bot: Callable[[Any], Awaitable[None]], *, origin: str = ORIGIN, api: str = NOWHERE, **settings: Any
) -> AsyncIterator[World]:
    host = make_host(bot, Settings(transports=PHONES, **settings))
    providers = {name: provider_named(name, KEYS, api) for name in PHONES}
    ledger = Ledger(host.settings)
    public_calls = PublicCalls(host.settings, PublicAddress.at(origin), providers, LocalLedgerClient(ledger))
    host.public_calls = public_calls
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = listener.getsockname()[1]
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
        with listener:
            async with serving(host, public_calls, listener):
                yield World(host, public_calls, ledger, port, client)
                await host.sessions.shut_down(6)
