"""Tunnels from a public address to a port of this machine, one file per kind."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from runner.errors import MissingPackageError
from runner.tunnels.base import Tunnel, TunnelError

NGROK = "ngrok"
KEYS = {NGROK: "NGROK_AUTHTOKEN"}
PACKAGES = {NGROK: "ngrok", "ssh": "asyncssh"}


def check_tunnel(via: str) -> None:
    """Check that the tunnel's package is installed.

    Raises:
        MissingPackageError: it is not installed.
    """
    kind = via.partition(":")[0]
    package = PACKAGES[kind]
    if find_spec(package) is None:
        raise MissingPackageError(f"a tunnel via {kind}", package, f"pip install 'botrun[{kind}]'")


def make_tunnel(via: str, keys: Mapping[str, str], public: str) -> Tunnel:
    """The tunnel that `--tunnel-via` names. `public` is the public origin of an SSH server's port."""
    if via == NGROK:
        from runner.tunnels.ngrok import NgrokTunnel

        return NgrokTunnel(keys.get(KEYS[NGROK], ""))
    from runner.tunnels.ssh import SshTunnel

    return SshTunnel(via, public)


__all__ = ["KEYS", "NGROK", "Tunnel", "TunnelError", "check_tunnel", "make_tunnel"]
