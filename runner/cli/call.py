"""`botrun call FILE -t twilio`: call the bot from this machine, with the provider's exact messages.

The arguments of the last call are saved, so that one key in a run's terminal can repeat it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.errors import UsageError
from runner.settings import state_folder

if TYPE_CHECKING:
    from runner.callers.call import CallRequest
    from runner.callers.scenario.steps import Scenario
    from runner.callers.sound.line import Line
    from runner.settings import Settings

PROVIDERS = ("twilio", "telnyx", "plivo", "exotel")
DEFAULT_PROVIDER, DEFAULT_SCENARIO = "twilio", "ordinary"
LAST_CALL = "last-call.json"

FAILED = 1
ANSWER_WITHIN_S = 15.0
"""Time (s) after which a bot that has not answered `--say` has failed."""

_File = Annotated[str | None, typer.Argument(metavar="[FILE]", help="The bot to start. Omit it with --url.")]
_Url = Annotated[
    str | None,
    typer.Option("--url", metavar="WS", help="Call a running bot at ws://…/ws instead of starting one."),
]
_Provider = Annotated[
    str,
    typer.Option(
        "--transport",
        "-t",
        metavar="NAME",
        help="Provider to imitate: " + ", ".join(PROVIDERS) + ". [default: twilio]",
    ),
]
_Scenario = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE", help=f"What the caller does. [default: {DEFAULT_SCENARIO}]"),
]
_List = Annotated[bool, typer.Option("--list", help="List the built-in scenarios.")]
_Wav = Annotated[str | None, typer.Option("--wav", metavar="FILE", help="Play this WAV file as the caller.")]
_Say = Annotated[
    list[str] | None,
    typer.Option("--say", metavar="TEXT", help="What the caller says. Repeatable: one sentence per turn."),
]
_Type = Annotated[bool, typer.Option("--type", help="Type what the caller says, line by line.")]
_Noise = Annotated[
    float | None, typer.Option("--noise", metavar="DB", help="Add street noise this many dB below the voice.")
]
_Loss = Annotated[
    float | None, typer.Option(metavar="PCT", help="Drop this percentage of the caller's sound.")
]
_Jitter = Annotated[
    float | None, typer.Option(metavar="MS", help="Delay messages by a random time of up to MS milliseconds.")
]
_BadMic = Annotated[bool, typer.Option("--bad-mic", help="Imitate a quiet, crackling microphone.")]
_LoseMarks = Annotated[bool, typer.Option("--lose-marks", help="Do not acknowledge played sound (marks).")]
_Seed = Annotated[
    int | None, typer.Option(metavar="N", help="Seed for noise, loss and jitter, to repeat a call exactly.")
]
_Body = Annotated[
    str | None,
    typer.Option(metavar="FILE|JSON", help="Value of runner_args.body: JSON, or the path of a file."),
]
_From = Annotated[str | None, typer.Option("--from", metavar="NUMBER", help="The caller's number.")]
_To = Annotated[str | None, typer.Option("--to", metavar="NUMBER", help="The number that was called.")]
_Param = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="KEY=VALUE", help="A custom parameter of the call. Repeatable."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON, and nothing else.")]
_Save = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Save stereo sound (caller left, bot right) and messages here."),
]
_Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show the bot's whole log, not only warnings.")
]
_Repeat = Annotated[
    int, typer.Option(metavar="N", help="Make the call N times; report pass@1 and pass^N.", min=1, max=1000)
]
_Insecure = Annotated[bool, typer.Option("--insecure", help="Trust any certificate of a wss:// address.")]


def call(
    file: _File = None,
    url: _Url = None,
    provider: _Provider = "",
    scenario: _Scenario = None,
    list_them: _List = False,
    wav: _Wav = None,
    say: _Say = None,
    typed: _Type = False,
    noise: _Noise = None,
    loss: _Loss = None,
    jitter: _Jitter = None,
    bad_mic: _BadMic = False,
    lose_marks: _LoseMarks = False,
    seed: _Seed = None,
    body: _Body = None,
    from_number: _From = None,
    to_number: _To = None,
    param: _Param = None,
    as_json: _Json = False,
    save: _Save = None,
    insecure: _Insecure = False,
    verbose: _Verbose = False,
    repeat: _Repeat = 1,
) -> int:
    """Call the bot from this machine with a phone provider's exact messages. No account, no tunnel.

    The exit status is 1 if the bot does not meet an expectation of the scenario.
    """
    if list_them:
        return _list_scenarios()
    _check_ways(scenario=scenario, wav=wav, say=say, typed=typed or None)
    bad = {"noise": noise, "loss": loss, "jitter": jitter, "seed": seed}
    line = _line(bad, bad_mic=bad_mic, lose_marks=lose_marks)
    plan = None if typed else _plan(scenario, wav, say or [])
    provider = provider or (plan.transport if plan else "") or DEFAULT_PROVIDER
    if file is None and url is None and plan is not None and plan.bot is not None:
        file = str(plan.bot)
    target = _target(file, url, provider)
    if insecure:
        from runner.server.wire.tls import trust_anybody

        trust_anybody()
    from runner.callers.call import CallRequest

    if plan is not None and plan.asks_a_model:
        _say_who_is_asked(plan, quiet=as_json)
    request = CallRequest(
        provider=provider,
        file=target[0],
        url=target[1],
        scenario=plan,
        line=line,
        save=Path(save) if save else None,
        body=body,
        from_number=from_number,
        to_number=to_number,
        parameters=_parameters(param or []),
        verbose=verbose,
    )
    if file is not None and not (typed or wav or say):
        from runner.settings import resolve

        remember_call(resolve({}, {}), provider, scenario or DEFAULT_SCENARIO)
    return _make(request, as_json=as_json) if repeat == 1 else _repeat(request, repeat, as_json=as_json)


def _list_scenarios() -> int:
    from runner.callers.scenario import load_scenario, shipped

    for name, path in shipped().items():
        typer.echo(f"{name:<18}{load_scenario(path).about}")
    return 0


def _check_ways(**ways: object) -> None:
    given = [f"--{'type' if name == 'typed' else name}" for name, value in ways.items() if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)}: give only one of them")


def _target(file: str | None, url: str | None, provider: str) -> tuple[str | None, str | None]:
    """The bot's file or the address to call; the other one is None."""
    from runner.settings.parsing import did_you_mean

    if provider not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        hint = did_you_mean(provider, list(PROVIDERS))
        raise UsageError(f"--transport: {provider!r} is not a phone provider ({known}){hint}")
    if file is not None and url is not None:
        raise UsageError("FILE and --url are both given; FILE starts a bot, --url rings a running one")
    if file is None and url is None:
        return None, _running_bot()
    if url is not None:
        if not url.startswith(("ws://", "wss://")):
            raise UsageError(f"--url: {url!r} is not a WebSocket address (ws://127.0.0.1:7860/ws)")
        return None, url
    from runner.botcode.loader import parse_target

    parse_target(str(file))
    return file, None


def _running_bot() -> str:
    """URL of the media socket of the bot that runs on this machine, at the configured port."""
    import socket

    from runner.settings import find_dotenv, read_dotenv, resolve

    settings = resolve({}, read_dotenv(find_dotenv(Path("bot.py").resolve())))
    try:
        socket.create_connection(("localhost", settings.port), 2.0).close()
    except OSError:
        raise UsageError(
            f"no bot to call: nothing listens on port {settings.port}. Give the bot's FILE, start one with"
            " `botrun FILE -t twilio`, or give --url ws://… of a running one"
        ) from None
    return f"{'wss' if settings.https else 'ws'}://localhost:{settings.port}/ws"


def _parameters(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UsageError(f"--param: expected KEY=VALUE, got {pair!r}")
        found[key] = value
    return found


def _line(numbers: Mapping[str, float | None], *, bad_mic: bool, lose_marks: bool) -> Line | None:
    """The line, or None if no option was given: then the scenario decides."""
    bounds = {"noise": (-20, 80), "loss": (0, 100), "jitter": (0, 2000), "seed": (0, 2**31)}
    from runner.settings.parsing import check_bounds

    for name, value in numbers.items():
        check_bounds(f"--{name}", value, *bounds[name])
    if not (bad_mic or lose_marks or any(value is not None for value in numbers.values())):
        return None
    from runner.callers.sound.line import Line

    return Line(
        noise_db=numbers["noise"],
        loss_pct=numbers["loss"] or 0.0,
        jitter_ms=numbers["jitter"] or 0.0,
        bad_mic=bad_mic,
        lose_marks=lose_marks,
        seed=1 if numbers["seed"] is None else int(numbers["seed"]),
    )


def _plan(scenario: str | None, wav: str | None, say: list[str]) -> Scenario:
    from runner.callers import scenario as scenarios
    from runner.callers.scenario.steps import Expect, PlayWav, Say, Scenario, Step, WaitForSilence

    if wav is None and not say:
        return scenarios.find_scenario(scenario or DEFAULT_SCENARIO)
    steps: list[Step] = [WaitForSilence(at_most_s=6.0)]
    for text in say:
        steps += [Say(text=text), WaitForSilence(), Expect(answer_within_s=ANSWER_WITHIN_S)]
    if wav is not None:
        from runner.callers.sound.microphone import read_wav

        read_wav(Path(wav))
        steps += [PlayWav(path=Path(wav)), WaitForSilence()]
    return Scenario(name="the call", steps=tuple(steps))


def _make(request: CallRequest, *, as_json: bool) -> int:
    import asyncio

    from runner.callers.call import make_call
    from runner.cli.call_view import CallView

    view = CallView(quiet=as_json)
    view.begins(request.provider, request.file or request.url or "", typed=request.scenario is None)
    result = asyncio.run(make_call(request, view.show_line))
    if as_json:
        import json

        view.print_json(json.dumps(result.as_dict(), indent=2, ensure_ascii=False))
    else:
        view.ends(result, saved=request.save)
    return 0 if result.met else FAILED


def _say_who_is_asked(plan: Scenario, *, quiet: bool) -> None:
    """The host that the conversation is sent to."""
    from runner.evaluation.model import ModelChoice

    choice = ModelChoice(base_url=plan.evaluation.base_url, name=plan.evaluation.model).resolved()
    typer.echo(f"asking {choice.name} at {choice.host}", err=quiet)


def _repeat(request: CallRequest, times: int, *, as_json: bool) -> int:
    """Make the same call several times. All calls count: none is a retry."""
    import asyncio

    from runner.callers.call import make_call

    results = []
    for number in range(1, times + 1):
        results.append(asyncio.run(make_call(request)))
        if not as_json:
            failed = [outcome for outcome in results[-1].outcomes if not outcome.met]
            typer.echo(f"call {number} of {times}: {'failed' if failed else 'passed'}")
            for outcome in failed:
                typer.echo(f"  {outcome.place}: {outcome.sentence}")
    passed = sum(result.met for result in results)
    if as_json:
        figures = {"pass@1": passed / times, f"pass^{times}": int(passed == times)}
        typer.echo(json.dumps({**figures, "calls": [each.as_dict() for each in results]}, indent=2))
    else:
        every = "all passed" if passed == times else "not all passed"
        all_passed = f"pass^{times} {int(passed == times)} ({every})"
        typer.echo(f"pass@1 {passed / times:.2f} ({passed} of {times}), {all_passed}")
    return 0 if passed == times else FAILED


# ------------------------------------------------------------------ the last call


def remember_call(settings: Settings, provider: str, scenario: str) -> None:
    """Save the arguments of `botrun call`. Does nothing if the folder is not writable."""
    with contextlib.suppress(OSError):
        folder = state_folder(settings)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / LAST_CALL).write_text(json.dumps({"provider": provider, "scenario": scenario}))


def last_call(settings: Settings) -> list[str]:
    """The arguments of `botrun call` that repeat the last call; empty if this run serves no phone."""
    served = [name for name in settings.transports if name in PROVIDERS]
    if not served:
        return []
    kept: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads((state_folder(settings) / LAST_CALL).read_text())
    provider = kept.get("provider", "")
    scenario = kept.get("scenario", DEFAULT_SCENARIO)
    if Path(scenario).suffix and not Path(scenario).exists():  # deleted since, or relative to another folder
        scenario = DEFAULT_SCENARIO
    provider = provider if provider in served else served[0]
    scheme = "wss" if settings.https else "ws"
    url = f"{scheme}://localhost:{settings.port}/ws"
    return ["--url", url, "--transport", provider, "--scenario", scenario]
