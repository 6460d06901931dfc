"""The variables that services and phone providers read: their names and what they are.

`settings` reads them for phone providers. A service that was given no key looks here for its own.
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
    """A variable that services of bots read. `instead` is what is used while it is missing."""

    env: str
    help: str
    instead: str = ""
    secret: bool = True


KEYS = (
    Key(
        "OPENAI_API_KEY",
        "Key of an OpenAI-compatible server for the language model.",
        "the scripted dialogue",
    ),
    Key("OPENAI_BASE_URL", "Where that server is, if it is not OpenAI's own.", secret=False),
    Key("OPENAI_MODEL", "Which of its models to ask.", secret=False),
    Key("OLLAMA_MODEL", "bots/receptionist.py: a model of the Ollama on this machine.", secret=False),
    Key("PERSON_NUMBER", "bots/receptionist.py: who callers are handed over to, +14155550199.", secret=False),
    Key("DEEPGRAM_API_KEY", "Deepgram: the API key, for speech recognition."),
    Key("CARTESIA_API_KEY", "Cartesia: the API key, for its voices."),
    Key("ELEVENLABS_API_KEY", "ElevenLabs: the API key, for its voices."),
    Key(
        "BOTRUN_MODELS_DIR",
        "The folder of the models that botrun models fetches.",
        "~/.local/share/botrun/models",
        secret=False,
    ),
    Key("TWILIO_ACCOUNT_SID", "Twilio: the account.", secret=False),
    Key("TWILIO_AUTH_TOKEN", "Twilio: its auth token, with which webhooks are signed, too."),
    Key("TWILIO_SIGNING_SECRET", "Twilio: the shared key, if webhooks are signed by SHA-256 with one."),
    Key("TELNYX_API_KEY", "Telnyx: the API key."),
    Key("TELNYX_PUBLIC_KEY", "Telnyx: the account's public key, which checks webhooks.", secret=False),
    Key("TELNYX_CONNECTION_ID", "Telnyx: the application that botrun dial calls out with.", secret=False),
    Key("PLIVO_AUTH_ID", "Plivo: the account.", secret=False),
    Key("PLIVO_AUTH_TOKEN", "Plivo: its auth token, with which webhooks are signed, too."),
    Key("EXOTEL_WEBHOOK_AUTH", "Exotel: user:password of your own choice, as in the applet's address."),
    Key("EXOTEL_ACCOUNT_SID", "Exotel: the account, for botrun dial.", secret=False),
    Key("EXOTEL_API_KEY", "Exotel: the API key, for botrun dial."),
    Key("EXOTEL_API_TOKEN", "Exotel: the API token, for botrun dial."),
    Key("DAILY_API_KEY", "Daily: the API key, which makes rooms and tokens."),
    Key("DAILY_API_URL", "Daily: another address of its interface than the usual one.", secret=False),
    Key("DAILY_ROOM_URL", "Daily: a room of yours to use instead of a new one for each call.", secret=False),
    Key("DAILY_SAMPLE_ROOM_URL", "Daily: the same, by its older name.", secret=False),
    Key("DAILY_DIALIN_SECRET", "Daily: the base64 hmac of the number's dial-in, which signs its webhooks."),
    Key("NGROK_AUTHTOKEN", "ngrok: the token of your account, for --tunnel."),
    Key("ECHO_VAD", "1: bots/echo_bot.py runs voice detection on the sound it sends back.", secret=False),
)


SHORTEST = 8
"""What is shorter is no key, and stands in words."""

_given: set[str] = set()
"""Keys that the code of a bot gave to its services, for all calls of the process."""


def read(env: str) -> str:
    """The value of one of `KEYS`; empty if it is not set."""
    assert any(key.env == env for key in KEYS), env
    return os.environ.get(env, "").strip()


def remember(key: str) -> str:
    """The key that a service will use, which `hide` knows from now on."""
    if len(key) >= SHORTEST:
        _given.add(key)
    return key


def hide(text: str) -> str:
    """A text from outside, without the keys that stand in it: servers repeat what they refuse."""
    there = {value for key in KEYS if key.secret and len(value := read(key.env)) >= SHORTEST}
    for secret in sorted(_given | there, key=len, reverse=True):
        for form in _forms(secret):
            text = text.replace(form, "…")
    return text


@cache
def _forms(secret: str) -> tuple[str, ...]:
    """As it is, and as it stands in addresses, JSON, hexadecimal and base64."""
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
    # Its base64 depends on the bytes before it (`user:key` of a login), in one of three ways. The characters
    # that it shares with its neighbours stay.
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        shared = (before + len(raw)) % 3
        inner = encoded[(0, 2, 3)[before] : -4 + shared if shared else None]
        found += [inner, inner.replace("+", "-").replace("/", "_")]
    return tuple(sorted(set(found), key=len, reverse=True))


def need(env: str, given: str | None, who: str) -> str:
    """The key that `who` was given, or else the one in the environment. Raises `UsageError` without any."""
    key = (given or "").strip() or read(env)
    if not key:
        raise UsageError(f"{who} needs a key: set {env} in .env, or pass api_key=")
    return remember(key)
