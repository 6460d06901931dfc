"""What the bot is at: thinking, speaking, running tools. Told by the frames that go by."""

from __future__ import annotations

from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from runner.turns.muting import CallState

TELLING: tuple[type[Frame], ...] = (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)


class BotState:
    """Follows the bot from the first thought of a reply until it was heard.

    Attributes:
        state: what mutes go by.
    """

    def __init__(self) -> None:
        self.state = CallState()
        self._replying = False
        self._voicing = False
        self._tools: dict[str, str] = {}
        self._left_alone: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether a reply is being made or heard."""
        return self.state.bot_speaking or self._replying or self._voicing or self._tools_run()

    def _tools_run(self) -> bool:
        return bool(self._tools.keys() - self._left_alone)

    def interrupted(self) -> None:
        """Every reply is over; tools that go on do so by themselves."""
        self._left_alone = set(self._tools)
        self._replying = self._voicing = self.state.bot_speaking = False

    def see(self, frame: Frame, *, heard: bool) -> None:
        """A frame goes by; `heard` if it left the output, where the listener hears it."""
        match frame:
            case BotStartedSpeakingFrame():
                self.state.bot_speaking = True
            case BotStoppedSpeakingFrame():
                self.state.bot_speaking = False
                self.state.bot_has_spoken = True
            case LLMFullResponseStartFrame():
                self._replying = self._replying or not heard
            case LLMFullResponseEndFrame() if heard:
                self._replying = False
            case TTSStartedFrame():
                self._voicing = self._voicing or not heard
            case TTSStoppedFrame() if heard:
                self._voicing = False
            case FunctionCallInProgressFrame(call=call):
                self._tools[call.tool_call_id] = call.function_name
            case FunctionCallResultFrame(call=call) | FunctionCallCancelFrame(call=call):
                self._tools.pop(call.tool_call_id, None)
        if len(self.state.tools) != len(self._tools):
            self.state.tools = list(self._tools.values())
