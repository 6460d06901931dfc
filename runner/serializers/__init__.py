"""Converts messages to frames and back: pure, synchronous, one file per provider.

    handshake.py  reads the first messages of a socket: provider, ids, sound format; creates the serializer
    base.py       `FrameSerializer`, and the frames exchanged only between serializer and transport
    telephony.py  what the four providers have in common; their files have only the differences
    timeline.py   puts inbound sound in order, fills gaps, drops duplicates
    wire.py       parses untrusted input: JSON, numbers, text, base64; the encodings of sound

Importing it does not import numpy; the first sound does.
"""
