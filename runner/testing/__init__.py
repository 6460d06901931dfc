"""What tests of a bot import: fakes with a clock, and a loop in virtual time.

Import it before the bot where that is written for Pipecat, which is not installed.
"""

from runner.integrations import pipecat_names
from runner.testing.conversation import Conversation, ConversationError
from runner.testing.fakes import (
    Fails,
    FakeInput,
    FakeOutput,
    FakeTransport,
    Recorder,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    Seen,
    tool_call,
)
from runner.testing.virtual_time import VirtualTimeLoop, run_virtual

__all__ = [
    "Conversation",
    "ConversationError",
    "Fails",
    "FakeInput",
    "FakeOutput",
    "FakeTransport",
    "Recorder",
    "ScriptedLLM",
    "ScriptedSTT",
    "ScriptedTTS",
    "ScriptedVAD",
    "Seen",
    "VirtualTimeLoop",
    "run_virtual",
    "tool_call",
]

pipecat_names.install()
