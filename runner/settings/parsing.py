"""Text that a person typed, turned into a value, or into one sentence that says what it should be."""

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
    """A STUN or TURN server, as WebRTC's `RTCIceServer` has it. The credential is never printed."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


def nearest(wrong: str, known: Sequence[str]) -> str:
    """What was probably meant, or ""."""
    return next(iter(get_close_matches(wrong, known, n=1, cutoff=0.5)), "")


def did_you_mean(wrong: str, known: Sequence[str]) -> str:
    """'; did you mean x?' if something known is near, else nothing."""
    near = nearest(wrong, known)
    return f"; did you mean {near}?" if near else ""


def check_bounds(name: str, value: float | None, least: float, most: float) -> None:
    """Raises `UsageError` unless a flag's number, if it was given, lies within its bounds."""
    if value is not None and not least <= value <= most:
        raise UsageError(f"{name}: it is a number from {least:g} to {most:g}, not {value:g}")


def parse_text(text: str) -> str:
    return text.strip()


def parse_path(text: str) -> str:
    """A file or folder that is there."""
    if not Path(text.strip()).expanduser().exists():
        raise UsageError(f"there is no file or folder {text.strip()!r}")
    return str(Path(text.strip()).expanduser())


def parse_bool(text: str) -> bool:
    if text.strip().lower() in _YES:
        return True
    if text.strip().lower() in _NO:
        return False
    raise UsageError(f"it is either 1 or 0, not {text!r}")


def parse_port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= HIGHEST_PORT:
        raise UsageError(f"a port is a whole number from 0 (any free one) to {HIGHEST_PORT}, not {text!r}")
    return port


def parse_host(text: str) -> str:
    """A name or an address to listen on; whether this machine has it shows when it is opened."""
    host = text.strip().removeprefix("[").removesuffix("]")
    if _HOST_NAME.fullmatch(host) or _is_address(host):
        return host
    raise UsageError(f"a host is a name or an address such as 127.0.0.1, not {text!r}")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def parse_public(text: str) -> str:
    """The address that the world knows, as an origin: a host means https. Plain http only on this machine."""
    given = text.strip().rstrip("/")
    scheme, found, rest = given.partition("://")
    scheme, rest = (scheme.lower(), rest) if found else ("https", given)
    host, colon, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
    local = host in {"127.0.0.1", "localhost"}
    if not _HOST_NAME.fullmatch(host) or (colon and not port.isdecimal()):
        raise UsageError(f"a public address is a host such as bot.example.com, not {text!r}")
    if scheme != "https" and not (scheme == "http" and local):
        raise UsageError("a public address is https: providers send nothing to any other")
    return f"{scheme}://{rest.lower()}"


def parse_origin(text: str) -> str:
    """A site as browsers name it: scheme, host and, unless it is the scheme's own, port."""
    given = text.strip().rstrip("/").lower()
    if given == "*":
        raise UsageError("name each site: * would let any page that you open use your bot")
    if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?", given):
        raise UsageError(f"a site is http://localhost:5173 or https://app.example, not {text[:60]!r}")
    return given.removesuffix(":80" if given.startswith("http:") else ":443")


def parse_tunnel(text: str) -> str:
    """`ngrok`, or `ssh://user@host[:port]/PORT`: the port that the SSH host forwards to us."""
    given = text.strip()
    if given == "ngrok" or re.fullmatch(r"ssh://([^@/\s:]+@)?[^@/\s]+/\d{1,5}", given):
        return given
    raise UsageError(f"a tunnel goes via ngrok or ssh://user@host/PORT, not {text!r}")


def parse_phone_number(text: str) -> str:
    """A number with its + and all digits, as providers take it."""
    number = re.sub(r"[\s().-]", "", text)
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
        raise UsageError(f"a phone number is + and all its digits, such as +14155550100, not {text[:20]!r}")
    return number


def parse_number(*, least: float = 0) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < least:
            raise UsageError(f"it is a number from {least:g} up, not {text!r}")
        return number

    return parse


def parse_count(*, least: int = 0) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise UsageError(f"it is a whole number from {least} up, not {text!r}")
        return number

    return parse


def parse_choice(*known: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in known:
            raise UsageError(f"it is one of {', '.join(known)}, not {text!r}{did_you_mean(text, known)}")
        return text

    return parse


# ------------------------------------------------------------------ --body


def parse_body(text: str) -> Any:
    """JSON as it stands, or the name of a JSON or YAML file."""
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
        raise UsageError(f"{where} is not JSON: {error.msg} in line {error.lineno}") from None
    except RecursionError:
        raise UsageError(f"{where} is not JSON that can be read: it is nested too deeply") from None


def _yaml(text: str, path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise UsageError(
            f"{path} is not YAML: {getattr(error, 'problem', None) or 'malformed'}{line}"
        ) from None


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"


# ------------------------------------------------------------------ --ice-server

_ICE_FORMS = (
    'stun:host:port, turn:user:password@host:port, or JSON {"urls": …, "username": …, "credential": …}'
)
_ICE_URL = re.compile(r"(?P<scheme>stuns?|turns?):(?:(?P<login>.*)@)?(?P<rest>[^@\s]+)")


def parse_ice_server(text: str) -> IceServer:
    """One server. In `turn:user:password@host`, write : @ and % of user or password as %3A %40 %25.

    No message repeats the text, for a password may stand in it.
    """
    if text.lstrip().startswith("{"):
        return _ice_from_mapping(_json(text, "the ICE server"))
    match = _ICE_URL.fullmatch(text.strip())
    if not match:
        raise UsageError(f"an ICE server is {_ICE_FORMS}")
    user, colon, password = (match["login"] or "").partition(":")
    if match["scheme"].startswith("turn") and not (user and colon and password):
        raise UsageError("a TURN server needs credentials: turn:user:password@host:port")
    url = f"{match['scheme']}:{match['rest']}"
    return IceServer((url,), unquote(user), unquote(password)) if user else IceServer((url,))


def _ice_from_mapping(value: Mapping[str, Any]) -> IceServer:
    urls = value.get("urls")
    urls = [urls] if isinstance(urls, str) else urls
    if not isinstance(urls, list) or not urls or not all(_is_ice_url(url) for url in urls):
        raise UsageError(f"an ICE server is {_ICE_FORMS}")
    username, credential = value.get("username"), value.get("credential")
    if any(part is not None and not isinstance(part, str) for part in (username, credential)):
        raise UsageError("username and credential of an ICE server are text")
    return IceServer(tuple(urls), username, credential)


def _is_ice_url(url: Any) -> bool:
    match = _ICE_URL.fullmatch(url) if isinstance(url, str) else None
    return bool(match and not match["login"])


def split_words(text: str) -> list[str]:
    """What an environment variable lists: words with space between them, or one JSON list."""
    if not text.lstrip().startswith("["):
        return text.split()
    items = _json(text, "the list")
    return [item if isinstance(item, str) else json.dumps(item) for item in items]
