"""The sound of all who are in a room, made one stream that runs at the speed of time. Pure."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

MOST_WAITING = 3
"""Pieces (20 ms) of somebody that may wait for the one who leads: then who waits leads, for the other has
fallen silent without a word."""


class Voices:
    """Adds up what comes. Each piece of the one who leads takes along a piece of everybody else, so that two
    who speak at once are two voices and not twice the time."""

    def __init__(self) -> None:
        self._leader = ""
        self._waiting: dict[str, deque[bytes]] = {}

    def hear(self, who: str, pcm: bytes) -> tuple[str, bytes] | None:
        """A piece of somebody's sound; gives who is loudest and the sum, when it is time for one."""
        waiting = self._waiting.setdefault(who, deque())
        if not self._leader:
            self._leader = who
        if len(self._waiting) == 1:
            return who, pcm
        waiting.append(pcm)
        if who != self._leader:
            if len(waiting) <= MOST_WAITING:
                return None
            self._leader = who
        return self._sum()

    def forget(self, who: str) -> None:
        """Somebody has left."""
        self._waiting.pop(who, None)
        if self._leader == who:
            self._leader = next(iter(self._waiting), "")

    def _sum(self) -> tuple[str, bytes]:
        pieces = {who: queue.popleft() for who, queue in self._waiting.items() if queue}
        if len(pieces) == 1:
            return next(iter(pieces.items()))
        samples = {who: np.frombuffer(pcm, "<i2").astype(np.int32) for who, pcm in pieces.items()}
        total: npt.NDArray[np.int32] = np.zeros(max(map(len, samples.values())), np.int32)
        for piece in samples.values():
            total[: len(piece)] += piece
        loudest = max(samples, key=lambda who: int(np.abs(samples[who]).sum()))
        return loudest, np.clip(total, -32768, 32767).astype("<i2").tobytes()
