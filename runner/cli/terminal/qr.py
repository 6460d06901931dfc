"""A QR code in the terminal: two rows of modules to a line, black on white in any terminal."""

from __future__ import annotations

from rich.text import Text

_HALVES = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
_QUIET_MODULES = 2
"""The standard asks for four; all readers do with two, and the terminal is small."""


def qr_code(text: str) -> Text:
    """For a console to print."""
    import segno

    rows = [list(row) for row in segno.make(text, error="l", micro=False).matrix_iter(border=_QUIET_MODULES)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    lines = [
        "".join(_HALVES[bool(above), bool(below)] for above, below in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]
    return Text("\n".join(lines), style="#000000 on #ffffff", no_wrap=True)
