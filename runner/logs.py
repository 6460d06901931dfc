"""Logging: one line per event, on standard error.

Lines are coloured text on a terminal and JSON (one object per line) elsewhere; `BOTRUN_LOG` overrides this.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import TextIO

from runner.settings import credentials as keys

# Libraries that log more than the person at the terminal needs.
NOISY = (
    "aioice",
    "aiortc",
    "asyncio",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "python_multipart",
    "uvicorn",
    "watchfiles",
    "websockets",
)

# Untrusted text must not control the terminal, so these characters are escaped: the control characters of
# ASCII and of ISO 6429 (U+009B starts a command, like ESC [), line separators, and bidirectional controls.
_C0, _C1 = (*range(32), 127), range(0x80, 0xA0)
_UNSEEN = (*range(0x2028, 0x202F), *range(0x2066, 0x206A))
_VISIBLE = {code: f"\\x{code:02x}" for code in (*_C0, *_C1) if chr(code) not in "\n\t"}
_VISIBLE |= {code: f"\\u{code:04x}" for code in _UNSEEN}
_VISIBLE_IN_JSON = {code: f"\\u{code:04x}" for code in (127, *_C1, *_UNSEEN)}

_FORGED = re.compile(r"\n(?=\S)")
"""A line break inside a message; the text after it could pass for a log line of ours."""

_FORGED_IN_TRACEBACK = re.compile(r"\n(?=\d\d:\d\d:\d\d |talk |ring |webhook )")

_DIM, _YELLOW, _RED, _BOLD, _RESET = "\x1b[2m", "\x1b[33m", "\x1b[31m", "\x1b[1m", "\x1b[0m"


class TextLines(logging.Formatter):
    """`12:01:03 session 3f2a started`; the level is shown for warnings and errors."""

    def __init__(self, *, colour: bool, verbose: bool) -> None:
        super().__init__()
        self._colour = colour
        self._verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        origin = f" {record.name}" if self._verbose else ""
        message = _FORGED.sub("\n  ", record.getMessage().translate(_VISIBLE))
        line = f"{self._paint(clock + origin, _DIM)} {self._level(record)}{message}"
        return line + self._traceback(record)

    def _level(self, record: logging.LogRecord) -> str:
        if record.levelno < logging.WARNING:
            return ""
        return (
            self._paint(record.levelname.lower(), _RED if record.levelno >= logging.ERROR else _YELLOW) + " "
        )

    def _traceback(self, record: logging.LogRecord) -> str:
        if not record.exc_info:
            return ""
        return "\n" + _FORGED_IN_TRACEBACK.sub(
            "\n  ", self.formatException(record.exc_info).translate(_VISIBLE)
        )

    def _paint(self, text: str, code: str) -> str:
        return f"{code}{text}{_RESET}" if self._colour else text


class JsonLines(logging.Formatter):
    """One JSON object per line. Time in seconds since 1970; `session` where the record has one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if session := getattr(record, "session", None):
            line["session"] = session
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str).translate(_VISIBLE_IN_JSON)


class Lines(logging.StreamHandler[TextIO]):
    """Writes log lines with keys hidden: libraries and bots may log secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return keys.hide(super().format(record))


def configure(
    *, style: str = "auto", verbose: bool = False, colour: bool = True, stream: TextIO | None = None
) -> None:
    """Send all logging to `stream` (standard error). `style` is auto, text or json."""
    stream = stream or sys.stderr
    terminal = stream.isatty()
    as_json = style == "json" or (style == "auto" and not terminal)
    handler = Lines(stream)
    handler.setFormatter(JsonLines() if as_json else TextLines(colour=terminal and colour, verbose=verbose))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)


EACH_S = 60.0
MOST, MOST_KINDS = 2, 12
_DIGITS = re.compile(r"\d+")


class ThrottledLog:
    """Rate-limits log lines that untrusted clients can cause: `MOST` of a kind per `EACH_S` s, then a count.

    Lines whose text is the same apart from digits are one kind, so a flood of one kind does not hide another,
    such as the refusal of a carrier. Beyond `MOST_KINDS`, all further lines count as one kind.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._since = 0.0
        self._counts: dict[str, int] = {}

    def warning(self, message: str, *args: object) -> None:
        """As `Logger.warning`."""
        now = time.monotonic()
        if now - self._since > EACH_S:
            self._report()
            self._since = now
        kind = _DIGITS.sub("", message % args)
        kind = kind if kind in self._counts or len(self._counts) < MOST_KINDS else "of other kinds"
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= MOST:
            self._logger.warning(message, *args)

    def _report(self) -> None:
        for kind, count in self._counts.items():
            if count > MOST:
                self._logger.warning("%d more in the last minute: %s", count - MOST, kind)
        self._counts.clear()
