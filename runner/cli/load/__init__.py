"""`botrun load TARGET`: many concurrent simulated callers, and their measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runner.errors import UsageError
from runner.settings.parsing import check_bounds

TRANSPORTS = ("twilio", "telnyx", "plivo", "exotel", "websocket", "webrtc")
CALLS, DURATION_S, RAMP_S = 50, 30.0, 5.0
FIRST_TRY, TRY_S = 8, 10.0
"""First number of calls of `--until-it-breaks`, and measured time (s) of each try."""

_Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="The bot to start, or the address of a running server.")
]
_Transport = Annotated[
    str,
    typer.Option(
        "--transport", "-t", metavar="NAME", help="Transport or provider: " + ", ".join(TRANSPORTS) + "."
    ),
]
_Calls = Annotated[
    int | None, typer.Option("-n", "--calls", metavar="N", help=f"Concurrent calls. [default: {CALLS}]")
]
_Duration = Annotated[
    float | None,
    typer.Option(metavar="S", help=f"How long to measure, in seconds. [default: {DURATION_S:g}]"),
]
_Ramp = Annotated[
    float | None,
    typer.Option(metavar="S", help=f"Time over which the calls start, in seconds. [default: {RAMP_S:g}]"),
]
_Scenario = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="What the callers do: echo (the bot echoes), talk, or another of `botrun call --list`.",
    ),
]
_Procs = Annotated[
    int | None,
    typer.Option(metavar="N", help="Number of caller processes. [default: one per 100 calls]"),
]
_Pid = Annotated[
    int | None,
    typer.Option(metavar="PID", help="The server's process id, if its /status does not report it."),
]
_Breaks = Annotated[
    bool,
    typer.Option(
        "--until-it-breaks", help="Find the highest number of calls the server carries, starting at -n."
    ),
]
_Insecure = Annotated[bool, typer.Option("--insecure", help="Trust any certificate of the server.")]
_Plot = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write a chart of latency by number of calls, as HTML.")
]
_Body = Annotated[
    str | None,
    typer.Option(metavar="FILE|JSON", help="Value of runner_args.body: JSON, or the path of a file."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and nothing else.")]


def load(
    target: _Target,
    transport: _Transport = "twilio",
    calls: _Calls = None,
    duration: _Duration = None,
    ramp: _Ramp = None,
    scenario: _Scenario = "echo",
    procs: _Procs = None,
    pid: _Pid = None,
    until_it_breaks: _Breaks = False,
    plot: _Plot = None,
    body: _Body = None,
    insecure: _Insecure = False,
    as_json: _Json = False,
) -> int:
    """Make many simulated calls at once, and measure the server.

    The exit status is 1 if the server does not hold the load. Ctrl-C stops and shows the figures so far.
    """
    check_bounds("-n", calls, 1, 10_000)
    check_bounds("--duration", duration, 1, 86_400)
    check_bounds("--ramp", ramp, 0, 3600)
    check_bounds("--procs", procs, 1, 64)
    if plot is not None:
        _check_plot(plot)
    _check_scenario(scenario, transport)
    from runner.callers.load import LoadPlan
    from runner.cli.load.view import LoadView, procs_for, run_once, search

    if insecure:
        from runner.server.wire.tls import trust_anybody

        trust_anybody()
    calls = calls or (FIRST_TRY if until_it_breaks else CALLS)
    plan = LoadPlan(
        transport=transport,
        calls=calls,
        duration_s=duration or (TRY_S if until_it_breaks else DURATION_S),
        ramp_s=RAMP_S if ramp is None else ramp,
        scenario=scenario,
        procs=procs or procs_for(calls),
        body=body,
        insecure=insecure,
        **_server(target, transport, pid),  # type: ignore[arg-type]  # file, url and pid
    )
    view = LoadView(plan, quiet=as_json)
    if until_it_breaks:
        return search(plan, view, plot=plot, procs=procs, as_json=as_json)
    return run_once(plan, view, plot=plot, as_json=as_json)


# ------------------------------------------------------------------ arguments


def _check_scenario(scenario: str, transport: str) -> None:
    from runner.settings.parsing import did_you_mean

    if transport not in TRANSPORTS:
        known = ", ".join(TRANSPORTS)
        hint = did_you_mean(transport, list(TRANSPORTS))
        raise UsageError(f"--transport: unknown transport {transport!r} ({known}){hint}")
    if scenario == "echo":
        return
    if transport == "webrtc":
        raise UsageError(
            f"--scenario {scenario}: over WebRTC there is only echo; use a phone transport for others"
        )
    from runner.callers.scenario import find_scenario

    find_scenario(scenario)


def _check_plot(plot: str) -> None:
    from runner.callers.load.chart import check_file

    check_file(Path(plot))


def _server(target: str, transport: str, pid: int | None) -> dict[str, object]:
    """The bot's file, or the server's address and process id, if given."""
    from runner.callers.load.server import address_for, check_reachable, is_address, is_running

    if pid is not None and not is_running(pid):
        raise UsageError(f"--pid: there is no process {pid}")
    if is_address(target):
        url = address_for(target, transport)
        check_reachable(url)
        return {"url": url, "pid": pid}
    if pid is not None:
        raise UsageError("--pid is only for a server's address; botrun starts this bot itself")
    from runner.botcode.loader import parse_target

    parse_target(target)
    return {"file": target}
