"""The marks of one stream: what the far end sends back when it has played up to them. Pure."""

from __future__ import annotations

from collections import deque


class Marks:
    """Positions are samples, as `Playout` counts them.

    Attributes:
        last: the position of the last mark.
    """

    def __init__(self) -> None:
        self.last = 0
        self._count = 0
        self._on_their_way: deque[tuple[str, int]] = deque()

    def new(self, position: int) -> str:
        """A name for a mark at this position."""
        self.last = position
        self._count += 1
        return f"botrun-{self._count}"

    def sent(self, name: str) -> None:
        """The newest mark is on its way."""
        self._on_their_way.append((name, self.last))

    def reached(self, name: str) -> int | None:
        """The position that has been played; None for a mark that is not known (any more)."""
        for index, (known, position) in enumerate(self._on_their_way):
            if known == name:
                for _ in range(index + 1):
                    self._on_their_way.popleft()
                return position
        return None

    def forget(self, position: int) -> None:
        """The far end drops what it has not played: its marks come back at once, and prove nothing."""
        self.last = position
        self._on_their_way.clear()
