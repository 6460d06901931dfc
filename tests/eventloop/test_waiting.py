"""What belongs to an event loop goes with it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest
import uvloop

from runner.eventloop.batched_reads import rounds_of
from runner.eventloop.waiting import of_loop
from runner.pipeline.latency import SlowWatch
from runner.transports.webrtc.outbound import ticker_of
from runner.vad.silero import batch_of


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_closed_loop_is_not_kept_alive_by_what_belongs_to_it(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    loop = new_loop()
    for get in (rounds_of, ticker_of, SlowWatch.shared, batch_of):
        assert get(loop) is get(loop)  # type: ignore[operator]
    gone = weakref.ref(loop)
    loop.close()
    del loop
    gc.collect()
    assert gone() is None


def test_each_loop_and_each_kind_has_its_own() -> None:
    class Counter:
        pass

    loops = [asyncio.new_event_loop(), asyncio.new_event_loop()]
    try:
        found = [of_loop(loop, kind, kind) for loop in loops for kind in (Counter, list)]
        assert len({id(each) for each in found}) == 4
    finally:
        for loop in loops:
            loop.close()
