"""The arguments of the last `botrun call`, so that one key can repeat it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from runner.settings import state_folder

if TYPE_CHECKING:
    from runner.settings import Settings

PROVIDERS = ("twilio", "telnyx", "plivo", "exotel")
DEFAULT_SCENARIO = "ordinary"
FILE = "last-call.json"


def remember_call(settings: Settings, provider: str, scenario: str) -> None:
    """Remember the arguments of `botrun call`. A folder that cannot be written is ignored."""
    with contextlib.suppress(OSError):
        folder = state_folder(settings)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / FILE).write_text(json.dumps({"provider": provider, "scenario": scenario}))


def last_call(settings: Settings) -> list[str]:
    """The arguments of `botrun call` that repeat the last call; empty if this run serves no phone."""
    served = [name for name in settings.transports if name in PROVIDERS]
    if not served:
        return []
    kept: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads((state_folder(settings) / FILE).read_text())
    provider = kept.get("provider", "")
    scenario = kept.get("scenario", DEFAULT_SCENARIO)
    if Path(scenario).suffix and not Path(scenario).exists():  # deleted since, or relative to another folder
        scenario = DEFAULT_SCENARIO
    provider = provider if provider in served else served[0]
    scheme = "wss" if settings.https else "ws"
    url = f"{scheme}://localhost:{settings.port}/ws"
    return ["--url", url, "--transport", provider, "--scenario", scenario]
