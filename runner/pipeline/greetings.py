"""A caller whose conversation goes on with new code is not greeted again."""

from __future__ import annotations

from runner.frames import Frame, LLMContextFrame, LLMMessagesAppendFrame, LLMRunFrame, TTSSpeakFrame
from runner.processors import handover_state as conversation
from runner.processors.handover_state import Conversation

_SPEAKING = (TTSSpeakFrame, LLMRunFrame, LLMContextFrame, LLMMessagesAppendFrame)


def is_second_greeting(call: Conversation | None, frame: Frame, *, running: bool) -> bool:
    """Whether this would greet such a caller, once in a call: what makes the bot speak before its pipeline
    is `running`, or from `on_client_connected`, is a greeting."""
    if call is None or not call.resumed or not isinstance(frame, _SPEAKING):
        return False
    if running and not conversation.is_greeting():
        return False
    call.forget_greeting()
    return True
