"""The ears: a few spoken files, and what happens to the pool and its processes.

The files in `tests/assets/speech` are named `<engine>-<voice>__<sentence>__<condition>.wav`; all are of the
held-out side. `accuracy.py` measures on hundreds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from speech_corpus import IN_GRAMMAR

from runner.errors import ServiceError
from runner.services.local import ears as ears_module
from runner.services.local.ears import Ears, EarStream, Recognition
from runner.services.local.understanding import understand

pytestmark = pytest.mark.local

SPEECH = Path(__file__).parents[2] / "assets" / "speech"
FILES = sorted(SPEECH.glob("*__*.wav"))
CHUNK_BYTES = 640
FLOOR_RIGHT = 0.85
FLOOR_REFUSED = 0.75


def sound(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        return file.readframes(file.getnframes())


def said(path: Path) -> str:
    return path.stem.split("__")[1].replace("_", " ")


def a_file(sentence: str) -> bytes:
    return sound(next(path for path in FILES if said(path) == sentence))


def speak(stream: EarStream, pcm: bytes) -> EarStream:
    for start in range(0, len(pcm), CHUNK_BYTES):
        stream.feed(pcm[start : start + CHUNK_BYTES])
    return stream


@pytest.fixture
async def ears() -> AsyncIterator[Ears]:
    ears = Ears(size=2)
    await ears.start()
    yield ears
    await ears.stop()


@pytest.mark.long
async def test_commands_are_understood_and_other_speech_is_refused(ears: Ears) -> None:
    heard = [(said(path), await speak(ears.open(), sound(path)).finish()) for path in FILES]
    commands = [(text, found) for text, found in heard if text in IN_GRAMMAR]
    others = [found for text, found in heard if text not in IN_GRAMMAR]
    right = [understand(found.text) == understand(text) for text, found in commands]
    assert sum(right) >= FLOOR_RIGHT * len(commands), [
        x for x, ok in zip(commands, right, strict=True) if not ok
    ]
    assert sum(found.rejected for found in others) >= FLOOR_REFUSED * len(others), others
    assert all(found.text == "" for _, found in heard if found.rejected)


async def test_silence_and_a_stream_without_sound_are_refused(ears: Ears) -> None:
    assert (await speak(ears.open(), bytes(32000)).finish()).rejected
    assert (await ears.open().finish()).rejected
    assert (await speak(ears.open(), b"\x01").finish()).rejected


@pytest.mark.long
async def test_only_short_speech_over_the_bot_is_weighed(ears: Ears) -> None:
    thanks, yes = (next(sound(path) for path in FILES if said(path) == word) for word in ("thanks", "yes"))
    assert (await speak(ears.open(over_bot=True), thanks).finish()).murmur is False
    assert (await speak(ears.open(over_bot=True), yes).finish()).murmur is True
    assert (await speak(ears.open(over_bot=True), thanks * 4).finish()).murmur is None
    assert (await speak(ears.open(), thanks).finish()).murmur is None


async def test_the_same_sound_gives_the_same_result_whatever_came_before(ears: Ears) -> None:
    first, other = sound(FILES[0]), sound(FILES[-1])
    alone = await speak(ears.open(), first).finish()
    await speak(ears.open(), other).finish()
    speak(ears.open(), other).close()
    assert await speak(ears.open(), first).finish() == alone


async def test_two_talkers_at_once_have_a_decoder_each(ears: Ears) -> None:
    one, two = ears.open(), ears.open()
    pcm = sound(FILES[0])
    for start in range(0, len(pcm), CHUNK_BYTES):
        one.feed(pcm[start : start + CHUNK_BYTES])
        two.feed(pcm[start : start + CHUNK_BYTES])
    results = await asyncio.gather(one.finish(), two.finish())
    assert results[0] == results[1]
    assert len(ears.pids) == 2


async def test_one_too_many_waits_and_then_fails(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ears_module, "BUSY_TIMEOUT_S", 0.05)
    await ears.start()
    one, two, three = ears.open(), ears.open(), ears.open()
    speak(three, sound(FILES[0]))
    with pytest.raises(ServiceError, match="all 2 local ears are busy"):
        await three.finish()
    one.close()
    assert isinstance(await speak(ears.open(), sound(FILES[0])).finish(), Recognition)
    two.close()


async def test_who_waited_gets_the_decoder_that_is_freed_and_loses_no_sound(ears: Ears) -> None:
    pcm = sound(FILES[0])
    alone = await speak(ears.open(), pcm).finish()
    await ears.start()
    one, two = ears.open(), ears.open()
    waiting = speak(ears.open(), pcm)
    finished = asyncio.create_task(waiting.finish())
    await asyncio.sleep(0)
    one.close()
    assert await finished == alone
    two.close()


async def test_a_helper_that_is_killed_fails_its_talker_and_is_replaced(ears: Ears) -> None:
    stream = ears.open()
    (killed,) = ears.pids
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(ServiceError, match="the helper process of the ears was ended by SIGKILL"):
        await stream.finish()
    assert (await speak(ears.open(), bytes(3200)).finish()).rejected
    assert killed not in ears.pids
    assert not psutil.pid_exists(killed)


async def test_who_speaks_without_end_is_refused_and_keeps_no_decoder(
    ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ears_module, "LONGEST_S", 0.5)
    stream = speak(ears.open(), bytes(32000))
    other = speak(ears.open(), bytes(3200))
    assert (await other.finish()).rejected
    assert len(ears.pids) == 1
    assert await stream.finish() == Recognition("", rejected=True)


async def test_a_stream_may_be_closed_twice_and_after_the_end(ears: Ears) -> None:
    stream = speak(ears.open(), bytes(3200))
    stream.close()
    stream.close()
    other = ears.open()
    await other.finish()
    other.close()
    assert len(ears.pids) == 1
