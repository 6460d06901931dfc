"""The two halves of the media path in virtual time, without a network."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from runner.audio.rtp import RtpPacket, parse_rtp
from runner.testing.virtual_time import run_virtual
from runner.transports.webrtc.inbound import MAX_CONCEALED, InboundRtp
from runner.transports.webrtc.opus import open_decoder, open_encoder
from runner.transports.webrtc.outbound import DTX_REFRESH_TICKS, LEAD_PACKETS, PHASES, OutboundRtp, ticker_of
from runner.transports.webrtc.tracks import OutboundAudioTrack

RATE = 16000
CHUNK = RATE // 50 * 2


def tone(chunks: int) -> bytes:
    t = np.arange(RATE // 50 * chunks) / RATE
    return bytes((np.sin(2 * np.pi * 440 * t) * 10000).astype("<i2").tobytes())


def loudness(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(pcm, "<i2").astype(float) ** 2))) if pcm else 0.0


# ------------------------------------------------------------------ the ticker


def test_members_are_called_every_20_ms_and_share_few_timers() -> None:
    async def watch() -> list[list[float]]:
        loop = asyncio.get_running_loop()
        ticker, calls = ticker_of(loop), [list[float]() for _ in range(8)]
        members = [lambda _, times=times: times.append(loop.time()) for times in calls]
        for member in members:
            ticker.join(member)
        await asyncio.sleep(1.001)
        for member in members:
            ticker.leave(member)
        await asyncio.sleep(0.1)
        return calls

    calls = run_virtual(watch())
    assert {len(times) for times in calls} <= {49, 50, 51}
    for times in calls:
        assert np.diff(times) == pytest.approx(0.02)
    assert len({round(times[5], 6) for times in calls}) == PHASES


def test_after_a_short_stall_ticks_are_made_up_and_after_a_long_one_skipped() -> None:
    async def watch(stall: float) -> list[int]:
        ticks: list[int] = []
        loop = asyncio.get_running_loop()
        ticker_of(loop).join(ticks.append)
        await asyncio.sleep(0.1)
        clock = loop.time
        loop.time = lambda: clock() + stall  # type: ignore[method-assign]
        await asyncio.sleep(0.1)
        ticker_of(loop).leave(ticks.append)
        return ticks

    assert set(np.diff(run_virtual(watch(0.05)))) == {1}
    assert max(np.diff(run_virtual(watch(0.5)))) == pytest.approx(25, abs=2)


def test_who_leaves_inside_a_tick_is_not_called_again() -> None:
    async def watch() -> int:
        ticker, calls = ticker_of(asyncio.get_running_loop()), 0

        def once(_: int) -> None:
            nonlocal calls
            calls += 1
            ticker.leave(once)
            if calls == 1:
                ticker.join(once)

        ticker.join(once)
        await asyncio.sleep(0.2)
        return calls

    assert run_virtual(watch()) == 2


def test_a_member_that_fails_silences_no_other() -> None:
    async def watch() -> int:
        ticker, ticks = ticker_of(asyncio.get_running_loop()), list[int]()

        def fail(_: int) -> None:
            raise ValueError("no sound")

        for _ in range(PHASES):
            ticker.join(fail)
        ticker.join(ticks.append)
        await asyncio.sleep(0.2)
        ticker.leave(ticks.append)
        for _ in range(PHASES):
            ticker.leave(fail)
        return len(ticks)

    assert run_virtual(watch()) == pytest.approx(10, abs=1)


# ------------------------------------------------------------------ out


class Wire:
    """Notes what is sent, and when."""

    ssrc = 77

    def __init__(self) -> None:
        self.payload_type: int | None = 96
        self.sent: list[tuple[float, RtpPacket]] = []

    def send_rtp(self, data: bytes, timestamp: int, payload_bytes: int) -> None:
        packet = parse_rtp(data)
        assert packet is not None
        assert (packet.timestamp, len(packet.payload)) == (timestamp, payload_bytes)
        self.sent.append((asyncio.get_running_loop().time(), packet))


def send(play: Any, *, dtx: bool = False) -> list[tuple[float, RtpPacket]]:
    async def run() -> list[tuple[float, RtpPacket]]:
        wire = Wire()
        out, track = OutboundRtp(wire), OutboundAudioTrack(RATE)
        out.dtx = dtx
        out.play(track)
        await play(track, wire, out)
        out.play(None)
        return wire.sent

    return run_virtual(run())


async def speak(track: OutboundAudioTrack, chunks: int) -> None:
    sound = tone(chunks)
    for at in range(0, len(sound), CHUNK):
        await track.write(sound[at : at + CHUNK])


def test_numbers_follow_each_other_and_times_follow_the_clock() -> None:
    async def play(track: OutboundAudioTrack, wire: Wire, out: OutboundRtp) -> None:
        await asyncio.sleep(0.3)
        await speak(track, 50)
        await asyncio.sleep(0.3)

    sent = send(play)
    first_at, first = sent[0]
    for n, (at, packet) in enumerate(sent):
        assert packet.sequence == first.sequence + n
        assert (packet.timestamp - first.timestamp) & 0xFFFFFFFF == n * 960
        assert at - first_at == pytest.approx(max(0, n - LEAD_PACKETS) * 0.02)
        assert (packet.ssrc, packet.payload_type) == (77, 96)
    assert [packet.marker for _, packet in sent] == [True] + [False] * (len(sent) - 1)


def test_a_listener_has_a_cushion_from_the_first_moment() -> None:
    async def play(track: OutboundAudioTrack, wire: Wire, out: OutboundRtp) -> None:
        await speak(track, 50)

    sent = send(play)
    at_once = [packet for at, packet in sent if at == sent[0][0]]
    decoder = open_decoder(RATE)
    sounds = [loudness(decoder.decode(packet.payload)) for packet in at_once]
    assert len(at_once) == LEAD_PACKETS + 1
    assert max(sounds[:-1]) < 1  # silence: no word waits for it
    assert sounds[-1] > 1000


def test_what_is_written_is_sent() -> None:
    async def play(track: OutboundAudioTrack, wire: Wire, out: OutboundRtp) -> None:
        await speak(track, 50)

    decoder = open_decoder(RATE)
    pcm = b"".join(decoder.decode(packet.payload) for _, packet in send(play))
    assert loudness(pcm[CHUNK * 5 : CHUNK * 40]) == pytest.approx(7071, rel=0.1)


def test_a_silent_bot_sends_next_to_nothing_where_the_peer_asks_for_it() -> None:
    async def play(track: OutboundAudioTrack, wire: Wire, out: OutboundRtp) -> None:
        await speak(track, 10)
        await asyncio.sleep(10)
        await speak(track, 10)

    sent = send(play, dtx=True)
    assert 40 < len(sent) < 80
    first_at, first = sent[0]
    for n, (at, packet) in enumerate(sent):
        assert packet.sequence == first.sequence + n
        # RTP time goes on while nothing is sent.
        ahead_s = min(n, LEAD_PACKETS) * 0.02
        ran_s = ((packet.timestamp - first.timestamp) & 0xFFFFFFFF) / 48000
        assert ran_s == pytest.approx(at - first_at + ahead_s)
    pauses = np.diff([at for at, _ in sent])
    assert max(pauses) == pytest.approx(DTX_REFRESH_TICKS * 0.02)


def test_a_peer_that_did_not_ask_for_pauses_gets_none() -> None:
    async def play(track: OutboundAudioTrack, wire: Wire, out: OutboundRtp) -> None:
        await speak(track, 10)
        await asyncio.sleep(3)

    sent = send(play)
    assert max(np.diff([at for at, _ in sent])) == pytest.approx(0.02)
    decoder = open_decoder(RATE)
    pcm = b"".join(decoder.decode(packet.payload) for _, packet in sent)
    assert loudness(pcm[-50 * CHUNK :]) < 1


def test_nothing_is_taken_from_the_bot_before_the_peer_can_hear() -> None:
    async def play(track: OutboundAudioTrack, wire: Wire, out: OutboundRtp) -> None:
        wire.payload_type = None
        await track.write(tone(1))
        await asyncio.sleep(1)
        assert track.buffered_secs == 0.02
        assert wire.sent == []
        wire.payload_type = 96
        await asyncio.sleep(0.1)
        assert track.buffered_secs == 0

    assert len(send(play)) == pytest.approx(5 + LEAD_PACKETS, abs=1)


# ------------------------------------------------------------------ in


def packets(chunks: int, *, lossy: bool = False) -> list[RtpPacket]:
    encoder, sound = open_encoder(RATE), tone(chunks)
    for _ in range(3 if lossy else 0):
        encoder.expect_loss(0.1)
    return [
        RtpPacket(96, n, n * 960, 7, encoder.encode(sound[n * CHUNK : (n + 1) * CHUNK]))
        for n in range(chunks)
    ]


def hear(arrivals: list[tuple[float, RtpPacket]], *, attach_at: float = 0.0) -> tuple[InboundRtp, bytes]:
    async def listen() -> tuple[InboundRtp, bytes]:
        loop = asyncio.get_running_loop()
        inbound, parts, begin = InboundRtp(loop), list[bytes](), loop.time()
        loop.call_at(begin + attach_at, inbound.attach, RATE, parts.append)
        for at, packet in sorted(arrivals, key=lambda arrival: arrival[0]):
            await asyncio.sleep(begin + at - loop.time() + 0.001)
            inbound.receive(packet)
        await asyncio.sleep(2)
        await inbound.aclose()
        return inbound, b"".join(parts)

    return run_virtual(listen())


def calm(sent: list[RtpPacket]) -> list[tuple[float, RtpPacket]]:
    return [(packet.timestamp / 48000, packet) for packet in sent]


def test_all_that_comes_is_heard() -> None:
    inbound, pcm = hear(calm(packets(50)))
    assert len(pcm) == 50 * CHUNK
    assert inbound.decoded.packets == 50
    assert loudness(pcm[CHUNK * 5 :]) == pytest.approx(7071, rel=0.1)


def test_a_lost_packet_is_made_up() -> None:
    inbound, pcm = hear(calm([p for p in packets(50) if p.sequence != 30]))
    assert len(pcm) == 50 * CHUNK
    assert (inbound.decoded.concealed, inbound.decoded.longest_run) == (1, 1)
    assert loudness(pcm[30 * CHUNK : 31 * CHUNK]) > 2000


def test_a_lost_packet_whose_successor_carries_it_is_brought_back() -> None:
    inbound, pcm = hear(calm([p for p in packets(50, lossy=True) if p.sequence not in (20, 30, 31)]))
    assert len(pcm) == 50 * CHUNK
    assert (inbound.decoded.recovered, inbound.decoded.concealed) == (2, 1)


def test_a_long_loss_is_not_filled_with_invention() -> None:
    inbound, pcm = hear(calm([p for p in packets(100) if not 30 <= p.sequence < 60]))
    assert inbound.decoded.concealed == MAX_CONCEALED
    assert inbound.decoded.skipped == 30 - MAX_CONCEALED
    assert inbound.decoded.longest_run == 30
    assert len(pcm) == (70 + MAX_CONCEALED) * CHUNK


def test_a_missing_packet_is_given_up_by_the_clock_when_nothing_follows() -> None:
    rough = [(at + (0.05 if packet.sequence % 7 == 3 else 0.0), packet) for at, packet in calm(packets(40))]
    held = [(at, packet) for at, packet in rough if packet.sequence not in (38,)]
    inbound, pcm = hear(held)
    assert len(pcm) == 40 * CHUNK
    assert inbound.buffer.held == 0


def test_what_was_said_before_the_bot_is_ready_is_kept() -> None:
    _, pcm = hear(calm(packets(100)), attach_at=1.0)
    assert len(pcm) == 100 * CHUNK


def test_a_silence_that_is_not_sent_is_heard_for_a_second() -> None:
    sent = packets(20)
    sent[-1] = RtpPacket(96, 19, 19 * 960, 7, b"\x08")  # one byte: nothing follows
    _, pcm = hear(calm(sent))
    assert len(pcm) == pytest.approx((20 + 50) * CHUNK, abs=2 * CHUNK)


def test_what_is_no_opus_is_counted_and_the_call_goes_on() -> None:
    sent = packets(20)
    sent[5] = RtpPacket(96, 5, 5 * 960, 7, b"\xff" * 3)
    sent[6] = RtpPacket(96, 6, 6 * 960, 7, b"")
    inbound, pcm = hear(calm(sent))
    assert inbound.decoded.unusable == 1
    assert len(pcm) >= 18 * CHUNK


def test_a_pipeline_that_fails_does_not_close_the_socket() -> None:
    async def listen() -> int:
        inbound = InboundRtp(asyncio.get_running_loop())

        def fail(pcm: bytes) -> None:
            raise ValueError("no room")

        inbound.attach(RATE, fail)
        for packet in packets(5):
            inbound.receive(packet)
        await inbound.aclose()
        return inbound.decoded.packets

    assert run_virtual(listen()) == 5


def test_another_source_starts_over() -> None:
    async def listen() -> list[bool]:
        inbound = InboundRtp(asyncio.get_running_loop())
        news = [inbound.receive(packet) for packet in packets(3)]
        news.append(inbound.receive(RtpPacket(96, 40000, 5, 8, b"\x08")))
        await inbound.aclose()
        return news

    assert run_virtual(listen()) == [True, False, False, True]
