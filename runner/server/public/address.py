"""A run's public address: its prerequisites, and the data fixed once the address is known.

Prerequisites are checked before any port is opened, and everything missing is reported at once. The fixed
data is the same for all workers of the run.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from runner.errors import TransportError, UsageError
from runner.providers import PROVIDERS, provider_class
from runner.providers.daily import SECRET
from runner.settings import Settings, read_keys
from runner.tunnels import KEYS, NGROK, check_tunnel


@dataclass(frozen=True, kw_only=True)
class PublicAddress:
    """The public address of a run with its keys. Sent between processes as JSON (`as_dict`).

    Attributes:
        origin: "https://host".
        dial_key: the key that the main port requires and `botrun dial` sends.
        probe_token: token in the URL that the run opens to check its address; `probe_answer` is the response.
        keys: the providers' keys by variable name; editing `.env` later does not change them.
    """

    origin: str
    dial_key: str = field(repr=False)
    probe_token: str = field(repr=False)
    probe_answer: str = field(repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def at(cls, origin: str, dial_key: str = "", keys: Mapping[str, str] | None = None) -> PublicAddress:
        """A public address with new tokens, and a new key unless one is given."""
        return cls(
            origin=origin,
            dial_key=dial_key or secrets.token_urlsafe(24),
            probe_token=secrets.token_urlsafe(24),
            probe_answer=secrets.token_urlsafe(16),
            keys=keys or {},
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def socket_origin(self) -> str:
        return "ws" + self.origin.removeprefix("http")

    @property
    def probe_url(self) -> str:
        return f"{self.socket_origin}/ws/{self.probe_token}"

    def answer_url(self, provider: str) -> str:
        """The webhook URL for a number of this provider."""
        return f"{self.origin}/{provider}/answer"

    def is_probe(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self.probe_token.encode())


WITHIN_S = 20.0
TRY_S = 5.0
PAUSE_S = 0.5


class UnreachableError(TransportError):
    """The public address does not lead to this run."""


async def probe(address: PublicAddress, within_s: float = WITHIN_S) -> None:
    """Open the media socket through the public address; a new tunnel may take a moment.

    Raises:
        UnreachableError: the address does not lead to this run.
    """
    reason = "no answer"
    try:
        async with asyncio.timeout(within_s):
            while True:
                reason = await _try(address)
                if not reason:
                    return
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        raise UnreachableError(
            f"{address.socket_origin}/ws does not lead to this run: {reason}. The tunnel or proxy must"
            " forward to its public port (--public-port), not to its main port, including WebSockets"
        ) from None


async def _try(address: PublicAddress) -> str:
    """Why the address does not lead to this run; "" if it does."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    try:
        async with (
            asyncio.timeout(TRY_S),
            connect(address.probe_url, proxy=None, compression=None, open_timeout=TRY_S) as socket,
        ):
            if await socket.recv() == address.probe_answer:
                return ""
            return "something else answers there"
    except TimeoutError:
        return f"no answer within {TRY_S:g} s"
    except (OSError, WebSocketException) as error:
        # The text may contain the URL with its token.
        text = str(error).replace(address.probe_url, "it")
        return f"{type(error).__name__}: {text}"[:200]


DAILY = "daily"
DAILY_KEYS = ("DAILY_API_KEY", SECRET)
DIAL_IN = "/daily/dialin"


def phones_of(transports: Sequence[str]) -> list[str]:
    """The phone providers among them."""
    return [name for name in transports if name in PROVIDERS]


def is_public(settings: Settings) -> bool:
    """Whether a public address is set."""
    return bool(settings.proxy or tunnel_of(settings))


def tunnel_of(settings: Settings) -> str:
    """The tunnel to use; "" for none."""
    return settings.tunnel_via or (NGROK if settings.tunnel else "")


def check_public(settings: Settings, dotenv: Mapping[str, str]) -> None:
    """Check the prerequisites of a public address.

    Raises:
        UsageError: something is missing; the message names everything that is.
        MissingPackageError: the tunnel's package is not installed.
    """
    if not is_public(settings):
        if settings.number:
            raise UsageError("--number: a number needs a public address; add --tunnel or --proxy HOST")
        return
    phones, via = phones_of(settings.transports), tunnel_of(settings)
    if not phones and DAILY not in settings.transports:
        raise UsageError(f"a public address is for phone calls: add -t {' or -t '.join((*PROVIDERS, DAILY))}")
    _check_ways(settings, via, phones[0] if phones else DAILY)
    if via:
        check_tunnel(via)
    if missing := _missing(settings, phones, via, dotenv):
        raise UsageError(
            f"a public address needs more; set in the environment or in .env: {'; '.join(missing)}"
        )


def _check_ways(settings: Settings, via: str, first: str) -> None:
    if via == NGROK and settings.proxy:
        raise UsageError("ngrok brings its own address: give either --tunnel or --proxy")
    if via.startswith("ssh:") and not settings.proxy:
        raise UsageError("--tunnel-via ssh:// needs --proxy HOST, the address that leads to its port")
    if first == DAILY:
        if settings.number:
            raise UsageError(f"--number: Daily's numbers are set up at Daily: let it ask HOST{DIAL_IN}")
        return
    cls = provider_class(first)
    if settings.number and not cls.can_set_number:
        raise UsageError(f"--number: {cls.title} has no API to set up a number: {cls.by_hand}")


def _missing(settings: Settings, phones: Sequence[str], via: str, dotenv: Mapping[str, str]) -> list[str]:
    found = []
    for name in phones:
        cls = provider_class(name)
        there = read_keys(cls.all_keys(), dotenv)
        signing = () if settings.accept_unsigned_webhooks else cls.signing_keys
        lacking = [key for key in dict.fromkeys((*cls.rest_keys, *signing)) if key not in there]
        if lacking:
            found.append(f"{', '.join(lacking)} (to verify {cls.title}'s webhooks, and to hang up)")
    if DAILY in settings.transports and not settings.accept_unsigned_webhooks:
        lacking = [key for key in DAILY_KEYS if key not in read_keys(DAILY_KEYS, dotenv)]
        if lacking and not phones:  # with a phone provider, Daily's dial-in is optional
            found.append(f"{', '.join(lacking)} (to verify Daily's webhooks, and to answer)")
    if via == NGROK and not read_keys([KEYS[NGROK]], dotenv):
        found.append(f"{KEYS[NGROK]} (for --tunnel)")
    return found


def open_public_listener(settings: Settings) -> socket.socket:
    """A bound TCP socket, by default on loopback; it listens once calls can be accepted.

    Raises:
        UsageError: the port is not available.
    """
    own_tunnel = tunnel_of(settings) and "public_port" not in settings.sources
    port = 0 if own_tunnel else settings.public_port
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by its connections: see `cli/listen.py`.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((settings.public_host, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"port {port} is not available ({error.strerror}); choose another with --public-port"
        ) from None
    return listener
