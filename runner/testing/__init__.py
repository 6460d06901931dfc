"""For tests of a bot: fakes, and an event loop in virtual time.

If the bot imports Pipecat and Pipecat is not installed, import this package before the bot.
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
