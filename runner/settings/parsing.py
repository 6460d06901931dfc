"""Parsers of settings and flags: from text to a value, or `UsageError` naming what was expected."""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from runner.errors import UsageError

HIGHEST_PORT = 65535
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off", ""})
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server, like WebRTC's `RTCIceServer`. The credential is never printed."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


def nearest(wrong: str, known: Sequence[str]) -> str:
    """The most similar known word, or ""."""
    return next(iter(get_close_matches(wrong, known, n=1, cutoff=0.5)), "")


def did_you_mean(wrong: str, known: Sequence[str]) -> str:
    """'; did you mean x?' if a known word is similar, else ""."""
    near = nearest(wrong, known)
    return f"; did you mean {near}?" if near else ""


def check_bounds(name: str, value: float | None, least: float, most: float) -> None:
    """Raise `UsageError` if a flag's number is given and out of bounds."""
    if value is not None and not least <= value <= most:
        raise UsageError(f"{name}: expected a number from {least:g} to {most:g}, got {value:g}")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def parse_text(text: str) -> str:
    return text.strip()


def parse_path(text: str) -> str:
    """An existing file or folder."""
    if not Path(text.strip()).expanduser().exists():
        raise UsageError(f"no such file or folder: {text.strip()!r}")
    return str(Path(text.strip()).expanduser())


def parse_bool(text: str) -> bool:
    if text.strip().lower() in _YES:
        return True
    if text.strip().lower() in _NO:
        return False
    raise UsageError(f"expected a boolean (1/0, true/false), got {_quoted(text)}")


def parse_port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= HIGHEST_PORT:
        raise UsageError(f"expected a port from 0 (any free port) to {HIGHEST_PORT}, got {_quoted(text)}")
    return port


def parse_redis(text: str) -> str:
    """The address of a Redis or Valkey; its password is never printed."""
    address = text.strip()
    if not re.fullmatch(r"(rediss?|unix)://\S+", address):
        raise UsageError("expected an address such as redis://host:6379/0")
    return address


def parse_ip(text: str) -> str:
    """An IPv4 address."""
    try:
        return str(ipaddress.IPv4Address(text.strip()))
    except ValueError:
        raise UsageError(f"expected an IPv4 address such as 203.0.113.5, got {_quoted(text)}") from None


def parse_port_range(text: str) -> tuple[int, ...]:
    """First and last port."""
    found = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text.strip())
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= first <= last <= HIGHEST_PORT:
        raise UsageError(f"expected a range of ports such as 40000-40999, got {_quoted(text)}")
    return first, last


def parse_host(text: str) -> str:
    """A host name or IP address to listen on. Whether this machine has it shows when botrun listens."""
    host = text.strip().removeprefix("[").removesuffix("]")
    if _HOST_NAME.fullmatch(host) or _is_address(host):
        return host
    raise UsageError(f"expected a host name or an IP address such as 127.0.0.1, got {_quoted(text)}")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def parse_public(text: str) -> str:
    """The public address as an origin. A bare host means https; http is allowed for this machine only."""
    given = text.strip().rstrip("/")
    scheme, found, rest = given.partition("://")
    scheme, rest = (scheme.lower(), rest) if found else ("https", given)
    host, colon, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
    local = host in {"127.0.0.1", "localhost"}
    if not _HOST_NAME.fullmatch(host) or (colon and not port.isdecimal()):
        raise UsageError(f"expected a host name such as bot.example.com, got {_quoted(text)}")
    if scheme != "https" and not (scheme == "http" and local):
        raise UsageError("a public address must be https: providers connect only to https")
    return f"{scheme}://{rest.lower()}"


def parse_origin(text: str) -> str:
    """An origin as browsers send it: scheme, host and, unless it is the default, port."""
    given = text.strip().rstrip("/").lower()
    if given == "*":
        raise UsageError("name each origin; * would allow every page that you open to use your bot")
    if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?", given):
        raise UsageError(f"expected an origin such as http://localhost:5173, got {_quoted(text[:60])}")
    return given.removesuffix(":80" if given.startswith("http:") else ":443")


def parse_tunnel(text: str) -> str:
    """`ngrok`, or `ssh://user@host[:port]/PORT`: the host forwards its PORT to botrun."""
    given = text.strip()
    if given == "ngrok" or re.fullmatch(r"ssh://([^@/\s:]+@)?[^@/\s]+/\d{1,5}", given):
        return given
    raise UsageError(f"expected ngrok or ssh://user@host/PORT, got {_quoted(text)}")


def parse_phone_number(text: str) -> str:
    """A phone number in E.164 form: + and all digits."""
    number = re.sub(r"[\s().-]", "", text)
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
        raise UsageError(f"expected a phone number such as +14155550100, got {_quoted(text[:20])}")
    return number


def parse_number(*, least: float = 0) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < least:
            raise UsageError(f"expected a number of at least {least:g}, got {_quoted(text)}")
        return number

    return parse


def parse_count(*, least: int = 0) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise UsageError(f"expected a whole number of at least {least}, got {_quoted(text)}")
        return number

    return parse


def parse_choice(*known: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in known:
            raise UsageError(
                f"expected one of {', '.join(known)}, got {_quoted(text)}{did_you_mean(text, known)}"
            )
        return text

    return parse


# ------------------------------------------------------------------ --body


def parse_body(text: str) -> Any:
    """JSON text, or the path of a JSON or YAML file."""
    if text.lstrip()[:1] in {"{", "[", '"'}:
        return _json(text, "the text")
    path = Path(text)
    if path.is_file():
        return _read_body(path)
    try:
        return json.loads(text)
    except ValueError:
        raise UsageError(f"{text!r} is neither a file nor JSON") from None


def _read_body(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {_reason(error)}") from None
    return _yaml(text, path) if path.suffix in {".yaml", ".yml"} else _json(text, str(path))


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{where} is not valid JSON: {error.msg} in line {error.lineno}") from None
    except RecursionError:
        raise UsageError(f"{where} is nested too deeply to read") from None


def _yaml(text: str, path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise UsageError(
            f"{path} is not valid YAML: {getattr(error, 'problem', None) or 'malformed'}{line}"
        ) from None


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "not UTF-8"


# ------------------------------------------------------------------ --ice-server

_ICE_FORMS = (
    'stun:host:port, turn:user:password@host:port, or JSON {"urls": …, "username": …, "credential": …}'
)
_ICE_URL = re.compile(r"(?P<scheme>stuns?|turns?):(?:(?P<login>.*)@)?(?P<rest>[^@\s]+)")


def parse_ice_server(text: str) -> IceServer:
    """One server. In `turn:user:password@host`, write : @ and % of user or password as %3A %40 %25.

    No error repeats the text, because it may contain a password.
    """
    if text.lstrip().startswith("{"):
        return _ice_from_mapping(_json(text, "the ICE server"))
    match = _ICE_URL.fullmatch(text.strip())
    if not match:
        raise UsageError(f"expected an ICE server: {_ICE_FORMS}")
    user, colon, password = (match["login"] or "").partition(":")
    if match["scheme"].startswith("turn") and not (user and colon and password):
        raise UsageError("a TURN server needs credentials: turn:user:password@host:port")
    url = f"{match['scheme']}:{match['rest']}"
    return IceServer((url,), unquote(user), unquote(password)) if user else IceServer((url,))


def _ice_from_mapping(value: Mapping[str, Any]) -> IceServer:
    urls = value.get("urls")
    urls = [urls] if isinstance(urls, str) else urls
    if not isinstance(urls, list) or not urls or not all(_is_ice_url(url) for url in urls):
        raise UsageError(f"expected an ICE server: {_ICE_FORMS}")
    username, credential = value.get("username"), value.get("credential")
    if any(part is not None and not isinstance(part, str) for part in (username, credential)):
        raise UsageError("username and credential of an ICE server must be text")
    return IceServer(tuple(urls), username, credential)


def _is_ice_url(url: Any) -> bool:
    match = _ICE_URL.fullmatch(url) if isinstance(url, str) else None
    return bool(match and not match["login"])


def split_words(text: str) -> list[str]:
    """The items of an environment variable: words separated by spaces, or one JSON list."""
    if not text.lstrip().startswith("["):
        return text.split()
    items = _json(text, "the list")
    return [item if isinstance(item, str) else json.dumps(item) for item in items]
