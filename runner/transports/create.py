"""`create_transport`: builds the transport that fits the bot's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from runner.arguments import (
    DailyRunnerArguments,
    InProcessRunnerArguments,
    RunnerArguments,
    SmallWebRTCRunnerArguments,
    WebSocketRunnerArguments,
)
from runner.errors import UsageError
from runner.transports.base import BaseTransport
from runner.transports.params import TransportParams

BOT_NAME = "bot"
"""The bot's name in a Daily room."""

Factories = Mapping[str, Callable[[], Any]]


async def create_transport(runner_args: RunnerArguments, transport_params: Factories) -> BaseTransport:
    """Build the transport for this call.

    ```python
    transport = await create_transport(runner_args, {
        "webrtc": lambda: TransportParams(audio_in_enabled=True, audio_out_enabled=True),
        "twilio": lambda: FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True),
    })
    ```

    Raises:
        UsageError: there is no factory for this call's transport, or it does not return `TransportParams`.
    """
    match runner_args:
        case SmallWebRTCRunnerArguments():
            from runner.transports.webrtc import SmallWebRTCTransport

            params = _params(transport_params, "webrtc")
            return SmallWebRTCTransport(params=params, webrtc_connection=runner_args.webrtc_connection)
        case WebSocketRunnerArguments():
            from runner.transports.websocket import FastAPIWebsocketParams, FastAPIWebsocketTransport

            given = FastAPIWebsocketParams.of(_params(transport_params, runner_args.provider))
            # A copy: parameters may serve every call of the bot, a serializer only its own.
            params = replace(given, serializer=given.serializer or runner_args.serializer)
            return FastAPIWebsocketTransport(websocket=runner_args.websocket, params=params)
        case DailyRunnerArguments():
            return _daily(runner_args, transport_params)
        case InProcessRunnerArguments():
            made: BaseTransport = runner_args.make_transport(_params(transport_params, runner_args.transport))
            return made
        case _:
            raise UsageError(
                f"create_transport has no transport for {type(runner_args).__name__}: pass runner_args"
            )


def _daily(runner_args: DailyRunnerArguments, factories: Factories) -> BaseTransport:
    from runner.transports.daily import DailyParams, DailyTransport
    from runner.transports.daily.params import dialin_of

    given = DailyParams.of(_params(factories, "daily"))
    params = replace(given, dialin_settings=given.dialin_settings or dialin_of(runner_args.body))
    return DailyTransport(runner_args.room_url, runner_args.token, BOT_NAME, params)


def _params(factories: Factories, name: str) -> TransportParams:
    if name not in factories:
        raise UsageError(
            f"create_transport has no parameters for {name!r}: add {name!r}: lambda: TransportParams(…) "
            f"(it has {', '.join(factories) or 'none'})"
        )
    factory = factories[name]
    if not callable(factory):
        kind = type(factory).__name__
        raise UsageError(f"create_transport: write {name!r}: lambda: {kind}(…), not {name!r}: {kind}(…)")
    params = factory()
    if isinstance(params, TransportParams):
        return params
    raise UsageError(
        f"create_transport: the function for {name!r} returned None: is its return missing?"
        if params is None
        else f"create_transport: the function for {name!r} returned {type(params).__name__},"
        " not TransportParams"
    )
