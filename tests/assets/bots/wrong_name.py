from runner.frames import TTSSpekFrame  # noqa: F401
