"""Reading what a stranger sent: whatever is wrong with it becomes a `ProtocolError`."""

from __future__ import annotations

import binascii
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from runner.errors import ProtocolError

LARGEST_MESSAGE = 256 * 1024
"""Characters (of text) or bytes. Twenty milliseconds of sound take 300, a `start` at most some 5,000."""

_MOST_DIGITS = 18
KEYS = frozenset("0123456789*#ABCD")


def _no_constant(name: str) -> NoReturn:
    raise ProtocolError(f"The message holds {name}, which is not JSON.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ProtocolError("The message holds a number that is too large.")
    return value


_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)


def check_size(message: str | bytes) -> None:
    if len(message) > LARGEST_MESSAGE:
        raise ProtocolError(f"The message is {len(message)} long; {LARGEST_MESSAGE} is the most we take.")


def text_of(message: str | bytes) -> str:
    """The message as text: the providers send text messages only, but UTF-8 in a binary one is harmless."""
    check_size(message)
    if isinstance(message, str):
        return message
    try:
        return bytes(message).decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("A binary message that is no text.") from error


def parse_object(message: str | bytes) -> dict[str, Any]:
    """The JSON object that the message is."""
    try:
        value = _decoder.decode(text_of(message))
    except ValueError as error:  # also a number of more digits than Python cares to read
        raise ProtocolError("The message is not JSON.") from error
    except RecursionError as error:
        raise ProtocolError("The message is nested too deeply.") from error
    if not isinstance(value, dict):
        raise ProtocolError("The message is JSON, but not an object.")
    return value


def check_unicode(text: str) -> str:
    """`text`, if it can be written anywhere: a lone surrogate would break the log, or the next message."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ProtocolError("The message holds half a character (a lone surrogate).") from error
    return text


def text_in(holder: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = holder.get(key, default)
    if not isinstance(value, str):
        raise ProtocolError(f"`{key}` is not a text.")
    return check_unicode(value)


def object_in(holder: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = holder.get(key)
    if not isinstance(value, dict):
        raise ProtocolError(f"`{key}` is not an object.")
    return value


def integer(value: object, key: str) -> int | None:
    """A number that may come as `1` or as `"1"` (Plivo writes numbers, the others strings)."""
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_MOST_DIGITS:
        return value
    raise ProtocolError(f"`{key}` is not a number from 0 to 10^{_MOST_DIGITS}.")


def integer_in(holder: Mapping[str, Any], key: str) -> int | None:
    return integer(holder.get(key), key)


def base64_bytes(text: str) -> bytes:
    """What the base64 text means; strict, for a stray character would shift every sample after it."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise ProtocolError("The payload is not base64.") from error


def base64_text(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def digit_in(holder: Mapping[str, Any], key: str) -> str:
    """One key of a phone: 0-9 * # A-D."""
    value = holder.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if 0 <= value <= 9 else None
    if not isinstance(value, str) or value.upper() not in KEYS:
        raise ProtocolError(f"`{key}` is not a key of a phone.")
    return value.upper()


def texts_in(holder: Mapping[str, Any], key: str) -> dict[str, str]:
    """An object of texts, as custom parameters are; numbers and truth values become texts."""
    value = holder.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ProtocolError(f"`{key}` is not an object.")
    return {check_unicode(name): _as_text(item, name) for name, item in value.items()}


def _as_text(value: object, key: str) -> str:
    if isinstance(value, str):
        return check_unicode(value)
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    try:
        return check_unicode(json.dumps(value, ensure_ascii=False))
    except (RecursionError, ValueError) as error:
        raise ProtocolError(f"`{key}` cannot be read as a text.") from error
