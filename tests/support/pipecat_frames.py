"""`Frame` of pipecat-ai 1.14.0 (`frames/frames.proto`), made by Google's package."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def schema() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="frames.proto", package="pipecat", syntax="proto3")
    number, text, data, numbers = 4, 9, 12, 13  # TYPE_UINT64, TYPE_STRING, TYPE_BYTES, TYPE_UINT32
    contents = {
        "TextFrame": [("id", number), ("name", text), ("text", text)],
        "AudioRawFrame": [
            ("id", number), ("name", text), ("audio", data), ("sample_rate", numbers),
            ("num_channels", numbers), ("pts", number),
        ],
        "TranscriptionFrame": [
            ("id", number), ("name", text), ("text", text), ("user_id", text), ("timestamp", text)
        ],
        "MessageFrame": [("data", text)],
        "InterruptionFrame": [("id", number), ("name", text)],
    }  # fmt: skip
    for name, fields in contents.items():
        message = file.message_type.add(name=name)
        for at, (field, kind) in enumerate(fields, 1):
            message.field.add(name=field, number=at, type=kind, label=1)
    frame = file.message_type.add(name="Frame")
    frame.oneof_decl.add(name="frame")
    names = ("text", "audio", "transcription", "message", "interruption")
    for at, (field, kind_name) in enumerate(zip(names, contents, strict=True), 1):
        frame.field.add(
            name=field, number=at, type=11, label=1, type_name=f".pipecat.{kind_name}", oneof_index=0
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("pipecat.Frame"))


Frame = schema()
