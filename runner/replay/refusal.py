"""Which records cannot be replayed, and what they lack. A replay of half a call would prove nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from runner.callers.wires import WIRES
from runner.errors import UsageError
from runner.records.call import RecordedCall
from runner.records.folder import NoRecordError, RecordError

REPLAYABLE = (*WIRES, "webrtc")
ENDED_WITHIN_S, ORDER_S = 2.0, 0.5


class RefusedError(UsageError):
    """A record cannot be replayed; the sentence names the part that is missing."""


def check(record: RecordedCall) -> None:
    """See that a call can be replayed as it was.

    Raises:
        RefusedError: it was recorded without content, is incomplete, or was edited.
    """
    for problem in _problems(record):
        raise RefusedError(f"{record.id} cannot be replayed: {problem}")


def _problems(record: RecordedCall) -> Iterator[str]:
    head = record.head
    if head.get("content") == "none":
        yield "it was recorded without sound and words (--record-content none)"
    if record.state == "running":
        yield "the call is still running"
    if record.state == "lost":
        yield "it has no end, because the bot's process ended during the call"
    if head.get("transport") not in REPLAYABLE:
        yield f"calls over {head.get('transport')} cannot be made from here"
    if lost := (head.get("figures") or {}).get("not_recorded"):
        yield f"the recorder dropped {lost} items"
    yield from _missing_media(record)
    if not any(event["kind"] == "ended" for event in record.events):
        yield "events.jsonl has no end of the call"
    if not record.wire:
        yield "wire.jsonl is missing or empty"
    yield from record.problems
    yield from _edited(record)


def _missing_media(record: RecordedCall) -> Iterator[str]:
    for side in ("inbound", "outbound"):
        try:
            record.media(side)
        except NoRecordError as error:
            if side == "inbound" or any(not line.inbound and line.has_media for line in record.wire):
                yield str(error)
        except RecordError as error:
            yield str(error)


def _edited(record: RecordedCall) -> Iterator[str]:
    """What the recorder never writes: messages out of their order, media that no message names or that ends
    before its messages, and two different ends."""
    for before, line in pairwise(record.wire):
        if line.t < before.t - ORDER_S:
            yield f"wire.jsonl was edited: line {line.line + 1} is before the one above it"
            break
    for inbound, side in ((True, "inbound"), (False, "outbound")):
        yield from _edited_media(record, inbound, side)
    ends = [float(event["t"]) for event in record.events if event["kind"] == "ended"]
    if ends and abs(ends[-1] - record.duration_s) > ENDED_WITHIN_S:
        yield "events.jsonl was edited: its end is not that of call.json"


def _edited_media(record: RecordedCall, inbound: bool, side: str) -> Iterator[str]:
    at = 0
    for line in record.wire:
        if line.inbound is inbound and line.at is not None:
            if line.at != at:
                yield f"wire.jsonl was edited: line {line.line + 1} does not follow the one before"
                return
            at += line.n
    try:
        size = len(record.media(side)[0])
    except RecordError:
        return
    if size != at:
        yield f"its {side} media was edited or cut: {size} bytes, and the messages have {at}"
