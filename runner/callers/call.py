"""One call from start to end: start or find the bot, ring it, let the caller speak, measure."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import uuid
import wave
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from runner.callers.bot_process import EVERY_LINE, WARNINGS, BotProcess
from runner.callers.call_report import Report, measure
from runner.callers.connections import dial_network
from runner.callers.phone import Phone
from runner.callers.scenario.performer import Outcome, Performer, TypedCaller, typed_lines
from runner.callers.scenario.steps import Expect, Scenario
from runner.callers.sound.line import ROOM_DBFS, Line
from runner.callers.sound.microphone import CallerVoice, caller_voice
from runner.callers.talk import OnLine, Said, Talk, conversation_of
from runner.callers.wires import Wire, wire_for
from runner.callers.wires.base import FROM_NUMBER, TO_NUMBER
from runner.errors import BotrunError, UsageError
from runner.evaluation import end_state
from runner.evaluation.judge import judge
from runner.evaluation.model import Model, ModelChoice
from runner.records.folder import calls_folder
from runner.records.record import Record
from runner.records.reports import attach_report, wait_for_call

FOLLOW_PATIENCE_S = 0.5
"""Maximum time (s) to wait after the call for the bot's last words."""


@dataclass(frozen=True, kw_only=True)
class CallRequest:
    """The call to make.

    Attributes:
        provider: the provider to simulate.
        file: the bot to start; None rings `url`.
        url: URL of a running botrun's media socket.
        scenario: what the caller does; None: the user types it.
        line: the quality of the line; None: the scenario's.
        save: a folder for the call's files.
        from_number, to_number: the call's numbers; None: made up.
        parameters: custom parameters, on top of the scenario's.
        body: the `body` of the started bot.
        verbose: show the started bot's whole log, not only its warnings.
    """

    provider: str
    file: str | None = None
    url: str | None = None
    scenario: Scenario | None = None
    line: Line | None = None
    save: Path | None = None
    body: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    verbose: bool = False


@dataclass(frozen=True, kw_only=True)
class CallResult:
    """The result of a call.

    Attributes:
        call_id: the provider's id of the call.
        record: the folder of the call's record; None if the bot's process recorded nothing or elsewhere.
    """

    report: Report
    outcomes: list[Outcome]
    lines: list[Said] = field(default_factory=list)
    call_id: str = ""
    record: Path | None = None

    @property
    def met(self) -> bool:
        """Whether every expectation was met."""
        return all(outcome.met for outcome in self.outcomes)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "met": self.met,
            "record": None if self.record is None else str(self.record),
            "expectations": [{"at": o.place, "met": o.met, "seen": o.sentence} for o in self.outcomes],
            **self.report.as_dict(),
            "conversation": [{"at": line.at, "who": line.who, "text": line.text} for line in self.lines],
        }


async def make_call(request: CallRequest, on_line: OnLine | None = None) -> CallResult:
    """Make a call; `on_line` is called with each line of the conversation.

    Raises:
        UsageError: the request is not possible.
        BotStartError: the bot did not start.
        TransportError: the bot does not answer.
    """
    if request.save is not None:
        make_folder(request.save)
    prints = Prints(on_line)
    async with caller_voice() as voice:
        await _prepare(request, voice)
        async with _bot(request, prints) as url:
            result = await _ring(request, url, voice, prints)
    result = replace(result, lines=prints.lines)
    if request.scenario is not None:
        judged = await evaluate(request.scenario, result)
        result = replace(result, outcomes=[*result.outcomes, *judged])
    return await asyncio.to_thread(_recorded, request, result)


async def evaluate(scenario: Scenario, result: CallResult) -> list[Outcome]:
    """The verdicts of the judge and of the end-state check about a call.

    Raises:
        UsageError: the model is on another machine, and there is no key; or the function cannot be loaded.
        ServiceError: the model does not answer.
    """
    wanted, found = scenario.evaluation, []
    conversation = conversation_of(result.lines)
    if wanted.rules:
        model = Model(ModelChoice(base_url=wanted.base_url, name=wanted.model))
        try:
            for judgement in await judge(model, wanted.rules, conversation):
                found.append(Outcome(f"{scenario.name}: judge", judgement.met, judgement.sentence))
        finally:
            await model.aclose()
    if wanted.end_state is not None:
        function = end_state.load(*wanted.end_state)
        state = await end_state.check(function, {"conversation": conversation, "call_id": result.call_id})
        found.append(Outcome(f"{scenario.name}: end_state", state.met, state.sentence))
    return found


def _recorded(request: CallRequest, result: CallResult) -> CallResult:
    """Complete the result from the call's record."""
    path, _ = wait_for_call(calls_folder(), result.call_id)
    outcomes = [*result.outcomes, *_tools(request.scenario, path)]
    result = replace(result, outcomes=outcomes)
    return replace(result, record=_attach(request, result))


def _tools(scenario: Scenario | None, path: Path | None) -> Iterator[Outcome]:
    """Whether the bot called the tools that the scenario expects, in their order."""
    expected = (
        [step for step in scenario.steps if isinstance(step, Expect) and step.tools] if scenario else []
    )
    called: list[str] = []
    if path is not None and expected:
        called = [str(e.get("name")) for e in Record(path).events if e["kind"] == "tool_call"]
    left = iter(called)
    for step in expected:
        assert scenario is not None
        met = all(name in left for name in step.tools)
        seen = f"the bot called {', '.join(called) or 'no tool'}"
        sentence = seen if met else f"{seen}, expected {', '.join(step.tools)}"
        if path is None:
            sentence = "tools could not be checked: the call was not recorded here"
        yield Outcome(scenario.place(step), met, sentence)


def _attach(request: CallRequest, result: CallResult) -> Path | None:
    """Add this caller's report to the call's record."""
    scenario = request.scenario.name if request.scenario is not None else ""
    failures = [f"{outcome.place}: {outcome.sentence}" for outcome in result.outcomes if not outcome.met]
    report = {"passed": result.met, "failures": failures, "scenario": scenario}
    return attach_report(calls_folder(), result.call_id, {"kind": "call", "scenario": scenario}, report)


class Prints:
    """Collects the lines of a call, with what the bot prints before, during and after it.

    Args:
        on_line: called with each line.
    """

    def __init__(self, on_line: OnLine | None) -> None:
        self.on_line = on_line
        self.talk: Talk | None = None
        self._early: list[Said] = []

    @property
    def lines(self) -> list[Said]:
        """All lines so far."""
        return self._early if self.talk is None else self.talk.lines

    def answered(self, phone: Phone) -> Talk:
        """Start the conversation's lines, once the call is answered."""
        self.talk = Talk(phone, self.on_line, self._early)
        return self.talk

    def add(self, text: str) -> None:
        """Add a line that the bot's process printed."""
        if self.talk is not None:
            self.talk.say("print", text)
            return
        line = Said(0.0, "print", text)
        self._early.append(line)
        if self.on_line is not None:
            self.on_line(line)


async def _prepare(request: CallRequest, voice: CallerVoice) -> None:
    """Synthesize all the caller's speech before the phone rings."""
    scenario = request.scenario
    if scenario is not None:
        await Performer.prepare(scenario, voice)


@contextlib.asynccontextmanager
async def _bot(request: CallRequest, prints: Prints) -> AsyncIterator[str]:
    if request.url is not None:
        yield request.url
        return
    assert request.file is not None
    process = BotProcess(
        request.file,
        request.provider,
        body=request.body,
        shown=EVERY_LINE if request.verbose else WARNINGS,
        printed=prints.add,
    )
    async with process.running() as bot:
        yield bot.url


async def _ring(request: CallRequest, url: str, voice: CallerVoice, prints: Prints) -> CallResult:
    scenario = request.scenario
    line = request.line or (scenario.line if scenario else None) or Line()
    line = replace(line, room_dbfs=ROOM_DBFS)
    parameters = {**(dict(scenario.parameters) if scenario else {}), **request.parameters}
    numbers = {"from_number": request.from_number, "to_number": request.to_number}
    wire = new_wire(request.provider, parameters, **{k: v for k, v in numbers.items() if v is not None})
    outcomes: list[Outcome] = []
    dial = partial(dial_network, waits=scenario is None)
    async with Phone(url, wire, line=line, keep_messages=request.save is not None, connect=dial) as phone:
        talk = prints.answered(phone)
        following = asyncio.create_task(talk.follow(), name="follow")
        try:
            talk.say("phone", f"{request.provider} call {wire.facts.call_id} is answered", phone.started_at)
            if scenario is not None:
                outcomes = await Performer(talk, voice).perform(scenario)
            else:
                await TypedCaller(talk, voice).run(typed_lines(sys.stdin.fileno()))
            await asyncio.wait([following], timeout=FOLLOW_PATIENCE_S)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
    result = CallResult(
        report=measure(phone), outcomes=outcomes, lines=talk.lines, call_id=wire.facts.call_id
    )
    if request.save is not None:
        try:
            save_call(request.save, phone, result.as_dict())
        except OSError as error:
            reason = error.strerror or str(error)
            raise BotrunError(f"--save: cannot write to {request.save}: {reason}") from None
    return result


def new_wire(provider: str, parameters: dict[str, str] | None = None, **numbers: str) -> Wire:
    """A wire with unique ids in the provider's format.

    Twilio's and Plivo's start messages have no numbers, so these are passed as custom parameters, as in
    botrun's own answer documents.
    """
    stream, call, account = _IDS[provider]()
    if provider in ("twilio", "plivo"):
        made_up = {"from_number": FROM_NUMBER, "to_number": TO_NUMBER}
        parameters = {**made_up, **numbers, **(parameters or {})}
    return wire_for(
        provider,
        stream_id=stream,
        call_id=call,
        account_id=account,
        custom_parameters=parameters or {},
        **numbers,
    )


def _hex_ids() -> tuple[str, str, str]:
    return f"MZ{secrets.token_hex(16)}", f"CA{secrets.token_hex(16)}", f"AC{'0' * 32}"


def _telnyx_ids() -> tuple[str, str, str]:
    return str(uuid.uuid4()), f"v3:{secrets.token_urlsafe(24)}", str(uuid.UUID(int=0))


def _plivo_ids() -> tuple[str, str, str]:
    return str(uuid.uuid4()), str(uuid.uuid4()), "MA000000000000000001"


def _no_ids() -> tuple[str, str, str]:
    return "", "", ""


_IDS = {
    "twilio": _hex_ids,
    "telnyx": _telnyx_ids,
    "plivo": _plivo_ids,
    "exotel": _hex_ids,
    "websocket": _no_ids,
}


def make_folder(folder: Path) -> None:
    """Create the folder for a call's files, before the call.

    Raises:
        UsageError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--save: {folder} cannot be created: {error.strerror or error}") from None


def save_call(folder: Path, phone: Phone, report: dict[str, Any]) -> None:
    """Write `call.wav` (caller left, bot right, aligned to the sample), `messages.jsonl` (`at` in s since the
    start of the call) and `report.json`."""
    with wave.open(str(folder / "call.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(phone.sample_rate)
        file.writeframes(stereo(phone))
    lines = (
        json.dumps(
            {"at": round(m.at, 6), "to": "bot" if m.to_bot else "phone", "message": m.text},
            ensure_ascii=False,
        )
        for m in phone.log.messages
    )
    (folder / "messages.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    text = json.dumps(report, indent=2, ensure_ascii=False)
    (folder / "report.json").write_text(f"{text}\n", encoding="utf-8")


def stereo(phone: Phone) -> bytes:
    """The caller's speech and what was heard of the bot, interleaved, from the call's first sample on."""
    left = np.frombuffer(phone.microphone.recording(), "<i2")
    right = np.frombuffer(phone.playout.recording(), "<i2")
    both = np.zeros((max(len(left), len(right)), 2), "<i2")
    both[: len(left), 0], both[: len(right), 1] = left, right
    return both.tobytes()
