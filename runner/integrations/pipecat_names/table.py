"""Which of our modules stand for a module of Pipecat's, and what to use where we have nothing of the name.

Older and newer paths of Pipecat are both listed (0.0.60 to 1.14).
"""

from __future__ import annotations

_OWN = "runner.integrations.pipecat_names"
_CONTEXT = (f"{_OWN}.context", "runner.processors.aggregators", "runner.processors")
_FRAMES = ("runner.frames", "runner.rtvi.frames", f"{_OWN}.small")
_RUNNING = (f"{_OWN}.pipeline", "runner.pipeline")
_RTVI = ("runner.rtvi", "runner.rtvi.frames", "runner.rtvi.functions", f"{_OWN}.small")
_SERVICES = (f"{_OWN}.services",)
_SMALL = (f"{_OWN}.small",)
_TOOLS = ("runner.services.tools",)
_DAILY = (f"{_OWN}.daily", "runner.transports.daily")
_PHONE = (f"{_OWN}.transports", "runner.transports.websocket")
_SMART_TURN = (f"{_OWN}.smart_turn",)
_WEBRTC = ("runner.transports.webrtc", f"{_OWN}.transports")
_TURNS = (f"{_OWN}.context", "runner.turns")

MODULES: dict[str, tuple[str, ...]] = {
    "adapters.schemas.direct_function": _TOOLS,
    "adapters.schemas.function_schema": _TOOLS,
    "adapters.schemas.tools_schema": _TOOLS,
    "audio.filters.base_audio_filter": ("runner.audio.mixer", *_SMALL),
    "audio.filters.rnnoise_filter": _SMALL,
    "audio.interruptions.base_interruption_strategy": _SMALL,
    "audio.interruptions.min_words_interruption_strategy": _SMALL,
    "audio.mixers.base_audio_mixer": ("runner.audio.mixer", *_SMALL),
    "audio.mixers.soundfile_mixer": ("runner.transports.background",),
    "audio.turn.base_turn_analyzer": ("runner.turns", *_SMALL),
    "audio.turn.smart_turn.base_smart_turn": _SMART_TURN,
    "audio.turn.smart_turn.local_smart_turn": _SMART_TURN,
    "audio.turn.smart_turn.local_smart_turn_v2": _SMART_TURN,
    "audio.turn.smart_turn.local_smart_turn_v3": _SMART_TURN,
    "audio.vad.silero": ("runner.vad",),
    "audio.vad.vad_analyzer": ("runner.vad",),
    "evals.transport": (f"{_OWN}.transports",),
    "frames.frames": _FRAMES,
    "observers.base_observer": ("runner.pipeline", *_SMALL),
    "pipeline.base_task": _RUNNING,
    "pipeline.parallel_pipeline": _RUNNING,
    "pipeline.pipeline": _RUNNING,
    "pipeline.runner": _RUNNING,
    "pipeline.task": _RUNNING,
    "pipeline.worker": _RUNNING,
    "processors.aggregators.llm_context": _CONTEXT,
    "processors.aggregators.llm_response": _CONTEXT,
    "processors.aggregators.llm_response_universal": _CONTEXT,
    "processors.aggregators.openai_llm_context": _CONTEXT,
    "processors.frame_processor": ("runner.processors", "runner.frames"),
    "processors.frameworks.rtvi": _RTVI,
    "runner.run": _SMALL,
    "runner.types": ("runner.arguments", "runner.serializers.handshake"),
    "runner.utils": (f"{_OWN}.transports", "runner"),
    "serializers.base_serializer": ("runner.serializers.base",),
    "serializers.exotel": ("runner.serializers.exotel",),
    "serializers.plivo": ("runner.serializers.plivo",),
    "serializers.protobuf": ("runner.serializers.protobuf",),
    "serializers.telnyx": ("runner.serializers.telnyx",),
    "serializers.twilio": ("runner.serializers.twilio",),
    "services.ai_services": ("runner.services.llm", "runner.services.stt", "runner.services.tts"),
    "services.cartesia.tts": _SERVICES,
    "services.deepgram.stt": _SERVICES,
    "services.elevenlabs.tts": _SERVICES,
    "services.llm_service": ("runner.services.llm", "runner.services.tools"),
    "services.ollama.llm": _SERVICES,
    "services.openai.llm": _SERVICES,
    "services.openai.stt": _SERVICES,
    "services.openai.tts": _SERVICES,
    "services.piper.tts": _SERVICES,
    "services.stt_service": ("runner.services.stt",),
    "services.tts_service": ("runner.services.tts",),
    "services.whisper.stt": _SERVICES,
    "transcriptions.language": (f"{_OWN}.language",),
    "transports.base_input": ("runner.transports.input",),
    "transports.base_output": ("runner.transports.output",),
    "transports.base_transport": (f"{_OWN}.transports", "runner.transports.base"),
    "transports.daily.transport": _DAILY,
    "transports.network.fastapi_websocket": _PHONE,
    "transports.network.small_webrtc": _WEBRTC,
    "transports.network.webrtc_connection": _WEBRTC,
    "transports.services.daily": _DAILY,
    "transports.smallwebrtc.connection": _WEBRTC,
    "transports.smallwebrtc.transport": _WEBRTC,
    "transports.websocket.fastapi": _PHONE,
    "turns.user_mute": _TURNS,
    "turns.user_start": _TURNS,
    "turns.user_stop": _TURNS,
    "turns.user_turn_strategies": _TURNS,
    "workers.runner": _RUNNING,
}

ALSO: dict[str, str] = {
    # Packages of Pipecat's that have names of their own beside their modules.
    "services.cartesia": "services.cartesia.tts",
    "services.deepgram": "services.deepgram.stt",
    "services.elevenlabs": "services.elevenlabs.tts",
    "services.ollama": "services.ollama.llm",
    "services.openai": "services.openai.llm",
    "services.piper": "services.piper.tts",
    "services.whisper": "services.whisper.stt",
}

PACKAGES = frozenset(
    name.rsplit(".", depth)[0] for name in MODULES for depth in range(1, name.count(".") + 1)
)
"""All paths on the way to a module."""

SHADOWED = frozenset(f"runner.{name}" for name in PACKAGES)
"""Paths that are packages in Pipecat and may be plain modules here."""

INSTEAD: dict[str, str] = {
    # names
    "AudioBufferProcessor": "AudioRecorder of runner.processors",
    "AudioRawFrame": "InputAudioRawFrame or OutputAudioRawFrame",
    "CartesiaHttpTTSService": "CartesiaTTSService",
    "DeepgramTTSService": "CartesiaTTSService, ElevenLabsTTSService, OpenAITTSService or PiperTTSService",
    "ElevenLabsHttpTTSService": "ElevenLabsTTSService",
    "ElevenLabsSTTService": "DeepgramSTTService, OpenAISTTService or WhisperSTTService",
    "CartesiaSTTService": "DeepgramSTTService, OpenAISTTService or WhisperSTTService",
    "DeepgramFluxSTTService": "DeepgramSTTService",
    "LLMMessagesFrame": "LLMMessagesAppendFrame",
    "LLMMessagesUpdateFrame": "LLMContext.set_messages and LLMRunFrame",
    "LLMSetToolsFrame": "LLMContext.set_tools",
    "LLMUpdateSettingsFrame": "a new service, or its params",
    "MCPClient": "functions with runner.services.tools.tool",
    "OpenAIRealtimeLLMService": "OpenAILLMService with an STT and a TTS service",
    "RTVIProcessor": "PipelineTask.rtvi, which every task has",
    "STTMuteFilter": "PipelineParams(mute=[MuteDuringTools()])",
    "STTUpdateSettingsFrame": "a new service",
    "TTSUpdateSettingsFrame": "a new service",
    "TranscriptProcessor": "Subtitles of runner.processors, or on_user_turn_stopped",
    "UserIdleProcessor": "PipelineParams(idle_prompt=IdlePrompt(…)) of runner.turns",
    "UserImageRequestFrame": "the latest InputImageRawFrame",
    "VADProcessor": "vad_analyzer= of the transport's parameters",
    # modules, by their beginning
    "adapters": "OpenAILLMService, which needs no adapter",
    "flows": "tools (runner.services.tools) that change the context",
    "observers": "`botrun` itself: terminal, /status and /metrics show turns and latency",
    "processors.filters": "PipelineParams(mute=…) or a FrameProcessor of your own",
    "processors.frameworks": "OpenAILLMService, or a subclass of LLMService",
    "processors.metrics": "/metrics of the running bot",
    "processors.transcript_processor": "Subtitles of runner.processors, or on_user_turn_stopped",
    "processors.user_idle_processor": "PipelineParams(idle_prompt=IdlePrompt(…)) of runner.turns",
    "services": "OpenAILLMService with base_url= for a language model with OpenAI's API;"
    " DeepgramSTTService, OpenAISTTService or WhisperSTTService to listen; CartesiaTTSService,"
    " ElevenLabsTTSService, OpenAITTSService or PiperTTSService to speak",
    "transports": "the webrtc, daily and WebSocket transports",
    "utils.tracing": "`botrun` itself: terminal, /status and /metrics show turns and latency",
}


def instead_of(path: str, name: str = "") -> str:
    """What botrun has instead of a module (its path without "pipecat."), or of a name; "" if not known."""
    if name:
        return INSTEAD.get(name, "")
    while path and path not in INSTEAD:
        path = path.rpartition(".")[0]
    return INSTEAD.get(path, "")


_PLACES: dict[str, str] = {
    "EvalTransportParams": "evals.transport",
    "Language": "transcriptions.language",
    "LLMAssistantAggregatorParams": "processors.aggregators.llm_response_universal",
    "LLMUserAggregatorParams": "processors.aggregators.llm_response_universal",
    "PipelineWorker": "pipeline.worker",
    "UserTurnStrategies": "turns.user_turn_strategies",
    "WorkerRunner": "workers.runner",
}
"""Where our aliases of Pipecat's newer names are found, below `runner.` as below `pipecat.`."""

_FIELDS = frozenset(
    (
        "audio_in_channels", "audio_in_passthrough", "audio_out_10ms_chunks", "audio_out_channels",
        "vad_audio_passthrough", "vad_enabled",
    )
)  # fmt: skip
"""Parameters of Pipecat's transports that ours do without."""


def hint_for(name: str, where: str) -> str:
    """What to do about a name of Pipecat's that a module or class of ours lacks; "" if not known."""
    if name in _PLACES and where.startswith("runner"):
        return f": import it from runner.{_PLACES[name]}"
    if name in INSTEAD and where.startswith("runner"):
        return f": use {INSTEAD[name]}"
    if name in _FIELDS:
        return f": leave it out, {where} needs no {name}"
    return ""
