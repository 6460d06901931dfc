"""`create_transport`: the transport that fits the arguments, from one factory of parameters for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runner.arguments import (
    DailyRunnerArguments,
    RunnerArguments,
    SmallWebRTCRunnerArguments,
    WebSocketRunnerArguments,
)
from runner.errors import UsageError
from runner.transports.base import BaseTransport

BOT_NAME = "bot"
"""What others in a Daily room read."""

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
        UsageError: there is no factory for the way this caller came.
    """
    match runner_args:
        case SmallWebRTCRunnerArguments():
            from runner.transports.webrtc import SmallWebRTCTransport

            params = _params(transport_params, "webrtc")
            return SmallWebRTCTransport(params=params, webrtc_connection=runner_args.webrtc_connection)
        case WebSocketRunnerArguments():
            from runner.transports.websocket import FastAPIWebsocketTransport

            params = _params(transport_params, runner_args.provider)
            if getattr(params, "serializer", None) is None:
                params.serializer = runner_args.serializer
            return FastAPIWebsocketTransport(websocket=runner_args.websocket, params=params)
        case DailyRunnerArguments():
            return _daily(runner_args, transport_params)
        case _:
            raise UsageError(f"create_transport knows no transport for {type(runner_args).__name__}")


def _daily(runner_args: DailyRunnerArguments, factories: Factories) -> BaseTransport:
    from runner.transports.daily import DailyTransport
    from runner.transports.daily.params import as_daily, dialin_of

    params = as_daily(_params(factories, "daily"))
    if params.dialin_settings is None:
        params.dialin_settings = dialin_of(runner_args.body)
    return DailyTransport(runner_args.room_url, runner_args.token, BOT_NAME, params)


def _params(factories: Factories, name: str) -> Any:
    if name not in factories:
        raise UsageError(
            f"this bot has no parameters for {name!r}: add {name!r}: lambda: … to create_transport "
            f"(it has {', '.join(factories) or 'none'})"
        )
    return factories[name]()
