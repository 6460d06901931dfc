"""Daily's transcription in frames. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.frames import InterimTranscriptionFrame, TranscriptionFrame


def transcript(told: Mapping[str, Any]) -> TranscriptionFrame | InterimTranscriptionFrame | None:
    """What somebody said, or seems to be saying; None if nothing."""
    text = str(told.get("text") or "")
    if not text:
        return None
    raw = told.get("rawResponse")
    final = raw.get("is_final", True) if isinstance(raw, Mapping) else True
    kind = TranscriptionFrame if final else InterimTranscriptionFrame
    return kind(
        text, user_id=str(told.get("participantId") or ""), timestamp=str(told.get("timestamp") or "")
    )
