"""What all transports share for pictures: pure, and in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from runner.frames import OutputImageRawFrame
from runner.testing.virtual_time import run_virtual
from runner.transports.pictures import (
    LATE_SECS,
    RELIEF_PICTURES,
    PictureError,
    PicturePacer,
    PictureSlot,
    check_picture,
)


def picture(shade: int) -> OutputImageRawFrame:
    return OutputImageRawFrame(bytes([shade]) * 12, (2, 2))


def test_the_latest_wins_and_what_made_room_is_counted() -> None:
    async def watch() -> tuple[object, object, int]:
        slot: PictureSlot[OutputImageRawFrame] = PictureSlot()
        for shade in range(5):
            slot.put(picture(shade))
        return await slot.take(1.0), await slot.take(1.0), slot.dropped

    assert run_virtual(watch()) == (picture(4), None, 4)


def test_who_waits_for_a_picture_gets_the_next() -> None:
    async def watch() -> tuple[object, float]:
        slot: PictureSlot[OutputImageRawFrame] = PictureSlot()
        loop = asyncio.get_running_loop()
        loop.call_later(0.3, slot.put, picture(1))
        began = loop.time()
        return await slot.take(1.0), loop.time() - began

    found, waited_s = run_virtual(watch())
    assert found == picture(1)
    assert waited_s == pytest.approx(0.3)


def test_pictures_keep_their_rate() -> None:
    pacer, now, sent = PicturePacer(25), 0.0, []
    for _ in range(50):
        now += pacer.wait_secs(now)
        assert pacer.woke(now)
        sent.append(now)
        pacer.sent(now)
        now += 0.011  # to encode it
    assert sent[-1] - sent[0] == pytest.approx(49 / 25)


def test_an_encoder_that_is_too_slow_lowers_the_rate_and_makes_nothing_up() -> None:
    pacer, now, sent = PicturePacer(25), 0.0, []
    for _ in range(10):
        now += pacer.wait_secs(now)
        sent.append(now)
        pacer.sent(now)
        now += 0.1
    now += pacer.wait_secs(now)
    assert now - sent[-1] == pytest.approx(0.1)


def test_where_time_is_short_pictures_are_left_out() -> None:
    pacer = PicturePacer(25)
    pacer.sent(0.0)
    late = 0.04 + LATE_SECS + 0.001
    assert not pacer.woke(late)
    assert pacer.relieved == RELIEF_PICTURES
    assert pacer.wait_secs(late) == pytest.approx(RELIEF_PICTURES / 25)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (OutputImageRawFrame(b"123", (2, 2)), "a RGB picture of 2x2 needs 12 bytes, not 3"),
        (OutputImageRawFrame(b"", (0, 2)), "0x2"),
        (OutputImageRawFrame(bytes(12), (2, 2), "YUV"), "'YUV' is not supported: use RGB, RGBA, L"),
    ],
)
def test_a_picture_must_be_what_it_says(wrong: OutputImageRawFrame, says: str) -> None:
    check_picture(picture(1))
    with pytest.raises(PictureError, match=says):
        check_picture(wrong)
