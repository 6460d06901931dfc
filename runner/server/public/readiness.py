"""Check what a public address needs before any port is opened, and report everything missing at once."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

from runner.errors import UsageError
from runner.providers import PROVIDERS, provider_class
from runner.providers.daily import SECRET
from runner.settings import Settings, read_keys
from runner.tunnels import KEYS, NGROK, check_tunnel

DAILY = "daily"
DAILY_KEYS = ("DAILY_API_KEY", SECRET)
DIAL_IN = "/daily/dialin"


def phones_of(transports: Sequence[str]) -> list[str]:
    """The phone providers among them."""
    return [name for name in transports if name in PROVIDERS]


def is_public(settings: Settings) -> bool:
    """Whether a public address is asked for."""
    return bool(settings.proxy or tunnel_of(settings))


def tunnel_of(settings: Settings) -> str:
    """What the tunnel goes through; "" without one."""
    return settings.tunnel_via or (NGROK if settings.tunnel else "")


def check_public(settings: Settings, dotenv: Mapping[str, str]) -> None:
    """See that a run with a public address can begin.

    Raises:
        UsageError: it cannot; the sentence names everything that is missing.
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
        if lacking and not phones:  # beside a phone provider, dial-in through Daily is not needed
            found.append(f"{', '.join(lacking)} (to verify Daily's webhooks, and to answer)")
    if via == NGROK and not read_keys([KEYS[NGROK]], dotenv):
        found.append(f"{KEYS[NGROK]} (for --tunnel)")
    return found


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
            f"port {port} is not available ({error.strerror}); choose another with --public-port"
        ) from None
    return listener
