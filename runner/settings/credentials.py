"""The environment variables of services and phone providers; masks their values in texts.

`settings` reads them for phone providers. A service created without a key reads its own here.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote, quote_plus

from runner.errors import UsageError


@dataclass(frozen=True, slots=True)
class Key:
    """One environment variable. `instead`: what botrun uses if it is not set."""

    env: str
    help: str
    instead: str = ""
    secret: bool = True


KEYS = (
    Key(
        "OPENAI_API_KEY",
        "API key of an OpenAI-compatible server, for the language model.",
        "the scripted dialogue",
    ),
    Key("OPENAI_BASE_URL", "Base URL of that server, if it is not OpenAI.", secret=False),
    Key("OPENAI_MODEL", "Model to use on that server.", secret=False),
    Key("OLLAMA_MODEL", "bots/receptionist.py: model of the Ollama server on this machine.", secret=False),
    Key(
        "PERSON_NUMBER",
        "bots/receptionist.py: number to transfer callers to, such as +14155550199.",
        secret=False,
    ),
    Key("DEEPGRAM_API_KEY", "Deepgram: API key, for speech recognition."),
    Key("CARTESIA_API_KEY", "Cartesia: API key, for its voices."),
    Key("ELEVENLABS_API_KEY", "ElevenLabs: API key, for its voices."),
    Key(
        "BOTRUN_MODELS_DIR",
        "Folder of the models that botrun models downloads.",
        "~/.local/share/botrun/models",
        secret=False,
    ),
    Key("TWILIO_ACCOUNT_SID", "Twilio: account SID.", secret=False),
    Key("TWILIO_AUTH_TOKEN", "Twilio: auth token. Also verifies webhook signatures."),
    Key("TWILIO_SIGNING_SECRET", "Twilio: signing secret, if webhooks are signed with SHA-256."),
    Key("TELNYX_API_KEY", "Telnyx: API key."),
    Key("TELNYX_PUBLIC_KEY", "Telnyx: public key of the account. Verifies webhook signatures.", secret=False),
    Key("TELNYX_CONNECTION_ID", "Telnyx: connection id of the application for botrun dial.", secret=False),
    Key("PLIVO_AUTH_ID", "Plivo: auth ID.", secret=False),
    Key("PLIVO_AUTH_TOKEN", "Plivo: auth token. Also verifies webhook signatures."),
    Key("EXOTEL_WEBHOOK_AUTH", "Exotel: user:password of your choice, the same as in the applet's URL."),
    Key("EXOTEL_ACCOUNT_SID", "Exotel: account SID, for botrun dial.", secret=False),
    Key("EXOTEL_API_KEY", "Exotel: API key, for botrun dial."),
    Key("EXOTEL_API_TOKEN", "Exotel: API token, for botrun dial."),
    Key("DAILY_API_KEY", "Daily: API key. Creates rooms and tokens."),
    Key("DAILY_API_URL", "Daily: base URL of the REST API, if not the default.", secret=False),
    Key("DAILY_ROOM_URL", "Daily: room to use instead of a new one for each call.", secret=False),
    Key("DAILY_SAMPLE_ROOM_URL", "Daily: older name of DAILY_ROOM_URL.", secret=False),
    Key(
        "DAILY_DIALIN_SECRET", "Daily: base64 HMAC secret of the dial-in number. Verifies webhook signatures."
    ),
    Key("NGROK_AUTHTOKEN", "ngrok: authtoken of your account, for --tunnel."),
    Key("ECHO_VAD", "1: bots/echo_bot.py detects speech in the sound that it sends back.", secret=False),
)


SHORTEST = 8
"""Minimum length of a key to mask; shorter texts occur inside words."""

_given: set[str] = set()
"""Keys that bots passed to their services, in all calls of this process."""


def read(env: str) -> str:
    """The value of one of `KEYS`; empty if it is not set."""
    assert any(key.env == env for key in KEYS), env
    return os.environ.get(env, "").strip()


def remember(key: str) -> str:
    """Return the key unchanged; `hide` masks it from now on."""
    if len(key) >= SHORTEST:
        _given.add(key)
    return key


def hide(text: str) -> str:
    """The text with all known keys masked. (Servers repeat keys in their errors.)"""
    return hide_forms(text, secret_forms())


def hide_forms(text: str, forms: tuple[str, ...]) -> str:
    """The text with these forms masked; `secret_forms` returns them all."""
    for form in forms:
        if form in text:
            text = text.replace(form, "…")
    return text


def secret_forms() -> tuple[str, ...]:
    """All keys known now, in all their forms."""
    there = {value for key in KEYS if key.secret and len(value := read(key.env)) >= SHORTEST}
    secrets = sorted(_given | there, key=len, reverse=True)
    return tuple(form for secret in secrets for form in _forms(secret))


def given_count() -> int:
    """Number of keys that bots have passed so far; when it changes, call `secret_forms` again."""
    return len(_given)


@cache
def _forms(secret: str) -> tuple[str, ...]:
    """The key itself, and its forms in URLs, JSON, hexadecimal and base64."""
    raw = secret.encode()
    found = [
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        raw.hex(),
        raw.hex().upper(),
    ]
    # Its base64 has three variants, depending on the bytes before it (as in `user:key`). Characters that
    # also encode neighbouring bytes are not masked.
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        shared = (before + len(raw)) % 3
        inner = encoded[(0, 2, 3)[before] : -4 + shared if shared else None]
        found += [inner, inner.replace("+", "-").replace("/", "_")]
    return tuple(sorted(set(found), key=len, reverse=True))


def need(env: str, given: str | None, who: str) -> str:
    """The given key, else the one in the environment. Raises `UsageError` if both are missing."""
    key = (given or "").strip() or read(env)
    if not key:
        raise UsageError(f"{who} needs an API key. Set {env} in .env, or pass api_key=.")
    return remember(key)
