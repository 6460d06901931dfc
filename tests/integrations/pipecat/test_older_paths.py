"""The specification's bot, whose imports are of an older Pipecat, on an installed newer one."""

from __future__ import annotations

import sys

import pytest
from pipecat_bots import BOTS

from runner.botcode.loader import parse_target
from runner.integrations.pipecat import loading

pytestmark = pytest.mark.needs_pipecat


async def test_the_specification_s_bot_finds_where_its_modules_have_moved() -> None:
    import pipecat.transports.smallwebrtc.transport as webrtc
    from pipecat.transports.base_transport import TransportParams

    bot = loading.load(parse_target(str(BOTS / "three_transports.py")))
    assert bot.module.TransportParams is TransportParams
    older = BOTS / "older_paths.py"
    module = loading.load(parse_target(str(older))).module
    assert module.SmallWebRTCTransport is webrtc.SmallWebRTCTransport
    assert module.FastAPIWebsocketParams.__module__ == "pipecat.transports.websocket.fastapi"
    assert webrtc.__spec__ is not None
    assert webrtc.__spec__.name == "pipecat.transports.smallwebrtc.transport"
    assert sys.modules["pipecat.transports.network.small_webrtc"] is not webrtc
