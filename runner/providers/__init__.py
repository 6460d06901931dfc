"""What the phone companies want of us besides their media sockets: one file per provider.

Each provider checks who sends a webhook, writes the answer document, and does by REST what a call or a
number needs. `provider_named("twilio", keys)` makes one.
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
    """The provider of that name."""
    if name not in PROVIDERS:
        raise UsageError(f"{name!r} is no phone provider ({', '.join(PROVIDERS)})")
    module, _, cls = PROVIDERS[name].partition(":")
    found: type[Provider] = getattr(import_module(module), cls)
    return found


def provider_named(name: str, keys: Mapping[str, str], api: str = "") -> Provider:
    """A provider with its keys, by the names of their variables; `api` is another address of its REST."""
    return provider_class(name)(keys, api=api)


__all__ = ["PROVIDERS", "Provider", "provider_class", "provider_named"]
