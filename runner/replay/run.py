"""Makes a recorded call again and compares: in this process in virtual time, or with a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runner.botcode.loader import parse_target
from runner.callers.bot_process import EVERY_LINE, WARNINGS, BotProcess
from runner.callers.call_report import TRUSTED_MAX_MS, TRUSTED_P99_MS, lateness_ms
from runner.callers.webrtc import MICROPHONE_HZ
from runner.errors import BotrunError
from runner.integrations.pipecat import loading
from runner.integrations.pipecat.detect import is_pipecat_bot
from runner.playback.bot import with_recorded_services
from runner.records.call import RecordedCall
from runner.records.reports import attach_report, wait_for_call
from runner.replay.clip import Clip, clip_of, media_of
from runner.replay.comparison.facts import Facts, facts_of
from runner.replay.comparison.verdict import Comparison, compare
from runner.replay.director import Done
from runner.replay.in_process import URL, served
from runner.replay.phone import ReplayPhone, at_rate, wire_of
from runner.replay.refusal import RefusedError, check
from runner.replay.webrtc import ReplayCaller

if TYPE_CHECKING:
    from runner.botcode.loader import LoadedBot

MODES, SERVICES = ("turns", "exact"), ("live", "recorded")
COMPLETE_WITHIN_S = 10.0
LONGEST_S = 7200.0

OnProgress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ReplayRequest:
    """What to replay, and how.

    Attributes:
        record: the recorded call.
        bot: the bot's file; None: the one that took the call.
        mode: "turns" or "exact".
        services: "live", or "recorded": they answer as in the record.
        live_tools: with recorded services, names of tools that run their own code.
        runs: how often.
        real_time: whether to use a process of its own and real time where virtual time would do.
        body: what the bot finds in its `body`.
        verbose: show the bot's whole log.
        folder: of the records.
    """

    record: RecordedCall
    folder: Path
    bot: str | None = None
    mode: str = "turns"
    services: str = "live"
    live_tools: tuple[str, ...] = ()
    runs: int = 1
    real_time: bool = False
    body: str | None = None
    verbose: bool = False

    @property
    def target(self) -> str:
        """The bot to call, as one types it.

        Raises:
            RefusedError: it is not where it was.
        """
        if self.bot is not None:
            return self.bot
        bot = self.record.head.get("bot") or {}
        file = str(bot.get("file", ""))
        if not Path(file).is_file():
            raise RefusedError(
                f"{self.record.id} was taken by {file}, which is not here: name the bot's file"
            )
        function = str(bot.get("function") or "bot")
        return file if function == "bot" else f"{file}:{function}"

    @property
    def is_virtual(self) -> bool:
        """Whether it runs in this process, in virtual time."""
        is_phone = self.record.head.get("transport") != "webrtc"
        return self.services == "recorded" and is_phone and not self.real_time

    def check(self) -> None:
        """See that this can be done.

        Raises:
            RefusedError: the record or the bot does not allow it.
        """
        check(self.record)
        if self.services == "recorded" and is_pipecat_bot(parse_target(self.target).path):
            raise RefusedError(
                f"{self.target} runs on Pipecat, whose services cannot be replaced by recorded ones yet:"
                " use --services live"
            )


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """One replay: its record, what the caller did, and how late the caller itself was (s)."""

    path: Path
    done: Sequence[Done]
    late_s: Sequence[float] = ()

    @property
    def notes(self) -> list[str]:
        """What the caller did otherwise than in the recorded call."""
        return [f"at {each.at:.1f} s: {each.note}" for each in self.done if each.note]


def replay(request: ReplayRequest, on_progress: OnProgress = lambda text: None) -> Comparison:
    """Make the call again, as often as asked for, and compare. `on_progress` is given each step.

    Raises:
        RefusedError: the record cannot be replayed.
        BotrunError: the bot does not start, or does not answer.
    """
    request.check()
    clip = clip_of(request.record)
    before = facts_of(request.record, speech_s(clip))
    run = (
        _virtual(request, clip) if request.is_virtual else partial(asyncio.run, _in_real_time(request, clip))
    )
    replays: list[Replayed] = []
    for number in range(request.runs):
        if request.runs > 1:
            on_progress(f"run {number + 1} of {request.runs}")
        replays.append(run())
        for note in replays[-1].notes:
            on_progress(note)
    comparison = compared(before, replays)
    for each in replays:
        _attach(request, each, comparison)
    return comparison


def speech_s(clip: Clip) -> list[float]:
    """How long each utterance of the caller lasts (s)."""
    return [action.until_s - action.at_s for action in clip.actions if action.what == "speech"]


def compared(before: Facts, replays: Sequence[Replayed]) -> Comparison:
    """The comparison with these replays. Latencies that a busy machine made are no evidence."""
    after = [_facts(replayed.path) for replayed in replays]
    notes = [note for replayed in replays for note in replayed.notes]
    comparison = compare(before, after, notes=notes)
    late = [lateness_ms(replayed.late_s) for replayed in replays]
    busy = [each for each in late if each[1] > TRUSTED_P99_MS or each[2] > TRUSTED_MAX_MS]
    times = [finding for finding in comparison.findings if finding.kind in ("latency", "stop", "greeting")]
    if busy and times and len(times) == len(comparison.findings):
        doubt = f"this machine was busy: the caller itself was late by up to {max(e[2] for e in busy):.0f} ms"
        return replace(comparison, doubts=(*comparison.doubts, doubt))
    return comparison


def _facts(path: Path) -> Facts:
    record = RecordedCall(path)
    return facts_of(record, speech_s(clip_of(record)))


def _attach(request: ReplayRequest, replayed: Replayed, comparison: Comparison) -> None:
    """Note in the replay's record what it is, and how it fared."""
    head = RecordedCall(replayed.path).head
    failures = [finding.sentence for finding in comparison.findings if not finding.better]
    report = {"passed": comparison.status != 1, "failures": failures, "scenario": ""}
    origin = {"kind": "replay", "of": request.record.id, "scenario": ""}
    attach_report(request.folder, str(head.get("session")), origin, report)


# ------------------------------------------------------------------ in this process


def _virtual(request: ReplayRequest, clip: Clip) -> Callable[[], Replayed]:
    """The bot is imported once for all runs."""
    from runner.testing.virtual_time import run_virtual

    bot = loading.load(parse_target(request.target))
    bot = with_recorded_services(bot, request.record.path, request.live_tools)
    return lambda: run_virtual(call_in_process(request, clip, bot), LONGEST_S)


async def call_in_process(request: ReplayRequest, clip: Clip, bot: LoadedBot) -> Replayed:
    """Call a bot that is loaded here, on the loop's clock."""
    wire = wire_of(request.record)
    fitting = at_rate(clip, wire.sample_rate)
    pieces = media_of(request.record)[0] if request.mode == "exact" else None
    async with served(bot, request.folder) as connect:
        phone = ReplayPhone(URL, wire, fitting, request.mode, pieces=pieces, connect=connect)
        async with phone:
            await phone.finished()
    return Replayed(path=_record_of(request, wire.facts.call_id), done=phone.done)


# ------------------------------------------------------------------ in a process of its own


def _in_its_process(request: ReplayRequest, clip: Clip) -> Replayed:
    return asyncio.run(_in_real_time(request, clip))


async def _in_real_time(request: ReplayRequest, clip: Clip) -> Replayed:
    transport = str(request.record.head.get("transport"))
    environment = {"BOTRUN_RECORD": "1"}
    if request.services == "recorded":
        environment["BOTRUN_SERVICES_FROM"] = str(request.record.path.resolve())
        environment["BOTRUN_LIVE_TOOLS"] = " ".join(request.live_tools)
    process = BotProcess(
        request.target,
        transport,
        body=request.body,
        shown=EVERY_LINE if request.verbose else WARNINGS,
        reload=False,
        environment=environment,
    )
    async with process.running() as bot:
        call = _call_webrtc if transport == "webrtc" else _call_phone
        name, done, late_s = await call(request, clip, bot.url)
    return Replayed(path=await asyncio.to_thread(_record_of, request, name), done=done, late_s=late_s)


async def _call_phone(request: ReplayRequest, clip: Clip, url: str) -> tuple[str, list[Done], list[float]]:
    wire = wire_of(request.record)
    pieces = media_of(request.record)[0] if request.mode == "exact" else None
    async with ReplayPhone(url, wire, at_rate(clip, wire.sample_rate), request.mode, pieces=pieces) as phone:
        await phone.finished()
    return wire.facts.call_id, phone.done, phone.log.late_s


async def _call_webrtc(request: ReplayRequest, clip: Clip, url: str) -> tuple[str, list[Done], list[float]]:
    async with ReplayCaller(url, at_rate(clip, MICROPHONE_HZ), request.mode) as caller:
        await caller.finished()
    return caller.session_id or "", caller.done, caller.late_s


def _record_of(request: ReplayRequest, name: str) -> Path:
    """The record of the replay."""
    path, head = wait_for_call(request.folder, name, COMPLETE_WITHIN_S)
    if path is None or head.get("state") != "ended":
        raise BotrunError(
            f"the replay of {request.record.id} was not recorded in {request.folder}: is the disk full?"
        )
    return path
