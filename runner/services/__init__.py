"""Services: speech recognition (STT), language models (LLM) and voices (TTS)."""
