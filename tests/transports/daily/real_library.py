"""Run by test_daily_library.py in a process of its own: the real daily-python, behind our protocol.

python real_library.py                what needs no network
python real_library.py join URL       a join that cannot succeed, with our own deadline
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from runner.errors import TransportError
from runner.transports.daily.call import DailyCall
from runner.transports.daily.library import EVENTS, load_library
from runner.transports.daily.params import UNSEEN, DailyParams, join_settings

HZ, CHUNK = 24000, bytes(960)
ASKED = (
    "eject_remote_participants", "join", "leave", "send_app_message", "send_dtmf", "sip_call_transfer",
    "sip_refer", "send_prebuilt_chat_message", "start_dialout", "start_recording", "start_transcription",
    "stop_dialout", "stop_recording", "stop_transcription", "update_publishing", "update_recording",
    "update_remote_participants", "update_subscription_profiles", "update_subscriptions",
    "update_transcription",
)  # fmt: skip


async def speak(microphone: Any, chunks: int) -> tuple[float, list[int]]:
    """Seconds that so many chunks take, two at a time, and what was taken of each."""
    loop, room, taken = asyncio.get_running_loop(), asyncio.Semaphore(2), []

    def done(samples: int) -> None:
        taken.append(samples)
        room.release()

    began = loop.time()
    for _ in range(chunks):
        await room.acquire()
        microphone.write(CHUNK, lambda n: loop.call_soon_threadsafe(done, n))
    for _ in range(2):
        await room.acquire()
    return loop.time() - began, taken


async def refused(call: DailyCall, what: str, *given: Any) -> str:
    try:
        return f"done: {await call.ask(what, *given)}"
    except TransportError as error:
        return str(error)


async def without_network() -> dict[str, Any]:
    import daily

    library, events = load_library(), []
    found: dict[str, Any] = {
        "methods": [name for name in ASKED if not hasattr(daily.CallClient, name)],
        "events": [name for name in EVENTS if not hasattr(daily.EventHandler, name)],
    }
    first, second = library.microphone(HZ), library.microphone(HZ)
    (found["seconds"], taken), _ = await asyncio.gather(speak(first, 25), speak(second, 25))
    found["taken"] = sorted(set(taken))
    camera = library.camera(32, 16)
    camera.write(bytes(32 * 16 * 3))
    try:
        camera.write(b"short")
    except Exception as error:
        found["short_picture"] = str(error)
    call = DailyCall(library, "bot", lambda name, details: events.append((name, details)))
    params = DailyParams(video_out_bitrate=600_000, video_out_framerate=20)
    settings = join_settings(params, first, camera)
    found["inputs"] = await refused(call, "update_inputs", settings["inputs"])
    found["publishing"] = await refused(call, "update_publishing", settings["publishing"])
    found["profiles"] = await refused(call, "update_subscription_profiles", UNSEEN)
    found["early_message"] = await refused(call, "send_app_message", {"a": 1}, None)
    found["recording"] = await refused(call, "start_recording")
    found["dialout"] = await refused(call, "start_dialout", {"phoneNumber": "+14155550100"})
    found["dtmf"] = await refused(call, "send_dtmf", {"sessionId": "x", "tones": "1"})
    try:
        await call.join("garbage", "token", settings)
    except TransportError as error:
        found["garbage"] = str(error)
    await asyncio.sleep(0.05)
    found["errors_told"] = [details for name, details in events if name == "on_error"]
    found["left"] = await call.leave(5.0)
    return found


async def join(url: str) -> dict[str, Any]:
    call = DailyCall(load_library(), "bot", lambda name, details: None)
    began, said = time.monotonic(), ""
    try:
        await call.join(url, "token", join_settings(DailyParams(), None, None), 1.0)
    except TransportError as error:
        said = str(error)
    left = await call.leave(0.2)
    return {"said": said, "seconds": time.monotonic() - began, "left": left}


if __name__ == "__main__":
    work = join(sys.argv[2]) if sys.argv[1:2] == ["join"] else without_network()
    print(json.dumps(asyncio.run(work)))
