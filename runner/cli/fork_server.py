"""The process that the workers of a supervised run are forked from.

    python -m runner.cli.fork_server CONTROL LIFE WRITES LISTENER [PUBLIC]     (as `worker/fork_server.py`)

The layers below do not import the terminal's code, so this program passes its functions to them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from runner.worker.fork_server import main
from runner.worker.messages import (
    RunActions,
)

if TYPE_CHECKING:
    from runner.server.host import Host


def _prepare() -> None:
    from runner.cli import banner  # noqa: F401


def _announce(host: Host) -> None:
    from runner.cli.banner import announce

    announce(host)


def _open_page(host: Host, path: str) -> None:
    from runner.cli.banner import open_its_page

    open_its_page(host, path)


ACTIONS = RunActions(prepare=_prepare, announce=_announce, open_page=_open_page)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], ACTIONS))
