"""Calls that are heard together are heard as they are alone, and hardly later."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from each_alone import EachAlone
from test_silero import SENTENCES, listen, many_voices, seconds, shown, speech

from runner.testing import run_virtual
from runner.vad import SileroVADAnalyzer, VADEvent
from runner.vad.network import SileroModel
from runner.vad.silero import TICK_S

CHUNK_S = 0.02


class Call:
    """Sound that comes in 20 ms pieces from `begins_s` on, and when its events came."""

    def __init__(self, pcm: bytes, rate: int, begins_s: float) -> None:
        self.analyzer = SileroVADAnalyzer(sample_rate=rate)
        self.events: list[tuple[VADEvent, float]] = []
        self._pcm, self._rate, self._begins_s = pcm, rate, begins_s

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        size = 2 * round(CHUNK_S * self._rate)
        for count, at in enumerate(range(0, len(self._pcm), size), 1):
            await asyncio.sleep(self._begins_s + count * CHUNK_S - loop.time())
            chunk = self._pcm[at : at + size]
            self.analyzer.listen(chunk, count * CHUNK_S, self._hear)
        await asyncio.sleep(2 * TICK_S)

    def _hear(self, event: VADEvent) -> None:
        self.events.append((event, asyncio.get_running_loop().time() - self._begins_s))


def sound(index: int, rate: int) -> bytes:
    """One of the sentences, louder or softer, in noise of its own."""
    pcm = seconds(0.3 + 0.1 * index, rate) + speech(SENTENCES[index % 2], rate) + seconds(1, rate)
    noise = np.random.default_rng(index).normal(0, 4**index, len(pcm) // 2)
    samples = np.frombuffer(pcm, "<i2") * (1 - 0.2 * index) + noise
    return samples.clip(-32768, 32767).astype("<i2").tobytes()


def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    infer = SileroModel.infer

    def counting(self, frames, states):  # type: ignore[no-untyped-def]
        sizes.append(len(states))
        return infer(self, frames, states)

    monkeypatch.setattr(SileroModel, "infer", counting)
    return sizes


def test_four_calls_together_are_heard_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = (8000, 16000, 8000, 8000)
    calls = [Call(sound(i, rate), rate, 0.003 * i) for i, rate in enumerate(rates)]
    sizes = batches(monkeypatch)

    async def together() -> None:
        await asyncio.gather(*(call.run() for call in calls))

    run_virtual(together())
    assert max(sizes) == 3, "those of 8 kHz in one batch"
    for index, (call, rate) in enumerate(zip(calls, rates, strict=True)):
        alone = listen(SileroVADAnalyzer(sample_rate=rate), sound(index, rate), rate)
        assert alone
        assert shown([event for event, _ in call.events]) == shown(alone)


@pytest.mark.long
def test_calls_of_every_kind_in_one_batch_get_the_events_of_each_window_alone() -> None:
    kinds = [
        (8000, 1.0, -200.0),
        (8000, 1.0, -75.0),
        (16000, 0.1, -60.0),
        (8000, 0.1, -52.0),
        (24000, 1, -52.0),
    ]
    sounds = [many_voices(rate, gain, noise_dbfs) for rate, gain, noise_dbfs in kinds]
    calls = [
        Call(pcm, kind[0], 0.7 * i + 0.003) for i, (pcm, kind) in enumerate(zip(sounds, kinds, strict=True))
    ]

    async def together() -> None:
        await asyncio.gather(*(call.run() for call in calls))

    run_virtual(together())
    for call, pcm, (rate, *_) in zip(calls, sounds, kinds, strict=True):
        plain, size = EachAlone(rate), 2 * round(CHUNK_S * rate)
        expected = []
        for count, at in enumerate(range(0, len(pcm), size), 1):
            expected += plain.hear(pcm[at : at + size], count * CHUNK_S)
        assert len(expected) >= 20
        assert [event for event, _ in call.events] == expected


def test_a_call_ended_by_another_in_the_same_batch_gets_no_more_events(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = (Call(sound(0, 8000), 8000, 0.0) for _ in range(2))

    async def script() -> None:
        hear = first._hear

        def end_the_other(event: VADEvent) -> None:
            hear(event)
            second.analyzer.close()

        first._hear = end_the_other  # type: ignore[method-assign]
        await asyncio.gather(first.run(), second.run())

    run_virtual(script())
    assert not caplog.records
    assert len(first.events) == 2


def test_windows_of_many_calls_do_not_wait_for_the_end_of_the_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.vad.silero.ENOUGH", 4)
    calls = [Call(sound(0, 8000), 8000, 0.0) for _ in range(6)]
    sizes = batches(monkeypatch)

    async def together() -> None:
        await asyncio.gather(*(call.run() for call in calls))

    run_virtual(together())
    assert max(sizes) == 4
    assert len({shown_of(call) for call in calls}) == 1


def shown_of(call: Call) -> str:
    return str(shown([event for event, _ in call.events]))


def test_company_makes_an_event_late_by_a_tick_at_most() -> None:
    def delays(count: int) -> list[float]:
        calls = [Call(sound(0, 8000), 8000, 0.0) for _ in range(count)]

        async def together() -> None:
            await asyncio.gather(*(call.run() for call in calls))

        run_virtual(together())
        return [at for _, at in calls[0].events]

    alone, together = delays(1), delays(3)
    assert len(alone) == len(together) > 0
    assert all(0 <= late - early <= TICK_S + 0.001 for early, late in zip(alone, together, strict=True))
    assert all(round(at / CHUNK_S, 3).is_integer() for at in alone), (
        "reported with the piece it was noticed in"
    )


def test_an_ended_call_gets_no_more_events() -> None:
    first, second = (Call(sound(0, 8000), 8000, 0.0) for _ in range(2))

    async def script() -> None:
        running = [asyncio.ensure_future(call.run()) for call in (first, second)]
        await asyncio.sleep(0.5)
        running[0].cancel()
        first.analyzer.close()
        await running[1]

    run_virtual(script())
    assert first.events == []
    assert second.events
