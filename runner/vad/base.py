"""The base class of voice activity analyzers, as used by a transport's input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from runner.turns.vad import VADEvent, VADParams, VADState, VADStateMachine


class VADAnalyzer(ABC):
    """Detects speech of one caller: gets sound, returns "speech began" and "speech ended".

    An analyzer belongs to one call at a time. It is synchronous and fast (tens of microseconds per 20 ms of
    sound), so a transport's reader can call it directly.
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
        """The sample rate (Hz) of the sound passed to `analyze`; None until it is known."""
        return self._sample_rate

    def set_sample_rate(self, rate: int) -> None:
        """Set the sample rate (Hz) of the sound. The transport calls it and overrides earlier values.

        A new rate resets the analyzer; the same rate changes nothing.
        """
        if rate != self._sample_rate:
            self._sample_rate = rate
            self.reset()

    @abstractmethod
    def analyze(self, pcm: bytes, now: float) -> list[VADEvent]:
        """The events detected in `pcm` (mono, any length), whose last sample was received at `now`."""

    def listen(self, pcm: bytes, now: float, on_event: Callable[[VADEvent], None]) -> None:
        """Like `analyze`, but passes each event to `on_event`, at once or soon, in order."""
        for event in self.analyze(pcm, now):
            on_event(event)

    def close(self) -> None:
        """The call is over: stop calling `on_event`."""
        self.reset()

    def reset(self) -> None:
        """Reset everything for a new call."""
        self._machine.reset()
