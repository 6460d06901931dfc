"""Comparisons as one HTML file that loads nothing. Text of callers and models is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from runner.replay.comparison.findings import aligned
from runner.replay.comparison.verdict import Comparison

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c62828; --good: #2e7d32; --dim: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem } h2 { font-size: 1rem; margin: 2.5rem 0 .5rem; font-family: ui-monospace, monospace }
.verdict { font-weight: 600; padding: .1rem .5rem; border-radius: .3rem; color: #fff; background: var(--dim) }
.same, .better { background: var(--good) } .worse { background: var(--bad) }
table { border-collapse: collapse; width: 100%; margin: .8rem 0 } th { text-align: left; color: var(--dim) }
td, th { padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
td { overflow-wrap: anywhere }
tr.differs td { background: #c6282818 } .dim { color: var(--dim) } td.who { width: 5rem; color: var(--dim) }
"""


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">"""
_TAIL = "</body></html>\n"


def page_of(comparisons: Sequence[Comparison]) -> str:
    """The file's text."""
    body = "\n".join(part for each in comparisons for part in _section(each))
    counts: dict[str, int] = {}
    for each in comparisons:
        counts[each.verdict] = counts.get(each.verdict, 0) + 1
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    title = f"Calls compared: {escape(summary)}"
    head = f"{_HEAD}<title>{title}</title><style>{_STYLE}</style></head>"
    return f"{head}\n<body><h1>{title}</h1>\n{body}\n{_TAIL}"


def _section(comparison: Comparison) -> Iterator[str]:
    verdict = comparison.verdict
    after = ", ".join(facts.id for facts in comparison.after)
    yield f'<h2>{escape(comparison.before.id)} <span class="verdict {verdict}">{verdict}</span></h2>'
    yield f'<p class="dim">replayed as {escape(after)}</p>'
    for doubt in comparison.doubts:
        yield f"<p>{escape(doubt)}</p>"
    if not comparison.findings:
        yield "<p>No difference.</p>"
    else:
        yield "<table><tr><th></th><th>what</th><th>then</th><th>now</th></tr>"
        for finding in comparison.findings:
            cells = (finding.kind, finding.what, finding.before, finding.after)
            row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            yield f'<tr class="{"" if finding.better else "differs"}">{row}</tr>'
        yield "</table>"
    if comparison.after:
        yield from _lines(comparison)


def _lines(comparison: Comparison) -> Iterator[str]:
    yield "<table><tr><th></th><th>then</th><th>now</th></tr>"
    for old, new in aligned(comparison.before.lines, comparison.after[0].lines):
        who = (old or new).who  # type: ignore[union-attr]
        texts = ["" if line is None else line.text for line in (old, new)]
        cells = "".join(f"<td>{escape(text) or '–'}</td>" for text in texts)
        mark = "differs" if texts[0] != texts[1] else ""
        yield f'<tr class="{mark}"><td class="who">{who}</td>{cells}</tr>'
    yield "</table>"
