"""The phone providers' webhooks, answer documents and REST interfaces: one file per provider.

Their media sockets are in `serializers/`. `provider_named("twilio", keys)` makes a provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from runner.errors import UsageError
from runner.providers.base import Provider

PROVIDERS = {
    "twilio": "runner.providers.twilio:Twilio",
    "telnyx": "runner.providers.telnyx:Telnyx",
    "plivo": "runner.providers.plivo:Plivo",
    "exotel": "runner.providers.exotel:Exotel",
}


def provider_class(name: str) -> type[Provider]:
    """A provider's class, by name. Raises `UsageError` for an unknown name."""
    if name not in PROVIDERS:
        raise UsageError(f"{name!r} is not a phone provider: use {', '.join(PROVIDERS)}")
    module, _, cls = PROVIDERS[name].partition(":")
    found: type[Provider] = getattr(import_module(module), cls)
    return found


def provider_named(name: str, keys: Mapping[str, str], api: str = "") -> Provider:
    """A provider. `keys`: its credentials, by environment variable; `api`: the base URL of its REST
    interface, if not the usual one."""
    return provider_class(name)(keys, api=api)


__all__ = ["PROVIDERS", "Provider", "provider_class", "provider_named"]
