"""What the nursery imports before there is a bot: what its worker would."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

SERVER = (
    "numpy",
    "runner",
    "runner.server.app",
    "runner.server.wire.uvicorn_server",
    "runner.server.public.public_side",
    "runner.worker.supervised",
    "runner.server.handover.other_workers",
    "runner.server.forwarding.middleware",
    "runner.cli.terminal.banner",
    "uvloop",
)
OF_TRANSPORT = {
    "webrtc": (
        "aiortc",
        "runner.server.endpoints.api",
        "runner.server.endpoints.webrtc",
        "runner.transports.webrtc.peer",
        "runner.transports.webrtc.camera",
    ),
    "daily": ("runner.server.daily.endpoint",),
}
PHONES = (
    "runner.server.endpoints.media_socket",
    "runner.transports.websocket.transport",
)
PUBLIC = ("runner.worker.public_keeper", "runner.server.public.endpoints")

OF_MODULE = {
    "runner.vad": ("onnxruntime", "runner.vad.model", "runner.vad.batch"),
    # Not what registers itself to be started: an edited bot may do without.
    "runner.services.local": tuple(
        f"runner.services.local.{name}" for name in ("ears", "voice", "understanding", "dialogue")
    ),
}
LATER = {"runner.services.common.service_http": ("httpx2", "httpcore2", "truststore")}
"""What a module, if it was imported, loads in the worker before its first call. The nursery does so when the
first worker stands: saves do not wait for it then, and the start does not, either."""


def modules_for(bot: Path, transports: Sequence[str], *, is_public: bool = False) -> list[str]:
    """Modules of botrun's own that this bot needs, and what they load when they are used."""
    named = list(_imported(bot))
    more = [name for transport in transports for name in OF_TRANSPORT.get(transport, PHONES)]
    more += PUBLIC if is_public else ()
    more += [loaded for name in named for loaded in OF_MODULE.get(name, ())]
    return list(dict.fromkeys([*SERVER, "runner.transports.create", *named, *more]))


def _imported(bot: Path) -> Iterator[str]:
    """`runner…` modules that the file imports at its top."""
    try:
        tree = ast.parse(bot.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "runner")
