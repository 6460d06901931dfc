"""The two aggregators of a context, which write its messages.

The user's stands before the language model and turns what was said into a question to it. The assistant's
stands behind `transport.output()` and writes down what was heard, not what was made.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from runner.frames import Frame, FrameDirection
from runner.processors import handover_state as conversation
from runner.processors.assistant import LLMAssistantAggregator
from runner.processors.context import LLMContext
from runner.processors.summary import Summarize
from runner.processors.user import LLMUserAggregator

logger = logging.getLogger(__name__)


class LLMContextAggregatorPair:
    """The two aggregators of one context.

    ```python
    memory = LLMContextAggregatorPair(LLMContext([{"role": "system", "content": "Be kind."}]))
    Pipeline([transport.input(), stt, memory.user(), llm, tts, transport.output(), memory.assistant()])
    ```

    Args:
        context: the conversation.
        speculative: ask the model as soon as the user's turn may be over, and throw the reply away if the
            user goes on: sooner answers, more tokens.
        summarize: shorten the conversation when it is long.
    """

    def __init__(
        self, context: LLMContext, *, speculative: bool = False, summarize: Summarize | None = None
    ) -> None:
        self.context = context
        if (call := conversation.current.get()) is not None:
            call.join(context)
        self._user = LLMUserAggregator(context, speculative=speculative)
        self._assistant = _Assistant(context, summarize)

    def __iter__(self) -> Iterator[LLMUserAggregator | LLMAssistantAggregator]:
        """`user, assistant = LLMContextAggregatorPair(context)`, as bots for Pipecat have it."""
        return iter((self._user, self._assistant))

    def user(self) -> LLMUserAggregator:
        """Stands before the language model."""
        return self._user

    def assistant(self) -> LLMAssistantAggregator:
        """Stands behind `transport.output()`."""
        return self._assistant


class _Assistant(LLMAssistantAggregator):
    """Looks, when something was written down, whether the conversation is too long."""

    def __init__(self, context: LLMContext, summarize: Summarize | None) -> None:
        super().__init__(context)
        self.name = "LLMAssistantAggregator"
        self._summarize = summarize
        self._summing_up = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        before = len(self.context.messages)
        await super().process_frame(frame, direction)
        if self._summarize is None or len(self.context.messages) == before or self._summing_up:
            return
        if self._summarize.is_due(self.context.messages):
            self._summing_up = True
            self.create_task(self._shorten(self._summarize), "summary")

    async def _shorten(self, summarize: Summarize) -> None:
        try:
            await summarize.shorten(self.context)
        except Exception as error:  # the boundary to the language model's code
            logger.warning("the conversation could not be summed up: %s", error)
        finally:
            self._summing_up = False
