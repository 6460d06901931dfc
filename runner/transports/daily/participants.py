"""The participants of a room: who they are, their mixed sound, and their transcriptions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.frames import InterimTranscriptionFrame, TranscriptionFrame

Participant = Mapping[str, Any]


class People:
    """The other participants, by id, in order of arrival.

    Attributes:
        anybody_came: whether anybody has joined.
    """

    def __init__(self) -> None:
        self.anybody_came = False
        self._there: dict[str, Participant] = {}

    def __len__(self) -> int:
        return len(self._there)

    def __iter__(self) -> Iterator[str]:
        return iter(self._there)

    def came(self, participant: Participant) -> bool:
        """Add a participant; False if already known, or if it is the bot itself."""
        who = id_of(participant)
        if not who or _is_local(participant) or who in self._there:
            return False
        self._there[who] = participant
        self.anybody_came = True
        return True

    def changed(self, participant: Participant) -> None:
        """Update a participant."""
        if id_of(participant) in self._there:
            self._there[id_of(participant)] = participant

    def left(self, participant: Participant) -> bool:
        """Remove a participant; False if unknown."""
        return self._there.pop(id_of(participant), None) is not None

    def all(self) -> dict[str, Participant]:
        return dict(self._there)


def id_of(participant: Participant) -> str:
    return str(participant.get("id") or "")


def _is_local(participant: Participant) -> bool:
    info = participant.get("info")
    return isinstance(info, Mapping) and bool(info.get("isLocal"))


MOST_WAITING = 3
"""Chunks (20 ms) of a participant that wait for the leader's; with more, this participant becomes the leader,
since the other sends no sound."""


class Voices:
    """Mixes the participants' sound. Each chunk of one participant, the leader, is mixed with one of every
    other, so that the stream has the leader's pace."""

    def __init__(self) -> None:
        self._leader = ""
        self._waiting: dict[str, deque[bytes]] = {}

    def hear(self, who: str, pcm: bytes) -> tuple[str, bytes] | None:
        """Add a participant's chunk; returns the loudest participant and the mix when one is due."""
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
        """Remove a participant who left."""
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


def transcript(message: Mapping[str, Any]) -> TranscriptionFrame | InterimTranscriptionFrame | None:
    """The frame of a transcription message; None without text."""
    text = str(message.get("text") or "")
    if not text:
        return None
    raw = message.get("rawResponse")
    final = raw.get("is_final", True) if isinstance(raw, Mapping) else True
    kind = TranscriptionFrame if final else InterimTranscriptionFrame
    return kind(
        text, user_id=str(message.get("participantId") or ""), timestamp=str(message.get("timestamp") or "")
    )
