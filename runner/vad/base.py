"""What every voice activity analyzer offers to a transport's input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from runner.turns.vad import VADEvent, VADParams, VADState, VADStateMachine


class VADAnalyzer(ABC):
    """Listens to one caller. Sound goes in, "speech began" and "speech ended" come out.

    One analyzer serves one call at a time. It is synchronous and quick (tens of microseconds per
    20 ms of sound), so that a transport's reader may call it directly.
    """

    def __init__(self, *, params: VADParams | None = None, window_secs: float = 0.032) -> None:
        self._machine = VADStateMachine(params, window_secs=window_secs)
        self._sample_rate: int | None = None

    @property
    def params(self) -> VADParams:
        return self._machine.params

    @property
    def state(self) -> VADState:
        return self._machine.state

    @property
    def sample_rate(self) -> int | None:
        """The rate, in Hz, of the sound that `analyze` is given; None until it is known."""
        return self._sample_rate

    def set_sample_rate(self, rate: int) -> None:
        """Say at which rate, in Hz, sound will come. The transport knows best: the last word counts.

        A new rate begins a new stream, as `reset` does; the same rate changes nothing.
        """
        if rate != self._sample_rate:
            self._sample_rate = rate
            self.reset()

    @abstractmethod
    def analyze(self, pcm: bytes, now: float) -> list[VADEvent]:
        """What is noticed with `pcm`, mono, whose last sample was heard at `now`. Any length is fine."""

    def listen(self, pcm: bytes, now: float, on_event: Callable[[VADEvent], None]) -> None:
        """As `analyze`, with each event handed to `on_event`: at once, or soon, before later ones."""
        for event in self.analyze(pcm, now):
            on_event(event)

    def close(self) -> None:
        """The call is over: `on_event` is not called any more."""
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard: a new call begins."""
        self._machine.reset()
