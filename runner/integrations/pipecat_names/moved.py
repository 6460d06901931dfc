"""Paths of older Pipecats that an installed newer one has no more: the bot's files find the new place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "pipecat.transports.network": "",
    "pipecat.transports.network.fastapi_websocket": "pipecat.transports.websocket.fastapi",
    "pipecat.transports.network.small_webrtc": "pipecat.transports.smallwebrtc.transport",
    "pipecat.transports.network.webrtc_connection": "pipecat.transports.smallwebrtc.connection",
    "pipecat.transports.network.websocket_client": "pipecat.transports.websocket.client",
    "pipecat.transports.network.websocket_server": "pipecat.transports.websocket.server",
    "pipecat.transports.services": "",
    "pipecat.transports.services.daily": "pipecat.transports.daily.transport",
    "pipecat.transports.services.livekit": "pipecat.transports.livekit.transport",
}
"""Old path to new; "" for a package that held only such modules."""


class MovedFinder(MetaPathFinder):
    """Stands behind Python's own finders. `is_asked_by_the_bot`: whether the bot's files import something."""

    def __init__(self, is_asked_by_the_bot: Callable[[], bool]) -> None:
        self._is_asked_by_the_bot = is_asked_by_the_bot

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in MOVED or not self._is_asked_by_the_bot():
            return None
        return ModuleSpec(fullname, _MovedLoader(MOVED[fullname]), is_package=not MOVED[fullname])


class _MovedLoader(Loader):
    def __init__(self, new: str) -> None:
        self._new = new

    def exec_module(self, module: ModuleType) -> None:
        if self._new:
            names = vars(import_module(self._new))
            module.__dict__.update({name: value for name, value in names.items() if name[:2] != "__"})
