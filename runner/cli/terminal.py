"""The terminal of a run: log lines above, running calls below, and keys."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import tty
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from runner import logs
from runner.cli.call import PROVIDERS

if TYPE_CHECKING:
    from runner.settings import Settings

KEYS = {
    "o": "open the page",
    "i": "inspect the last call",
    "r": "restart the bot",
    "c": "call it",
    "q": "quit",
    "?": "this help",
}

LAST_CALL = "/calls?call=last"

MOST_ROWS = 8
"""Maximum number of calls shown; the others are only counted."""

_BARS = " ▁▂▃▄▅▆▇█"


def render(
    state: Mapping[str, Any], *, help_too: bool = False, notice: str = "", keys: Mapping[str, str] = KEYS
) -> RenderableType:
    """Render the run. `state` is the answer of `/status`; `notice` is a current problem; `keys` are the keys
    of this run."""
    sessions: Sequence[Mapping[str, Any]] = state.get("sessions", ())
    parts: list[RenderableType] = [Text("─" * 40, "dim")]
    if notice:
        parts.append(Text(notice, "red"))
    if sessions:
        parts.append(_calls(sessions[:MOST_ROWS]))
    if len(sessions) > MOST_ROWS:
        parts.append(Text(f"and {len(sessions) - MOST_ROWS} more calls", "dim"))
    parts.append(_summary(len(sessions), state.get("turns", {})) if state else Text("starting …", "dim"))
    parts += _help(keys) if help_too else [_hint(keys)]
    return Group(*parts)


def _calls(sessions: Sequence[Mapping[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for session in sessions:
        table.add_row(
            Text("●", "green"),
            Text(str(session["kind"]), "bold"),
            Text(str(session["id"]), "dim"),
            _clock(float(session["secs"])),
            _levels(session.get("levels", {})),
            _last_turn(session.get("last_turn_ms", {})),
        )
    return table


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _levels(levels: Mapping[str, float]) -> Text:
    """The level of each side, 0 to 1."""
    shown = [f"{who} {_bar(levels[key])}" for key, who in (("in", "caller"), ("out", "bot")) if key in levels]
    return Text("  ".join(shown), "cyan")


def _bar(level: float) -> str:
    return _BARS[min(max(round(level * (len(_BARS) - 1)), 0), len(_BARS) - 1)]


def _last_turn(parts: Mapping[str, float]) -> Text:
    if not parts:
        return Text("no spoken turn answered yet", "dim")
    made_of = " + ".join(f"{name} {ms / 1000:.2f}" for name, ms in parts.items() if ms >= 1)
    return Text.assemble(
        "answered in ", (f"{sum(parts.values()) / 1000:.2f} s", "bold"), (f" = {made_of}", "dim")
    )


def _summary(calls: int, turns: Mapping[str, float]) -> Text:
    text = Text(f"{calls} call{'s' if calls != 1 else ''}")
    if turns.get("n"):
        p50, p95 = turns["p50_ms"] / 1000, turns["p95_ms"] / 1000
        text.append(f"   turn latency {p50:.2f} s p50, {p95:.2f} s p95 (n={turns['n']:.0f})")
    return text


def _hint(keys: Mapping[str, str]) -> Text:
    return Text("   ".join(f"{key} {what}" for key, what in keys.items() if key != "?") + "   ? help", "dim")


def _help(keys: Mapping[str, str]) -> Iterator[RenderableType]:
    for key, what in keys.items():
        yield Text.assemble((f"  {key}  ", "bold"), what)
    yield Text("  answered in: pause (the VAD waiting for more) + ears + model + voice + line", "dim")


LOOK_S = 0.5
"""Interval (s) at which the workers are asked for the state of their calls."""

MOST_OUTPUT_BYTES = 1 << 16
END_OF_INPUT = b""


class Run(Protocol):
    """The part of the supervisor that the terminal uses."""

    def look(self) -> None: ...
    def state(self) -> Mapping[str, Any]: ...
    def notice(self) -> str: ...
    def open_page(self, path: str = "") -> None: ...
    def restart(self) -> None: ...
    def stop(self) -> None: ...


class Terminal:
    """Shows a run and handles its keys.

    Attributes:
        output: file descriptor that the run's processes write to; its lines appear above the calls.
    """

    def __init__(self, settings: Settings, console: Console | None = None) -> None:
        self._settings = settings
        self._console = console or Console(highlight=False)
        self._master, self.output = pty.openpty()
        self._rest = b""
        self._help = False
        rings = any(name in PROVIDERS for name in settings.transports)
        self._keys = {key: what for key, what in KEYS.items() if key != "c" or rings}
        self._run: Run | None = None
        self._call: subprocess.Popen[bytes] | None = None
        self._live = Live(
            get_renderable=self._view,
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )

    @contextlib.asynccontextmanager
    async def showing(self, run: Run) -> AsyncIterator[None]:
        """Show the run while the block lasts; then restore the terminal."""
        self._run = run
        loop = asyncio.get_running_loop()
        self._fit()
        loop.add_signal_handler(signal.SIGWINCH, self._fit)
        loop.add_reader(self._master, self._read)
        looking = asyncio.create_task(self._look(), name="terminal")
        try:
            with self._live, read_keys(self._pressed):
                logs.configure(style="text", stream=_Lines(self._show))  # type: ignore[arg-type]
                yield
        finally:
            logs.configure(style=self._settings.log, verbose=self._settings.verbose)
            looking.cancel()
            await asyncio.wait({looking})
            loop.remove_signal_handler(signal.SIGWINCH)
            loop.remove_reader(self._master)
            self._close()

    # ------------------------------------------------------------ out

    def _fit(self) -> None:
        """Give the processes' terminal the size of ours."""
        columns, rows = self._console.size
        fcntl.ioctl(self.output, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        try:
            data = os.read(self._master, MOST_OUTPUT_BYTES)
        except OSError:
            return
        *lines, self._rest = (self._rest + data).replace(b"\r", b"").split(b"\n")
        for line in lines:
            self._show(line.decode(errors="replace"))

    def _show(self, line: str) -> None:
        self._console.print(Text.from_ansi(line), soft_wrap=True)

    def _view(self) -> RenderableType:
        if self._run is None:
            return Text()
        return render(self._run.state(), help_too=self._help, notice=self._run.notice(), keys=self._keys)

    async def _look(self) -> None:
        while True:
            assert self._run is not None
            self._run.look()
            self._live.refresh()
            await asyncio.sleep(LOOK_S)

    # ------------------------------------------------------------ in

    def _pressed(self, key: str) -> None:
        run = self._run
        assert run is not None
        actions: Mapping[str, Callable[[], None]] = {
            "o": run.open_page,
            "i": lambda: run.open_page(LAST_CALL),
            "r": run.restart,
            "c": self._ring,
            "q": run.stop,
            "?": self._toggle_help,
        }
        action = actions.get(key.lower())
        if action is not None:
            action()
            self._live.refresh()

    def _toggle_help(self) -> None:
        self._help = not self._help

    def _ring(self) -> None:
        """Call the bot, or hang up."""
        from runner.cli.call import last_call

        if self._call is not None and self._call.poll() is None:
            self._call.send_signal(signal.SIGINT)
            return
        words = last_call(self._settings)
        if not words:
            self._show("This run serves no phone. Add -t twilio to call it.")
            return
        self._call = subprocess.Popen(
            [sys.executable, "-P", "-m", "runner.cli", "call", *words],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
        )

    def _close(self) -> None:
        if self._call is not None and self._call.poll() is None:
            self._call.terminate()
            self._call.wait()
        os.set_blocking(self._master, False)
        self._read()
        if self._rest:
            self._show(self._rest.decode(errors="replace"))
        os.close(self._master)
        os.close(self.output)


class _Lines:
    """A stream for log lines that passes whole lines to `show`."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self._show(line)
        return len(text)

    def flush(self) -> None: ...


@contextlib.contextmanager
def read_keys(pressed: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, call `pressed` with each key, without Enter, in the running loop.

    Ctrl-C stays a signal. The terminal is always restored.
    """
    terminal, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(terminal)

    def read() -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError):
            data = os.read(terminal, 64)
            if data == END_OF_INPUT:
                loop.remove_reader(terminal)
            elif not data.startswith(b"\x1b"):  # ignore arrows and function keys
                for key in data.decode(errors="ignore"):
                    pressed(key)

    tty.setcbreak(terminal, termios.TCSANOW)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSANOW, before)
