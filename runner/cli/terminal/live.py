"""The view of running calls below the log lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

KEYS = {
    "o": "open the page",
    "r": "restart the bot",
    "c": "call it",
    "q": "quit",
    "?": "this help",
}

MOST_ROWS = 8
"""Calls shown; the others are only counted."""

_BARS = " ▁▂▃▄▅▆▇█"


def render(
    state: Mapping[str, Any], *, help_too: bool = False, notice: str = "", keys: Mapping[str, str] = KEYS
) -> RenderableType:
    """`state` is the answer of `/status`; `notice` is shown until it is fixed; `keys` are those that work in
    this run."""
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
    """How loud each side is, 0 to 1."""
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
