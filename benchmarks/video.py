"""Whether pictures make sound late: an echo of sound, with and without pictures both ways.

    python benchmarks/video.py --secs 40 --rounds 2

The caller (aiortc's stock peer, in this process) says a click every 200 ms and waits for its echo; with
pictures, it sends 640x360 at 30 a second as well (noise: the worst there is), and the bot sends each back.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from browsing import botrun  # noqa: E402
from picture_caller import PictureCaller, Scene  # noqa: E402

SIZE, RATE = (640, 360), 30
CLICK_EVERY = 10  # chunks of 20 ms
CHUNK = 640
SETTLED_SECS = 3.0
BOT = """
from runner import create_transport
from runner.frames import InputAudioRawFrame, InputImageRawFrame, OutputAudioRawFrame, OutputImageRawFrame
from runner.pipeline import Pipeline, PipelineParams, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.transports.base import TransportParams

class Echo(FrameProcessor):
    async def process_frame(self, frame, direction):
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate)
        elif isinstance(frame, InputImageRawFrame):
            frame = OutputImageRawFrame(frame.image, frame.size)
        await self.push_frame(frame, direction)

def browser():
    return TransportParams(audio_in_enabled=True, audio_out_enabled=True, audio_out_sample_rate=16000,
        video_in_enabled={video}, video_out_enabled={video}, video_out_width=640, video_out_height=360,
        video_out_framerate=30, video_out_bitrate=1_000_000)

async def bot(runner_args):
    transport = await create_transport(runner_args, {{"webrtc": browser}})
    task = PipelineTask(Pipeline([transport.input(), Echo(), transport.output()]),
                        params=PipelineParams(allow_interruptions=False))
    await PipelineRunner().run(task)
"""


async def click(caller: PictureCaller, said: list[float]) -> None:
    loop = asyncio.get_running_loop()
    sound = (np.sin(2 * np.pi * 1000 * np.arange(320) / 16000) * 20000).astype("<i2").tobytes()
    n = 0
    while True:
        loud = n % CLICK_EVERY == 0
        await caller.microphone.write(sound if loud else bytes(CHUNK))
        if loud:
            said.append(loop.time())
        n += 1


def delays(said: list[float], heard: list[tuple[float, bytes]]) -> list[float]:
    """From each click to the first loud sound after it (ms)."""
    loud = [at for at, pcm in heard if np.abs(np.frombuffer(pcm, "<i2").astype(int)).max() > 4000]
    found = []
    for at in said[10:]:
        after = next((then for then in loud if then > at + 0.005), None)
        if after is not None and after - at < 1:
            found.append((after - at) * 1000)
    return found


async def call(address: str, secs: float, video: bool) -> dict[str, float]:
    said: list[float] = []
    scene = Scene(SIZE, RATE, None) if video else None
    async with PictureCaller(address, scene, muted=True) as caller:
        # An echo never catches up with what once came late; so it hears nothing while the pictures begin.
        await asyncio.sleep(SETTLED_SECS)
        caller.open_microphone()
        clicking = asyncio.create_task(click(caller, said))
        shown, seen = 0, 0.0
        for _ in range(int(secs * 10)):
            await asyncio.sleep(0.1)
            shown += sum(at > seen for at, _ in caller.seen)
            seen = caller.seen[-1][0] if caller.seen else seen
        clicking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await clicking
        found = delays(said, caller.heard)
    return {
        "clicks": len(said) - 10,
        "heard": len(found),
        "p50": float(np.percentile(found, 50)),
        "p95": float(np.percentile(found, 95)),
        "p99": float(np.percentile(found, 99)),
        "sent_fps": scene.sent / (secs + SETTLED_SECS) if scene else 0.0,
        "seen_fps": shown / secs,
    }


def measure(secs: float, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for video in (False, True):
                bot = Path(folder) / "video_echo.py"
                bot.write_text(BOT.format(video=video))
                with botrun(bot) as address:
                    [server] = psutil.Process().children()
                    before = sum(server.cpu_times()[:2])
                    found = asyncio.run(call(address, secs, video))
                    found["cpu"] = (sum(server.cpu_times()[:2]) - before) / secs
                words = "pictures" if video else "sound alone"
                print(words.ljust(12), {name: round(value, 2) for name, value in found.items()}, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--secs", type=float, default=40.0)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    measure(asked.secs, asked.rounds)
