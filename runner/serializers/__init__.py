"""Message <-> frames: pure, synchronous, one file per provider.

    handshake.py  the first messages of a socket -> provider, ids, sound format -> its serializer
    base.py       `FrameSerializer`, and the frames exchanged only between serializer and transport
    telephony.py  what the four providers share; their files hold only the differences
    timeline.py   puts inbound sound in order, fills gaps, drops duplicates
    wire.py       reading untrusted input: JSON, numbers, text, base64; the encodings of sound

Nothing here imports numpy before the first sound.
"""
