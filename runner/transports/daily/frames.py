"""What a bot pushes to hand a phone caller on. Both wait until everything said before was heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.frames import ControlFrame


@dataclass(frozen=True, slots=True)
class DailySIPTransferFrame(ControlFrame):
    """Hand a phone's call to another room, SIP address or number: Daily's `sip_call_transfer`."""

    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DailySIPReferFrame(ControlFrame):
    """Hand a SIP call to an end outside of Daily: Daily's `sip_refer`."""

    settings: Mapping[str, Any] = field(default_factory=dict)
