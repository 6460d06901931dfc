"""What a service is made from: override one method of one of these."""

from runner.services.llm import LLMService
from runner.services.stt import SegmentedSTTService, STTService
from runner.services.tts import TTSService

__all__ = ["LLMService", "STTService", "SegmentedSTTService", "TTSService"]
