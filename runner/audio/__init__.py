"""Audio as bytes: G.711, resampling, chunking, pacing. Pure: bytes in, bytes out.

Most modules load numpy, so import each one where it is used:

    from runner.audio.resampler import Resampler
    from runner.audio.g711 import ulaw_decode, ulaw_encode
"""
