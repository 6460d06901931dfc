"""The output's queue: chunks of sound and frames in order, and the chunks sent but not yet heard."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from runner.audio.level import downmix
from runner.audio.playout import Chunker, Playout
from runner.audio.resampler import Resampler
from runner.frames import Frame, OutputAudioRawFrame, TTSAudioRawFrame
from runner.processors.base import survives_interruption
from runner.transports.heard import Heard

KEPT_CHUNKS = 64
"""Number of sent chunks above which those already heard are removed."""


class Chunk(NamedTuple):
    """Sound for one `write_audio`. `delivered`: processors behind the output have received it already."""

    pcm: bytes
    reply_id: int | None
    speech: bool
    delivered: bool = False


class Outbox:
    """The output's queue. Positions are samples, as `Playout` counts them.

    Args:
        wake: called when there is more to send.

    Attributes:
        items: what waits, in order.
        tail: the last frame whose sound does not fill a chunk yet, or is partly in the resampler.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self.items: deque[Chunk | Frame] = deque()
        self._wake = wake
        self.tail: OutputAudioRawFrame | None = None
        self._rate = 0
        self._resampler: Resampler | None = None
        self._chunker = Chunker(2)
        self._sent: deque[tuple[int, Chunk]] = deque()

    def open(self, sample_rate: int, chunk_ms: int) -> None:
        """Cut sound into chunks of this sample rate (Hz) and length (ms) from now on."""
        self._rate = sample_rate
        self._chunker = Chunker(sample_rate * chunk_ms // 1000 * 2)

    # ------------------------------------------------------------ in

    def put(self, frame: Frame) -> None:
        """Append a frame."""
        self.items.append(frame)
        self._wake()

    def put_sound(self, frame: OutputAudioRawFrame) -> None:
        """Append sound, as whole chunks at the wire's rate."""
        if self.tail is None and self._is_chunk(frame):
            self.items.append(Chunk(frame.audio, frame.reply_id, isinstance(frame, TTSAudioRawFrame)))
            self._wake()
            return
        if self.tail is not None and type(self.tail) is not type(frame):
            self.flush()
        pcm = frame.audio if frame.num_channels == 1 else downmix(frame.audio, frame.num_channels)
        self._put_chunks(self._chunker.push(self._at_our_rate(pcm, frame.sample_rate)), frame)
        self.tail = frame if self._chunker.pending or self._resampler is not None else None
        self._wake()

    def _is_chunk(self, frame: OutputAudioRawFrame) -> bool:
        """Whether the frame is exactly one chunk."""
        return (
            len(frame.audio) == self._chunker.chunk_bytes
            and frame.sample_rate == self._rate
            and frame.num_channels == 1
        )

    def flush(self) -> None:
        """Queue all remaining samples: the utterance has ended."""
        tail, resampler = self.tail, self._resampler
        if tail is None:
            return
        chunks = self._chunker.push(resampler.flush()) if resampler is not None else []
        rest = self._chunker.flush(pad=True)
        self.tail = self._resampler = None
        self._put_chunks([*chunks, rest] if rest else chunks, tail)

    def _at_our_rate(self, pcm: bytes, rate: int) -> bytes:
        if self._resampler is not None and self._resampler.rate_in != rate:
            self.flush()
        if rate == self._rate:
            return pcm
        if self._resampler is None:
            self._resampler = Resampler(rate, self._rate)
        return self._resampler.process(pcm)

    def _put_chunks(self, chunks: list[bytes], frame: OutputAudioRawFrame) -> None:
        speech = isinstance(frame, TTSAudioRawFrame)
        for pcm in chunks:
            self.items.append(Chunk(pcm, frame.reply_id, speech))

    # ------------------------------------------------------------ interruption and pause

    def clear(self) -> list[Frame]:
        """Empty the queue; returns the frames that survive an interruption."""
        kept = [item for item in self.items if isinstance(item, Frame) and survives_interruption(item)]
        self.items.clear()
        self._sent.clear()
        self.tail = self._resampler = None
        self._chunker.clear()
        return kept

    def put_back(self, frames: list[Frame]) -> None:
        """Insert these frames before everything that was queued since."""
        self.items.extendleft(reversed(frames))
        self._wake()

    def left(self, chunk: Chunk, position: int, heard: Callable[[], int]) -> None:
        """Note a chunk as sent; the peer has played up to `heard()`."""
        self._sent.append((position, chunk))
        if len(self._sent) > KEPT_CHUNKS:
            self._forget(heard())

    def take_back(self, heard: int) -> int | None:
        """Queue again what the peer dropped, so that each unheard sample is sent once more.

        Returns the old position of the first such sample; None if all was heard. In a chunk that was partly
        heard, silence replaces the heard part.
        """
        self._forget(heard)
        chunks, begin = list(self._sent), self._sent[0][0] if self._sent else None
        self._sent.clear()
        if begin is None:
            return None
        if begin <= heard:
            first = chunks[0][1]
            played = 2 * (heard - begin)
            chunks[0] = (begin, first._replace(pcm=bytes(played) + first.pcm[played:], delivered=True))
        self.items.extendleft(chunk for _, chunk in reversed(chunks))
        return begin

    def _forget(self, heard: int) -> None:
        while self._sent and self._sent[0][0] + len(self._sent[0][1].pcm) // 2 <= heard:
            self._sent.popleft()


class Pause:
    """The pauses of one output. Positions are samples, as `Playout` counts them.

    Attributes:
        on: whether the bot is paused.
        announced: whether `BotPausedSpeakingFrame` was pushed.
    """

    def __init__(self, playout: Playout, outbox: Outbox) -> None:
        self.on = self.announced = False
        self._playout = playout
        self._outbox = outbox
        self._taken_back = False
        self._taken_from: int | None = None

    def begin(self, heard: Heard, *, take_back: bool) -> None:
        """Send nothing more. `take_back`: the peer drops its unheard sound, and it is queued here again."""
        self.on, self._taken_back = True, take_back
        if take_back:
            self._taken_from = self._outbox.take_back(heard.withhold())

    def end(self, heard: Heard) -> int:
        """Continue; returns by how many samples the positions of queued-again sound have moved."""
        self.on = False
        if not self._taken_back:
            return 0
        begin = self._playout.written if self._taken_from is None else self._taken_from
        shift, self._taken_from = self._playout.written - begin, None
        heard.release(shift)
        return shift

    def forget(self) -> None:
        """Forget the pause: the bot was interrupted."""
        self.on = self.announced = False
        self._taken_from = None
