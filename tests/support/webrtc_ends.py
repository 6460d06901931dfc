#!/usr/bin/env python3
"""The two ends of one WebRTC call, as processes of their own, for tests and benchmarks over a bad network.

    webrtc_ends.py caller|botrun|aiortc [SECONDS]

They speak JSON lines: the caller prints its offer and reads the answer; the others read the offer and print
the answer. At the end each prints what it has counted. `caller` is aiortc's stock peer, which sends a
voice-like sound with a chirp every second; `botrun` echoes it through our transport and pipeline, `aiortc`
through aiortc's own tracks.
"""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import json
import sys
import time
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from probe_sound import RATE, Sound, chirps_found, find_chirp, voice

CHUNK = 960


# ------------------------------------------------------------------ the caller


class Microphone(MediaStreamTrack):
    """Packets encoded beforehand, one every 20 ms."""

    kind = "audio"

    def __init__(self, secs: float) -> None:
        super().__init__()
        self.sent_at: list[float] = []
        codec = av.CodecContext.create("libopus", "w")
        codec.format, codec.layout, codec.sample_rate, codec.bit_rate = "s16", "mono", RATE, 32000
        codec.options = {"application": "voip", "fec": "1", "packet_loss": "10"}
        self._packets = []
        sound = voice(secs)
        for at in range(0, len(sound) - CHUNK + 1, CHUNK):
            frame = av.AudioFrame.from_ndarray(sound[None, at : at + CHUNK], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, at, fractions.Fraction(1, RATE)
            self._packets += [bytes(packet) for packet in codec.encode(frame)]

    async def recv(self) -> Any:
        number, now = len(self.sent_at), time.monotonic()
        if number == len(self._packets):
            await asyncio.get_running_loop().create_future()
        self._begin = getattr(self, "_begin", now)
        await asyncio.sleep(max(0.0, self._begin + number * 0.02 - now))
        self.sent_at.append(time.monotonic())
        packet = av.Packet(self._packets[number])
        packet.pts, packet.time_base = number * CHUNK, fractions.Fraction(1, RATE)
        return packet


async def call(secs: float) -> dict[str, Any]:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    microphone, came = Microphone(secs), list[tuple[float, bytes]]()
    receiver = pc.addTransceiver(microphone, direction="sendrecv").receiver
    pc.createDataChannel("chat")

    async def note(packet: Any, arrival_time_ms: int) -> None:
        came.append((time.monotonic(), packet.payload))

    receiver._handle_rtp_packet = note
    await pc.setLocalDescription(await pc.createOffer())
    begin = time.monotonic()
    tell({"sdp": pc.localDescription.sdp, "type": "offer"})
    answer = await hear()
    await pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
    while pc.connectionState != "connected" and time.monotonic() - begin < 20:
        await asyncio.sleep(0.005)
    connected_s = time.monotonic() - begin
    await asyncio.sleep(secs + 0.5)
    state = pc.connectionState
    await pc.close()
    echo_ms = echo_delays(microphone.sent_at, came, secs)
    return {"connect_s": connected_s, "state": state, "sent": len(microphone.sent_at), "echo_ms": echo_ms}


def echo_delays(sent_at: list[float], came: list[tuple[float, bytes]], secs: float) -> list[float]:
    """From the sending of a chirp's first packet to the arrival of that which brings it back, each (ms)."""
    codec, sounds = av.CodecContext.create("libopus", "r"), list[Sound]()
    codec.format, codec.layout, codec.sample_rate = "s16", "stereo", RATE
    for _, payload in came:
        frames = codec.decode(av.Packet(payload)) if payload else []
        sounds.append(np.concatenate([f.to_ndarray().reshape(-1, 2)[:, 0] for f in frames] or [np.zeros(0)]))
    ends, sound, found = (
        np.cumsum([len(s) for s in sounds]),
        np.concatenate([*sounds, np.zeros(1)]),
        list[float](),
    )
    times = [at for at, _ in came]
    for number in range(2, int(secs) - 2):
        packet = round((number + 0.5) * 50)
        if packet >= len(sent_at):
            break
        first, last = np.searchsorted(times, [sent_at[packet], sent_at[packet] + 1.2])
        if last <= first or first == 0:
            continue
        at = find_chirp(sound[ends[first - 1] : ends[last - 1]].astype(float), RATE, number)
        if at is not None:
            arrived = int(np.searchsorted(ends, ends[first - 1] + at, side="right"))
            found.append((times[arrived] - sent_at[packet]) * 1000)
    return found


# ------------------------------------------------------------------ who answers


class Arrivals:
    """When which packet came."""

    def __init__(self) -> None:
        self.packets: dict[int, float] = {}
        self._first: tuple[int, float] | None = None

    def note(self, sequence: int) -> None:
        now = time.monotonic()
        self._first = self._first or (sequence, now)
        self.packets.setdefault((sequence - self._first[0]) & 0xFFFF, now)

    def summary(self) -> dict[str, int]:
        delays = {number: at - number * 0.02 for number, at in self.packets.items() if number < 0x8000}
        least = min(delays.values(), default=0.0)
        in_time = sum(delay - least <= 0.100 for delay in delays.values())
        return {"arrived": len(delays), "in_time": in_time, "last": max(delays, default=0)}


def echo_pipeline(connection: Any, heard: bytearray) -> Any:
    """A pipeline task that sends back what it hears, and keeps it."""
    from runner.frames import Frame, FrameDirection, InputAudioRawFrame, OutputAudioRawFrame
    from runner.pipeline import Pipeline, PipelineParams, PipelineTask
    from runner.processors import FrameProcessor
    from runner.transports.params import TransportParams
    from runner.transports.webrtc import SmallWebRTCTransport

    class Echo(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            if isinstance(frame, InputAudioRawFrame):
                heard.extend(frame.audio)
                frame = OutputAudioRawFrame(frame.audio, frame.sample_rate)
            await self.push_frame(frame, direction)

    params = TransportParams(audio_in_enabled=True, audio_out_enabled=True, audio_out_sample_rate=16000)
    transport = SmallWebRTCTransport(connection, params)
    chain = Pipeline([transport.input(), Echo(), transport.output()])
    return PipelineTask(chain, params=PipelineParams(allow_interruptions=False))


async def answer_by_botrun(secs: float) -> dict[str, Any]:
    from runner.pipeline import PipelineRunner
    from runner.transports.webrtc import SmallWebRTCConnection

    connection, arrivals, heard, closed = SmallWebRTCConnection(), Arrivals(), bytearray(), asyncio.Event()
    task = echo_pipeline(connection, heard)
    await connection.initialize(**await hear())
    peer = connection._peer
    assert peer is not None
    receive = peer.link.on_rtp
    peer.link.on_rtp = lambda packet: (arrivals.note(packet.sequence), receive(packet))[1]

    @connection.event_handler("closed")
    async def note_end(_: Any) -> None:
        closed.set()

    running = asyncio.create_task(PipelineRunner().run(task))
    tell(connection.get_answer())
    ended_s = await lasts(closed, secs + 30)
    await task.cancel()
    await running
    await connection.disconnect()
    ending = {"ended_s": ended_s, "close_reason": str(connection.close_reason)}
    chirps = chirps_found(bytes(heard), 16000, secs)
    return {**arrivals.summary(), **counts(peer.inbound), **ending, "chirps": chirps}


def counts(inbound: Any) -> dict[str, int]:
    decoded = inbound.decoded
    return {
        "decoded": decoded.packets,
        "recovered": decoded.recovered,
        "concealed": decoded.concealed + decoded.skipped,
        "late": inbound.buffer.counters.late,
        "longest_run": decoded.longest_run,
    }


async def lasts(end: asyncio.Event, most_s: float) -> float:
    """How long it took until the end."""
    begin = time.monotonic()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await end.wait()
    return time.monotonic() - begin


async def answer_by_aiortc(secs: float) -> dict[str, Any]:
    pc, arrivals, heard = RTCPeerConnection(RTCConfiguration(iceServers=[])), Arrivals(), list[Sound]()
    ended = asyncio.Event()

    @pc.on("track")
    def listen(track: Any) -> None:
        receiver = pc.getTransceivers()[0].receiver
        handle = receiver._handle_rtp_packet

        async def note(packet: Any, arrival_time_ms: int) -> None:
            arrivals.note(packet.sequence_number)
            await handle(packet, arrival_time_ms)

        receiver._handle_rtp_packet = note
        pc.addTrack(Echoing(track, heard, ended))

    offer = await hear()
    await pc.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
    await pc.setLocalDescription(await pc.createAnswer())
    tell({"sdp": pc.localDescription.sdp, "type": "answer"})
    ended_s = await lasts(ended, secs + 40)
    await pc.close()
    sound = np.concatenate([*heard, np.zeros(0)]).astype("<i2").tobytes()
    chirps = chirps_found(sound, RATE, secs)
    return {**arrivals.summary(), "decoded": len(heard), "ended_s": ended_s, "chirps": chirps}


class Echoing(MediaStreamTrack):
    """The track that came, sent back."""

    kind = "audio"

    def __init__(self, source: Any, heard: list[Sound], ended: asyncio.Event) -> None:
        super().__init__()
        self._source, self._heard, self._ended = source, heard, ended

    async def recv(self) -> Any:
        try:
            frame = await self._source.recv()
        except MediaStreamError:
            self._ended.set()
            raise
        self._heard.append(frame.to_ndarray().reshape(-1, 2)[:, 0])
        return frame


# ------------------------------------------------------------------ signaling


def tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


async def hear() -> dict[str, Any]:
    heard: dict[str, Any] = json.loads(await asyncio.to_thread(sys.stdin.readline))
    return {key: heard[key] for key in ("sdp", "type")}


async def main() -> None:
    secs = float(sys.argv[2]) if len(sys.argv) > 2 else 12.0
    roles = {"caller": call, "botrun": answer_by_botrun, "aiortc": answer_by_aiortc}
    tell(await roles[sys.argv[1]](secs))


if __name__ == "__main__":
    asyncio.run(main())
