"""Lines, dots and words on a sheet, as SVG or PNG. Places are pixels from the upper left corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

from runner.errors import MissingPackageError

Point = tuple[float, float]

FONT_PX = 13
SHARPER = 2
"""A PNG has so many pixels for each of the drawing's."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; `dashed` for what is not measured."""

    points: Sequence[Point]
    colour: str
    width: float = 1.5
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Dot:
    """A small disc."""

    at: Point
    colour: str
    radius: float = 3.0
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Words:
    """Text; `anchor` is "start", "middle" or "end"; `at` is on its base line."""

    at: Point
    text: str
    anchor: str = "start"
    colour: str = "#333333"
    bold: bool = False


class Drawing:
    """A sheet of `width` by `height` pixels, white."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.marks: list[Line | Dot | Words] = []

    def add(self, *marks: Line | Dot | Words) -> None:
        """Draw over what is there."""
        self.marks += marks

    def save(self, path: Path) -> None:
        """Write it, as the file's name says."""
        if path.suffix == ".png":
            self._save_png(path)
        else:
            path.write_text(self.svg(), encoding="utf-8")

    # ------------------------------------------------------------ SVG

    def svg(self) -> str:
        """The drawing as SVG."""
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        font = f'font-family="system-ui, sans-serif" font-size="{FONT_PX}"'
        body = "\n".join(_as_svg(mark) for mark in self.marks)
        sheet = '<rect width="100%" height="100%" fill="white"/>'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>\n{sheet}\n{body}\n</svg>\n'

    # ------------------------------------------------------------ PNG

    def _save_png(self, path: Path) -> None:
        try:
            from PIL import Image, ImageDraw
        except ImportError:
            raise MissingPackageError("a PNG", "pillow", "pip install 'botrun[plot]'") from None
        image = Image.new("RGB", (self.width * SHARPER, self.height * SHARPER), "white")
        pen = ImageDraw.Draw(image, "RGBA")
        for mark in self.marks:
            _draw(pen, mark)
        image.save(path)


def _as_svg(mark: Line | Dot | Words) -> str:
    match mark:
        case Line(points=points, colour=colour, width=width, dashed=dashed):
            places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            dash = ' stroke-dasharray="5 4"' if dashed else ""
            look = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"{dash}'
            return f'<polyline points="{places}" {look}/>'
        case Dot(at=(x, y), colour=colour, radius=radius, opacity=opacity):
            seen = "" if opacity == 1 else f' fill-opacity="{opacity}"'
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"{seen}/>'
        case Words(at=(x, y), text=text, anchor=anchor, colour=colour, bold=bold):
            weight = ' font-weight="bold"' if bold else ""
            place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
            return f'<text {place} fill="{colour}"{weight}>{escape(text)}</text>'


def _draw(pen: object, mark: Line | Dot | Words) -> None:
    from PIL import ImageColor, ImageDraw, ImageFont

    assert isinstance(pen, ImageDraw.ImageDraw)
    match mark:
        case Line(points=points, colour=colour, width=width, dashed=dashed):
            places = [(x * SHARPER, y * SHARPER) for x, y in points]
            for part in _dashes(places) if dashed else [places]:
                pen.line(part, fill=colour, width=round(width * SHARPER), joint="curve")
        case Dot(at=(x, y), colour=colour, radius=radius, opacity=opacity):
            r = radius * SHARPER
            box = (x * SHARPER - r, y * SHARPER - r, x * SHARPER + r, y * SHARPER + r)
            pen.ellipse(box, fill=(*ImageColor.getrgb(colour)[:3], round(255 * opacity)))
        case Words(at=(x, y), text=text, anchor=anchor, colour=colour):
            font = ImageFont.load_default(FONT_PX * SHARPER)
            side = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
            pen.text((x * SHARPER, y * SHARPER), text, fill=colour, font=font, anchor=side)


def _dashes(places: Sequence[Point], length: float = 10.0) -> list[list[Point]]:
    """Every other piece of a line, as near as a straight one needs it."""
    found = []
    for (x0, y0), (x1, y1) in pairwise(places):
        far = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        steps = max(1, round(far / length))
        for step in range(0, steps, 2):
            a, b = step / steps, min(1.0, (step + 1) / steps)
            found.append([(x0 + a * (x1 - x0), y0 + a * (y1 - y0)), (x0 + b * (x1 - x0), y0 + b * (y1 - y0))])
    return found
