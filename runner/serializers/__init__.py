"""Message <-> frames: pure, synchronous, one file per provider.

    handshake.py     the first messages of a socket -> provider, ids, sound format -> its serializer
    base.py          what every serializer is, and the frames that never leave the wire's side
    telephony.py     what the four providers share; their files say only where they differ
    timeline.py      puts inbound sound in its place: order, gaps, doubles
    collector.py     the rules of providers that do not take sound of any length
    media_format.py  the names of encodings, and the encodings
    messages.py      reading what a stranger sent: JSON, numbers, text, base64

Nothing here imports numpy until the first sound comes along.
"""
