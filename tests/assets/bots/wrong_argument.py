from runner.transports.base import TransportParams

PARAMS = TransportParams(audio_enabled=True)
