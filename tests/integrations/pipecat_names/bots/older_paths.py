"""Transports by the paths that Pipecat had until 1.0."""

from pipecat.transports.network.fastapi_websocket import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.transports.network.small_webrtc import SmallWebRTCTransport
from pipecat.transports.network.webrtc_connection import SmallWebRTCConnection


async def bot(runner_args):
    raise NotImplementedError
