"""Imports that README, docs, the shipped bots and `botrun new` have shown to users stay valid."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import runner

PUBLIC = {
    "runner": [
        "DailyRunnerArguments", "RunnerArguments", "SmallWebRTCRunnerArguments", "WebSocketRunnerArguments",
        "create_transport", "parse_telephony_websocket",
    ],
    "runner.frames": [
        "Frame", "FrameDirection", "FunctionCall", "InputAudioRawFrame", "InputDTMFFrame",
        "InputImageRawFrame", "OutputAudioRawFrame", "OutputImageRawFrame", "TTSSpeakFrame",
        "TransferCallFrame",
    ],
    "runner.pipeline": ["Pipeline", "PipelineParams", "PipelineRunner", "PipelineTask"],
    "runner.processors": [
        "AudioRecorder", "FrameProcessor", "LLMContext", "LLMContextAggregatorPair", "Subtitles",
    ],
    "runner.processors.voice_picture": ["VoicePicture"],
    "runner.serializers.exotel": ["ExotelFrameSerializer"],
    "runner.serializers.plivo": ["PlivoFrameSerializer"],
    "runner.serializers.telnyx": ["TelnyxFrameSerializer"],
    "runner.serializers.twilio": ["TwilioFrameSerializer"],
    "runner.services.cartesia": ["CartesiaTTSService"],
    "runner.services.deepgram": ["DeepgramSTTService"],
    "runner.services.elevenlabs": ["ElevenLabsTTSService"],
    "runner.services.fallback": ["FallbackLLM", "FallbackTTS"],
    "runner.services.llm": ["LLMService"],
    "runner.services.local": ["LocalSTTService", "LocalTTSService", "ScriptedDialogue"],
    "runner.services.local.dialogue": ["Answer", "answer"],
    "runner.services.ollama": ["OllamaLLMService"],
    "runner.services.openai": ["OpenAILLMService"],
    "runner.services.openai_stt": ["OpenAISTTService"],
    "runner.services.openai_tts": ["OpenAITTSService"],
    "runner.services.piper": ["PiperTTSService"],
    "runner.services.tools": ["ToolCall", "tool"],
    "runner.services.whisper": ["WhisperSTTService"],
    "runner.testing": ["Conversation"],
    "runner.transports.background": ["SoundfileMixer"],
    "runner.transports.base": ["BaseTransport", "TransportParams"],
    "runner.transports.noise": ["NoiseFilter"],
    "runner.transports.webrtc": ["SmallWebRTCConnection", "SmallWebRTCTransport"],
    "runner.transports.websocket": ["FastAPIWebsocketParams", "FastAPIWebsocketTransport"],
    "runner.turns": ["IdlePrompt", "MinWords", "MuteDuringTools"],
    "runner.vad": ["SileroVADAnalyzer"],
    "runner.vad.smart_turn": ["SmartTurnAnalyzer"],
}  # fmt: skip


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_import_stays_valid(module: str) -> None:
    found = import_module(module)
    assert [name for name in PUBLIC[module] if not hasattr(found, name)] == []


def test_type_checkers_read_our_annotations() -> None:
    """PEP 561: without this file every name of botrun is `Any` for them."""
    assert (Path(runner.__file__).parent / "py.typed").is_file()
