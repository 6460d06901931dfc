"""The table that the terminal shows once the bot is reachable."""

from __future__ import annotations

import ast
import logging
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runner.server.access import is_loopback
from runner.server.public.address import DIAL_IN
from runner.server.wire.tls import lan_address
from runner.settings import KEYS, find_dotenv, is_set
from runner.settings.transports import TRANSPORTS

if TYPE_CHECKING:
    from runner.server.host import Host

logger = logging.getLogger(__name__)

Row = tuple[str, Text]

_KEY_NAME = re.compile(r"[A-Z][A-Z0-9_]*_(API_KEY|AUTH_TOKEN|TOKEN|SECRET|ACCOUNT_SID)")
_QR_HALVES = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
_QR_QUIET_MODULES = 2
"""The standard requires four, but all readers accept two."""


CALLS_PATH = "/calls"
_AFTER_TALK = 3


class Banner:
    """Shows a run that listens. `dotenv`: the `.env` that was read, if any."""

    def __init__(self, dotenv: Path | None = None) -> None:
        self._dotenv = dotenv

    def show(self, host: Host) -> None:
        console = Console(highlight=False)
        rows = list(self._rows(host))
        if console.is_terminal:
            if host.settings.record is not False:
                rows.insert(_AFTER_TALK, ("recorded", _link(page_address(host, CALLS_PATH))))
            console.print(as_table(rows))
        else:
            # In one write: `botrun call` separates these lines from the bot's output.
            sys.stdout.write("".join(f"{name:<12}{value.plain}\n" for name, value in rows))
            sys.stdout.flush()
        if console.is_terminal and (mobile := mobile_address(host)):
            console.print(qr_code(mobile))
        if host.settings.open_page:
            open_page(page_address(host))

    def _rows(self, host: Host) -> Iterator[Row]:
        first, *others = host.transports or ("none",)
        yield "bot", Text.assemble((str(shown_path(host.bot.path)), "bold"), f"  {host.bot.function_name}()")
        yield "transports", Text(", ".join((f"{first} (default)" if others else first, *others)))
        yield "talk", _link(page_address(host), "bold cyan")
        if mobile := mobile_address(host):
            note = "  on this network; the browser asks once to trust the certificate"
            yield "mobile", _link(mobile, "bold cyan").append(note, "default not bold not link")
        yield from _socket_rows(host)
        yield from _number_rows(host)
        if self._dotenv:
            yield "settings", Text(str(shown_path(self._dotenv.resolve())))
        yield from key_rows(host.bot.path)
        if not is_loopback(host.settings.host) and not host.settings.https:
            yield (
                "",
                Text(
                    "other machines reach it, but their browsers need HTTPS for the microphone (--https)",
                    "dim",
                ),
            )


def announce(host: Host) -> None:
    """Show the banner, with the `.env` that was read."""
    Banner(find_dotenv(host.bot.path)).show(host)


def open_its_page(host: Host, path: str = "") -> None:
    """Open the page of a run in a browser, or its page at `path`."""
    open_page(page_address(host, path))


def as_table(rows: list[Row]) -> Table:
    table = Table(
        box=box.ROUNDED,
        border_style="dim",
        show_header=False,
        title=f"botrun {version('botrun')}  [dim]Ctrl-C stops it[/dim]",
        title_justify="left",
        title_style="bold",
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def shown_path(path: Path) -> Path:
    """Relative to the working directory if it is inside."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _link(url: str, style: str = "cyan") -> Text:
    return Text(url, style=f"{style} link {url}")


def _socket_rows(host: Host) -> Iterator[Row]:
    """One row per WebSocket path; several providers may share one."""
    by_path: dict[str, list[str]] = {}
    for name in host.transports:
        by_path.setdefault(TRANSPORTS[name].path, []).append(name)
    by_path.pop("/", None)
    for path, names in by_path.items():
        yield "socket", _link(address(host, path, "ws")).append(f"  {', '.join(names)}", "default not link")


def _number_rows(host: Host) -> Iterator[Row]:
    """How a phone number reaches the bot, or that none can."""
    public_calls, number = host.public_calls, host.settings.number
    if public_calls is None:
        if phones := [name for name in host.transports if TRANSPORTS[name].path == "/ws"]:
            command = f"botrun call -t {phones[0]}"
            note = f"from this machine with {command}; for a real number add --tunnel or --proxy HOST"
            yield "calls", Text(note, "dim")
        return
    if host.rooms is not None:
        note = "  set as room_creation_api of your number at Daily"
        yield "webhook", _link(f"{public_calls.origin}{DIAL_IN}").append(note, "default not link")
    for name in public_calls.providers:
        row = _link(public_calls.answer_url(name))
        if name == public_calls.default and number:
            yield "ring", Text.assemble((number, "bold green"), f"  {name} calls ", row)
        else:
            yield "webhook", row.append(f"  set as the webhook of your number at {name}", "default not link")


def page_address(host: Host, path: str = "") -> str:
    """The address of a page, with the key if others can reach the run (`server/access.py`)."""
    if path and host.login_key:
        path += f"{'&' if '?' in path else '?'}key={host.login_key}"
    return address(host, path or _page(host), "http")


def mobile_address(host: Host) -> str:
    """The page's address for other devices on the network; "" without `--https`."""
    name = host.settings.host
    if not host.settings.https or is_loopback(name):
        return ""
    reachable = lan_address() if is_any(name) else name
    return address(host, _page(host), "http", reachable) if reachable else ""


def _page(host: Host) -> str:
    return f"/?key={host.login_key}" if host.login_key else ""


def address(host: Host, path: str, scheme: str, name: str = "") -> str:
    """The URL of a path, at an address that this machine's browser can open."""
    name, secure = name or host.settings.host, "s" if host.settings.https else ""
    reachable = "localhost" if is_any(name) else f"[{name}]" if ":" in name else name
    return f"{scheme}{secure}://{reachable}:{host.settings.port}{path}"


def is_any(host: str) -> bool:
    """Whether the host means all of this machine's addresses."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


# ------------------------------------------------------------------ QR code


def qr_code(text: str) -> Text:
    """A QR code as text for a rich console: two rows of modules per line, black on white."""
    import segno

    rows = [
        list(row) for row in segno.make(text, error="l", micro=False).matrix_iter(border=_QR_QUIET_MODULES)
    ]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    lines = [
        "".join(_QR_HALVES[bool(above), bool(below)] for above, below in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]
    return Text("\n".join(lines), style="#000000 on #ffffff", no_wrap=True)


# ------------------------------------------------------------------ keys


def key_rows(bot: Path) -> Iterator[Row]:
    """Which keys named in the bot's file are set, and what replaces the others. Shows no values."""
    named = names_in(bot)
    instead = {key.env: key.instead for key in KEYS if key.secret}
    wanted = sorted(name for name in named if name in instead or _KEY_NAME.fullmatch(name))
    if found := [name for name in wanted if is_set(name)]:
        yield "keys found", Text(", ".join(found), style="green")
    for name in wanted:
        if not is_set(name):
            used = f"; {instead[name]} is used instead" if instead.get(name) else ""
            yield "key missing", Text.assemble((name, "yellow"), used)


def names_in(bot: Path) -> set[str]:
    """All string constants of a file, which include the names of environment variables."""
    try:
        tree = ast.parse(bot.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


# ------------------------------------------------------------------ the browser


def open_page(url: str) -> None:
    """Open the page without waiting for the browser."""
    threading.Thread(target=_open, args=(url,), name="open the page", daemon=True).start()


def _open(url: str) -> None:
    import subprocess

    program = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if program is None:
        logger.warning("No browser found. Open %s yourself.", url)
        return
    subprocess.Popen(
        [program, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
