"""Who is in the room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Participant = Mapping[str, Any]


class People:
    """The others in a room, by id, in the order in which they came.

    Attributes:
        anybody_came: whether there has been anybody.
    """

    def __init__(self) -> None:
        self.anybody_came = False
        self._there: dict[str, Participant] = {}

    def __len__(self) -> int:
        return len(self._there)

    def __iter__(self) -> Iterator[str]:
        return iter(self._there)

    def came(self, participant: Participant) -> bool:
        """Somebody is there; False if that was known, or it is the bot itself."""
        who = id_of(participant)
        if not who or _is_local(participant) or who in self._there:
            return False
        self._there[who] = participant
        self.anybody_came = True
        return True

    def changed(self, participant: Participant) -> None:
        """Something about somebody is different."""
        if id_of(participant) in self._there:
            self._there[id_of(participant)] = participant

    def left(self, participant: Participant) -> bool:
        """Somebody has left; False if nobody knew of them."""
        return self._there.pop(id_of(participant), None) is not None

    def all(self) -> dict[str, Participant]:
        return dict(self._there)


def id_of(participant: Participant) -> str:
    return str(participant.get("id") or "")


def _is_local(participant: Participant) -> bool:
    info = participant.get("info")
    return isinstance(info, Mapping) and bool(info.get("isLocal"))
