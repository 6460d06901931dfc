"""Audio over a WebSocket: a phone provider's media stream, or a plain client."""

from __future__ import annotations

from runner.transports.params import FastAPIWebsocketParams
from runner.transports.websocket.transport import FastAPIWebsocketTransport

__all__ = ["FastAPIWebsocketParams", "FastAPIWebsocketTransport"]
