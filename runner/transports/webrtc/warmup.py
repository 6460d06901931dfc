"""Loads aiortc and answers an offer of our own, so that the first caller does not wait for either.

Measured on the reference machine: the first answer takes about 0.7 s without it, 0.02 to 0.05 s after it.
"""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from typing import TYPE_CHECKING

from runner.errors import BotrunError
from runner.transports.webrtc.signaling.offer import check_offer

if TYPE_CHECKING:
    from runner.transports.webrtc.inbound import InboundRtp
    from runner.transports.webrtc.peer import Peer

logger = logging.getLogger(__name__)


class _Nobody:
    """Owns a peer that is never spoken with."""

    def peer_changed(self, peer: Peer) -> None:
        pass

    def peer_channel_opened(self, peer: Peer) -> None:
        pass

    def peer_message(self, peer: Peer, text: str) -> None:
        pass

    def peer_audio(self, peer: Peer, audio: InboundRtp) -> None:
        pass


async def warm_up() -> None:
    """One offer and its answer inside this process; no packet is sent, for nobody reads the answer."""
    await asyncio.to_thread(import_module, "runner.transports.webrtc.peer")
    from aiortc import RTCConfiguration, RTCPeerConnection

    from runner.transports.webrtc.opus import open_decoder, open_encoder
    from runner.transports.webrtc.peer import Peer

    open_decoder(16000).decode(open_encoder(24000).encode(bytes(960)))
    page = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer = Peer(_Nobody(), (), peer_is_local=False)
    try:
        page.addTransceiver("audio", direction="sendrecv")
        page.createDataChannel("warm-up")
        await page.setLocalDescription(await page.createOffer())
        lines = page.localDescription.sdp.splitlines(True)
        await peer.answer(check_offer("".join(line for line in lines if "candidate" not in line), "offer"))
    except (BotrunError, OSError):
        logger.debug("the warm-up of an offer failed", exc_info=True)  # the first real one reports it
    finally:
        await peer.aclose()
        await page.close()
