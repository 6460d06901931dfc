"""Writes call records in the format of `docs/records.md`: a call over Twilio's socket with speech-like sound.

Usage: python tests/support/records.py FOLDER [MINUTES] writes a few calls, and one of so many minutes.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from runner.audio.g711 import ulaw_encode

RATE, CHUNK = 8000, 160
QUIET = 0xFF
START = datetime(2026, 11, 29, 11, 15, tzinfo=UTC)
STREAM = "MZ18ad3ab5a668481ce02b83e7395059f0"
SECONDS_A_WORD = 0.33


@dataclass(kw_only=True)
class Turn:
    """What the caller says, what the bot answers, and how long (s) each part of the silence takes.

    `tool`: name, arguments, result, seconds, failed. `cut`: the caller interrupts after so many seconds.
    `extra`: further events of the silence; `after` is their time behind the end of the caller's speech.
    """

    user: str
    bot: str
    waiting: float = 0.25
    recogniser: float = 0.06
    end_of_turn: float = 0.02
    llm: float = 0.24
    sentence: float = 0.07
    voice: float = 0.14
    output: float = 0.01
    line: float = 0.04
    tool: tuple[str, dict[str, Any], Any, float, bool] | None = None
    cut: float | None = None
    extra: Sequence[dict[str, Any]] = ()


@functools.lru_cache(maxsize=64)
def speech(text: str, pitch_hz: float, seed: int = 1) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Sound with the rhythm of speech, s16 at `RATE`."""
    random = np.random.default_rng(seed + sum(map(ord, text)))
    parts = []
    for word in text.split():
        seconds = max(0.12, SECONDS_A_WORD * len(word) / 5 * random.uniform(0.8, 1.2))
        t = np.arange(round(seconds * RATE)) / RATE
        tone = sum(np.sin(2 * np.pi * pitch_hz * n * t + n) / n for n in range(1, 12))
        syllables = np.abs(np.sin(np.pi * t / seconds * max(1, len(word) // 3))) ** 0.6
        sound = tone * syllables + random.normal(0, 0.25, len(t)) * syllables
        parts += [sound * random.uniform(0.45, 1.0), np.zeros(round(random.uniform(0.01, 0.06) * RATE))]
    joined = np.concatenate(parts) if parts else np.zeros(RATE // 10)
    return np.asarray(joined / max(np.abs(joined).max(), 1e-9) * 15000, dtype=np.int16)


@dataclass
class CallWriter:
    """Collects one call, and writes it."""

    session: str
    started: datetime = START
    head: dict[str, Any] = field(default_factory=dict)
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        self.now = 0.0
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.said: list[tuple[float, np.ndarray[Any, Any]]] = []
        self.played: list[tuple[float, np.ndarray[Any, Any], float | None]] = []
        self.reply = 0
        self.silences: list[float] = []
        self.note(0.0, "started", transport="twilio")
        names = [
            "Input",
            "VADProcessor",
            "DeepgramSTTService",
            "OpenAILLMService",
            "CartesiaTTSService",
            "Output",
        ]
        self.note(0.02, "pipeline", state="started", processors=names)
        self.note(0.03, "connected")
        self.now = 0.4

    @property
    def id(self) -> str:
        return f"{self.started:%Y%m%dT%H%M%SZ}-{self.session}"

    def note(self, at: float, kind: str, *, noticed: float | None = None, **fields: Any) -> None:
        """One event. `noticed`: where it stands in the order of the lines."""
        self.events.append((at if noticed is None else noticed, {"t": round(at, 4), "kind": kind, **fields}))

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def greet(self, text: str) -> None:
        self._speak(text, self.now, None)

    def turn(self, turn: Turn) -> None:
        """The caller speaks, and is answered."""
        sound = speech(turn.user, 180)
        begin, end = self.now, self.now + len(sound) / RATE
        self.said.append((begin, sound))
        words = turn.user.split()
        self.note(begin, "user_started", noticed=begin + 0.18, seen=round(begin + 0.18, 4))
        for count in range(2, len(words), 3):
            at = begin + (end - begin) * count / len(words) + 0.1
            self.note(at, "interim", text=" ".join(words[:count]), service="DeepgramSTTService")
        at = end + turn.waiting
        self.note(end, "user_stopped", noticed=at, seen=round(at, 4))
        at += turn.recogniser
        self.note(at, "final", text=turn.user, service="DeepgramSTTService", confidence=0.97)
        at += turn.end_of_turn
        self.note(at - 0.001, "turn_ended", text=turn.user, by="VADTurnEnd")
        for event in turn.extra:
            fields = {name: value for name, value in event.items() if name not in ("after", "kind")}
            self.note(end + event["after"], event["kind"], **fields)
        self.reply += 1
        service = {"reply": self.reply, "service": "OpenAILLMService"}
        self.note(at, "llm_started", **service, model="gpt-5-mini")
        at += turn.llm
        self.note(at, "llm_first_token", **service, ttfb_s=round(turn.llm, 3))
        if turn.tool is not None:
            name, arguments, result, seconds, failed = turn.tool
            self.note(at, "tool_call", id=f"call_{self.reply}", name=name, arguments=arguments)
            at += seconds
            outcome = {"result": result, "seconds": seconds, "failed": failed}
            self.note(at, "tool_result", id=f"call_{self.reply}", name=name, **outcome)
        at += turn.sentence
        self._speak(turn.bot, at, turn, silence_from=end)

    def _speak(self, text: str, at: float, turn: Turn | None, silence_from: float | None = None) -> None:
        turn = turn or Turn(user="", bot=text)
        self.reply += turn.user == ""
        voice = {"reply": self.reply, "service": "CartesiaTTSService"}
        self.note(at, "sentence", **voice, text=text)
        self.note(at + 0.02, "llm_ended", reply=self.reply, service="OpenAILLMService", text=text)
        at += turn.voice
        self.note(at, "voice_first_sound", **voice, ttfb_s=round(turn.voice, 3))
        at += turn.output
        self.note(at, "sound_sent", reply=self.reply)
        sound = speech(text, 110, 7)
        heard_from, whole = at + turn.line, len(sound) / RATE
        until = heard_from + (whole if turn.cut is None else min(turn.cut, whole))
        self.note(heard_from, "bot_started")
        words = text.split()
        for n, word in enumerate(words):
            moment = heard_from + whole * (n + 1) / len(words)
            if moment <= until + 0.01:
                self.note(moment, "heard", text=word)
        if turn.cut is not None:
            self.note(until, "interruption")
        self.note(until, "bot_stopped", interrupted=turn.cut is not None)
        self.played.append((at, sound, None if turn.cut is None else until))
        if silence_from is not None:
            self.silences.append(heard_from - silence_from)
        self.now = until + (0.05 if turn.cut is not None else 0.7)

    # ------------------------------------------------------------------ writing

    def write(self, folder: Path, *, state: str = "ended", reason: tuple[str, str] | None = None) -> Path:
        """Write the record into the folder of all records; returns its own."""
        reason = reason or ("CLIENT_LEFT", "the caller left")
        path, duration = folder / self.id, self.now + 0.6
        path.mkdir(parents=True, mode=0o700)
        if state == "ended":
            self.note(duration, "ended", reason=reason[0], text=reason[1], detail="")
        lines = [json.dumps(event) for _, event in sorted(self.events, key=lambda pair: pair[0])]
        (path / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
        self._write_wire(path, duration)
        (path / "call.json").write_text(json.dumps(self._call(state, duration, reason), indent=1))
        return path

    def _call(self, state: str, duration: float, reason: tuple[str, str]) -> dict[str, Any]:
        ended, silences = state == "ended", sorted(self.silences)
        kinds = [event["kind"] for _, event in self.events]
        process = psutil.Process()
        figures = {
            "turns": len(silences),
            "turn_p50_s": round(silences[len(silences) // 2], 3) if silences else None,
            "turn_max_s": round(silences[-1], 3) if silences else None,
            "interruptions": kinds.count("interruption"),
            "errors": kinds.count("error"),
            "retries": kinds.count("retry"),
            "stalls": kinds.count("stall"),
            "input_stalls": kinds.count("input_stalled"),
            "tools": kinds.count("tool_call"),
            "tool_errors": sum(bool(event.get("failed")) for _, event in self.events),
        }
        media = {"encoding": "ulaw", "sample_rate": RATE}
        return {
            "schema": 1,
            "id": self.id,
            "session": self.session,
            "state": state,
            "pid": os.getpid(),
            "pid_started": process.create_time(),
            "started": f"{self.started:%Y-%m-%dT%H:%M:%S.000Z}",
            "ended": f"{self.started + timedelta(seconds=duration):%Y-%m-%dT%H:%M:%S.000Z}"
            if ended
            else None,
            "duration_s": round(duration, 3) if ended else None,
            "transport": "twilio",
            "public": False,
            "stream_id": STREAM,
            "call_id": "CA5ef8732a3c49700934481addd5ce1659",
            "from": "+14*****99",
            "to": "+14*****10",
            "bot": {"file": "my_bot.py", "function": "bot"},
            "code": [{"t": 0.0, "sha256": "9f2c" * 16, "commit": "a095f8d1", "dirty": False}],
            "origin": None,
            "content": "all",
            "media": {
                "inbound": {"file": "wire.jsonl", **media},
                "outbound": {"file": "wire.jsonl", **media},
            },
            "end": {"reason": reason[0], "text": reason[1], "detail": ""} if ended else None,
            "failure": None,
            "figures": figures,
            "report": None,
            **self.head,
        }

    def _write_wire(self, path: Path, duration: float) -> None:
        caller = np.zeros(round(duration * RATE / self.chunk) * self.chunk + self.chunk, np.int16)
        for at, sound in self.said:
            begin = round(at * RATE)
            caller[begin : begin + len(sound)] = sound[: max(0, len(caller) - begin)]
        inbound = ulaw_encode(caller.tobytes())
        lines: list[tuple[float, str]] = []
        start = {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": STREAM,
            "start": {"tracks": ["inbound"]},
        }
        lines.append((0.001, _line(0.001, "in", text=json.dumps({"event": "connected", "protocol": "Call"}))))
        lines.append((0.004, _line(0.004, "in", text=json.dumps(start))))
        for n in range(len(inbound) // self.chunk):
            at = (n + 1) * (self.chunk / RATE)
            lines.append((at, _media(at, "in", inbound[n * self.chunk : (n + 1) * self.chunk])))
        for number, (at, sound, until) in enumerate(self.played):
            data = ulaw_encode(sound.tobytes())
            for n in range(-(-len(data) // self.chunk)):
                piece = data[n * self.chunk : (n + 1) * self.chunk].ljust(self.chunk, bytes([QUIET]))
                moment = at if n < 5 else at + (n - 5) * (self.chunk / RATE)
                if until is not None and moment > until:
                    break
                lines.append((moment, _media(moment, "out", piece)))
            end = at + len(sound) / RATE
            mark = {"event": "mark", "streamSid": STREAM, "mark": {"name": f"m{number}"}}
            clear = {"event": "clear", "streamSid": STREAM}
            moment, message = (until, clear) if until is not None else (end, mark)
            lines.append((moment, _line(moment, "out", text=json.dumps(message))))
        (path / "wire.jsonl").write_text("".join(line for _, line in sorted(lines, key=lambda pair: pair[0])))


def _media(t: float, d: str, data: bytes) -> str:
    media = {"event": "media", "media": {"payload": base64.b64encode(data).decode()}, "streamSid": STREAM}
    return f'{{"t":{t:.4f},"d":"{d}","m":{json.dumps(media, separators=(",", ":"))}}}\n'


def _line(t: float, d: str, **fields: Any) -> str:
    return json.dumps({"t": round(t, 4), "d": d, "k": "text", **fields}) + "\n"


# ------------------------------------------------------------------ calls

FLIGHT = {"from": "Zürich", "to": "Lisbon", "day": "2026-12-04"}
SEATS = [
    {"flight": "TP 931", "at": "09:40", "price": 148},
    {"flight": "LX 2084", "at": "13:05", "price": 171},
]


def booking_call(session: str = "1f3a9c0b7d2e4f56", started: datetime = START) -> CallWriter:
    """Seven turns: quick ones, a slow model after a retry, a tool, an interruption, a blocked event loop."""
    call = CallWriter(session, started)
    retry = {"after": 1.2, "kind": "retry", "service": "OpenAILLMService", "attempt": 2, "wait_s": 0.5}
    stall = {
        "after": 0.75,
        "kind": "stall",
        "seconds": 0.42,
        "cause": "bot_code",
        "file": "my_bot.py",
        "line": 41,
    }
    log = {"kind": "log", "logger": "my_bot"}
    call.greet("Good morning, this is Skyline. Where would you like to fly?")
    call.turn(Turn(user="Hello, I would like to fly to Lisbon", bot="Lovely. From which city, and when?"))
    call.turn(
        Turn(
            user="From Zurich, next Friday, in the morning if you can",
            bot="There are two flights. One leaves at nine forty, the other at five past one.",
            tool=("find_flights", FLIGHT, SEATS, 0.62, False),
            extra=[{**log, "after": 0.4, "level": "info", "message": "searching ZRH to LIS on 2026-12-04"}],
        )
    )
    call.turn(Turn(user="How much is the first one", bot="It is one hundred and forty eight euros.", cut=1.4))
    call.turn(Turn(user="And with a bag", bot="With one bag it is one hundred and eighty three euros."))
    call.turn(
        Turn(
            user="Good, please book that one for me",
            bot="One moment. Done, your booking is confirmed.",
            llm=2.31,
            waiting=0.3,
            extra=[
                {**retry, "message": "429 Too Many Requests"},
                {**log, "after": 1.21, "level": "warning", "message": "OpenAI answered 429, waiting 0.5 s"},
            ],
        )
    )
    call.turn(
        Turn(
            user="Can you send me the details by mail",
            bot="I am sorry, the mail could not be sent.",
            tool=("send_mail", {"to": "caller"}, "ConnectionRefusedError: smtp:25", 0.18, True),
            voice=0.62,
            extra=[stall, {**log, "after": 0.8, "level": "error", "message": "send_mail failed"}],
        )
    )
    call.turn(Turn(user="Never mind, thank you, goodbye", bot="Thank you for calling. Goodbye!"))
    return call


def failed_call(session: str, started: datetime) -> CallWriter:
    """The bot raises an error in its second turn."""
    call = CallWriter(session, started)
    call.greet("Good morning, this is Skyline. Where would you like to fly?")
    call.turn(Turn(user="To Oslo please", bot="From which city?"))
    message = "KeyError: 'city'"
    call.note(call.now, "error", message=message, processor="bot", fatal=True, file="my_bot.py", line=57)
    call.head["failure"] = {
        "message": message,
        "exception": "KeyError",
        "file": "my_bot.py",
        "line": 57,
        "source": "    city = answer['city']",
        "advice": "The key is missing in the dictionary: use answer.get('city').",
    }
    return call


def long_call(session: str, started: datetime, minutes: float) -> CallWriter:
    """Turn after turn, for so many minutes, in messages of 50 ms: some 1800 a minute both ways."""
    call, n = CallWriter(session, started, chunk=RATE // 20), 0
    call.greet("Good morning, this is Skyline. Where would you like to fly?")
    while call.now < minutes * 60:
        n += 1
        call.turn(
            Turn(
                user=f"Tell me more about flight {n % 20} please",
                bot="It leaves in the morning, and it arrives two hours later at the same place as always.",
                llm=0.2 + (n * 7 % 10) / 10,
                voice=0.1 + (n * 3 % 7) / 20,
            )
        )
    return call


def write_calls(folder: Path, minutes: float = 0.0) -> list[str]:
    """A few calls, newest first; and one that lasts so many minutes, if any."""
    at, ids = START, []
    calls = [booking_call("1f3a9c0b7d2e4f56", at)]
    calls.append(failed_call("5a1b2c3d4e5f6071", at - timedelta(minutes=4)))
    quick = CallWriter("77c0ffee77c0ffee", at - timedelta(minutes=31))
    quick.turn(Turn(user="What time is it", bot="It is a quarter to nine."))
    quick.head |= {
        "transport": "webrtc",
        "from": "",
        "to": "",
        "origin": {"kind": "call", "scenario": "clock"},
    }
    quick.head["report"] = {"passed": True, "failures": []}
    calls.append(quick)
    if minutes:
        calls.append(long_call("0123456789abcdef", at - timedelta(days=1), minutes))
    for call in calls:
        failed = call.head.get("failure")
        call.write(folder, reason=("BOT_FAILED", "the bot failed") if failed else None)
        ids.append(call.id)
    return ids


if __name__ == "__main__":
    for name in write_calls(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0):
        print(name)
