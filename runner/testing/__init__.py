"""What tests of a bot import: fakes with a clock, and a loop in virtual time."""

from runner.testing.fakes import FakeTransport, Recorder, ScriptedLLM, ScriptedTTS, Seen
from runner.testing.virtual_time import VirtualTimeLoop, run_virtual

__all__ = [
    "FakeTransport",
    "Recorder",
    "ScriptedLLM",
    "ScriptedTTS",
    "Seen",
    "VirtualTimeLoop",
    "run_virtual",
]
