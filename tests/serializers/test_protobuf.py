"""Pipecat's protobuf frames: against bytes written by the protobuf package, and against anything else."""

from __future__ import annotations

import contextlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipecat_frames import Frame

from runner.errors import ProtocolError
from runner.frames import (
    InputAudioRawFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageUrgentFrame,
    TextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from runner.serializers.protobuf import ProtobufFrameSerializer, is_frame
from runner.serializers.websocket import WebSocketFrameSerializer

PCM = np.arange(-160, 160, dtype="<i2").tobytes()


def sound(pcm: bytes, rate: int, channels: int) -> bytes:
    frame = Frame(audio={"audio": pcm, "sample_rate": rate, "num_channels": channels})
    return bytes(frame.SerializeToString())


def test_sound_from_a_client_is_read() -> None:
    serializer = ProtobufFrameSerializer()
    sent = Frame(
        audio={"id": 7, "name": "audio", "audio": PCM, "sample_rate": 16000, "num_channels": 1, "pts": 3}
    )
    assert serializer.deserialize(sent.SerializeToString()) == [InputAudioRawFrame(PCM, 16000)]
    assert serializer.counters["media"] == 1


def test_sound_of_another_rate_and_of_two_channels_is_made_to_fit() -> None:
    serializer = ProtobufFrameSerializer()
    wave = (9000 * np.sin(np.arange(48000) * 2 * np.pi * 440 / 48000)).astype("<i2")
    stereo = np.repeat(wave, 2).tobytes()
    heard = b""
    for at in range(0, len(stereo), 3840):
        part = Frame(audio={"audio": stereo[at : at + 3840], "sample_rate": 48000, "num_channels": 2})
        heard += b"".join(
            frame.audio
            for frame in serializer.deserialize(part.SerializeToString())
            if isinstance(frame, InputAudioRawFrame)
        )
    samples = np.frombuffer(heard, "<i2").astype(float)
    assert len(samples) == pytest.approx(16000, abs=100)
    assert np.argmax(np.abs(np.fft.rfft(samples))) * 16000 / len(samples) == pytest.approx(440, abs=2)


def test_messages_text_and_transcripts_are_read() -> None:
    serializer = ProtobufFrameSerializer()
    ready = {"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.1.0"}}
    message = Frame(message={"data": json.dumps(ready)}).SerializeToString()
    assert serializer.deserialize(message) == [InputTransportMessageFrame(ready)]
    assert serializer.deserialize(Frame(text={"text": "héllo"}).SerializeToString()) == [TextFrame("héllo")]
    words = Frame(transcription={"text": "hi", "user_id": "ann", "timestamp": "now"}).SerializeToString()
    assert serializer.deserialize(words) == [TranscriptionFrame("hi", "ann", "now")]
    assert serializer.deserialize(Frame(interruption={}).SerializeToString()) == []


@pytest.mark.parametrize("kind", [OutputAudioRawFrame, TTSAudioRawFrame])
def test_sound_to_a_client_is_written(kind: type[OutputAudioRawFrame]) -> None:
    pcm = PCM * 10
    written = ProtobufFrameSerializer().serialize(kind(pcm, 24000))
    frame = Frame.FromString(written)
    assert frame.WhichOneof("frame") == "audio"
    assert (frame.audio.audio, frame.audio.sample_rate, frame.audio.num_channels) == (pcm, 24000, 1)


def test_messages_and_interruptions_to_a_client_are_written() -> None:
    serializer = ProtobufFrameSerializer()
    message = {"label": "rtvi-ai", "type": "bot-ready", "data": {"text": "ä" * 200}}
    written = serializer.serialize(OutputTransportMessageUrgentFrame(message))
    assert json.loads(Frame.FromString(written).message.data) == message
    assert Frame.FromString(serializer.serialize(InterruptionFrame())).WhichOneof("frame") == "interruption"


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("text", "binary"),
        (b"\x12\x05ab", "cut off"),
        (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "cut off or too long"),
        (b"", "0 contents"),
        (b"\x10\x05", "without content"),
        (sound(b"abc", 16000, 1), "whole number"),
        (sound(PCM, 5, 1), "5 Hz"),
        (sound(PCM, 16000, 9), "9 channels"),
        (Frame(message={"data": "{"}).SerializeToString(), "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_frame_is_refused_in_one_sentence(message: str | bytes, sentence: str) -> None:
    with pytest.raises(ProtocolError, match=sentence):
        ProtobufFrameSerializer().deserialize(message)


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        ProtobufFrameSerializer().deserialize(data)


@given(st.lists(st.integers(-3000, 3000), min_size=160, max_size=320))
def test_pcm_is_not_taken_for_a_frame(samples: list[int]) -> None:
    assert not is_frame(struct.pack(f"<{len(samples)}h", *samples))


def test_a_client_s_first_binary_message_decides() -> None:
    pcm, frames = WebSocketFrameSerializer(), WebSocketFrameSerializer()
    assert pcm.deserialize(PCM) == [InputAudioRawFrame(PCM, 16000)]
    assert pcm.serialize(OutputAudioRawFrame(PCM, 24000)) == PCM
    ready = Frame(message={"data": json.dumps({"label": "rtvi-ai"})}).SerializeToString()
    assert frames.deserialize(ready) == [InputTransportMessageFrame({"label": "rtvi-ai"})]
    written = frames.serialize(OutputAudioRawFrame(PCM, 24000))
    assert isinstance(written, bytes)
    assert Frame.FromString(written).audio.audio == PCM
