"""Services under Pipecat's names and arguments: `voice_id=`, `settings=Service.Settings(…)`, `params=`."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import AsyncGenerator
from typing import Any

from runner.errors import UsageError
from runner.frames import Frame, FunctionCall
from runner.integrations.pipecat_names.context import LLMContextAggregatorPair
from runner.processors.context import LLMContext
from runner.services import cartesia, deepgram, elevenlabs, ollama, openai, piper, whisper
from runner.services import openai_stt as transcription
from runner.services import openai_tts as speech

__all__ = [
    "CartesiaTTSService",
    "DeepgramSTTService",
    "ElevenLabsTTSService",
    "GenerationConfig",
    "LiveOptions",
    "OLLamaLLMService",
    "OpenAILLMContext",
    "OpenAILLMService",
    "OpenAISTTService",
    "OpenAITTSService",
    "PiperTTSService",
    "WhisperSTTService",
]

OpenAILLMContext = LLMContext


class Options(dict[str, Any]):
    """Settings by name, of which only those that were given are there. Also readable as attributes."""

    def __init__(self, **given: Any) -> None:
        super().__init__({name: value for name, value in given.items() if value is not None})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no {name} was given") from None


LiveOptions = GenerationConfig = Options

_OF_NO_USE = """
    aggregate_sentences aiohttp_session auto_mode cartesia_version channels container download_dir
    enable_logging enable_ssml_parsing encoding force_redownload interim_results max_buffer_delay_ms
    multichannel retry_on_timeout retry_timeout_secs sample_rate text_aggregation_mode ttfs_p99_latency
    use_cuda vad_events
"""
OF_NO_USE = frozenset(_OF_NO_USE.split())
"""What botrun's services choose by themselves."""

MODEL_FIELDS = """
    temperature max_tokens max_completion_tokens top_p top_k frequency_penalty presence_penalty seed
    service_tier response_format stop tool_choice parallel_tool_calls reasoning_effort
"""


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """What a constructor was given: its own arguments, then those of `params`, `live_options`, `settings`."""
    nested = [given.pop(name, None) for name in ("live_options", "params", "settings")]
    found = _plain(given)
    for one in nested:
        found |= _plain(one)
    found |= _plain(found.pop("extra", None))
    if "voice_id" in found:
        found.setdefault("voice", found.pop("voice_id"))
    return found


def _plain(options: Any) -> dict[str, Any]:
    """Options, a pydantic model or a dataclass as a dictionary without what was left open."""
    if dataclasses.is_dataclass(options) and not isinstance(options, type):
        options = dataclasses.asdict(options)
    elif hasattr(options, "model_dump"):
        options = options.model_dump(exclude_unset=True)
    return {name: value for name, value in (options or {}).items() if value is not None}


def _take(service: object, options: dict[str, Any], names: str) -> dict[str, Any]:
    """Those of `names` that are there.

    Raises:
        UsageError: there is something else, which botrun's service has no place for.
    """
    wanted = names.split()
    if unknown := options.keys() - OF_NO_USE - set(wanted):
        raise UsageError(
            f"{type(service).__name__} of botrun's own engine does not take {', '.join(sorted(unknown))}; it "
            f"takes {', '.join(wanted)}. Install pipecat to run the bot unchanged"
        )
    return {name: options[name] for name in wanted if name in options}


# ------------------------------------------------------------------ listening


class DeepgramSTTService(deepgram.DeepgramSTTService):
    """Deepgram, with `settings=DeepgramSTTService.Settings(…)` or `live_options=LiveOptions(…)`."""

    Settings = Options

    def __init__(self, *, api_key: str | None = None, name: str | None = None, **given: Any) -> None:
        options = _options(given)
        terms = options.pop("keyterm", ())
        options["keyterms"] = [terms] if isinstance(terms, str) else terms
        if host := options.pop("base_url", None):
            url = host if "://" in host else f"wss://{host}"
            options["url"] = url if "/v1/" in url else f"{url.rstrip('/')}/v1/listen"
        known = {
            field: options.pop(field)
            for field in ("model", "language", "keyterms", "url")
            if field in options
        }
        query = {field: _in_query(value) for field, value in options.items() if field not in OF_NO_USE}
        super().__init__(api_key=api_key, name=name, options=query, **known)


def _in_query(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class OpenAISTTService(transcription.OpenAISTTService):
    """Recognition with OpenAI's API, with `settings=OpenAISTTService.Settings(model=, …)`."""

    Settings = Options

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        name: str | None = None,
        **given: Any,
    ) -> None:
        options = _take(self, _options(given), "model language prompt")
        super().__init__(api_key=api_key, base_url=base_url, name=name, **options)


class WhisperSTTService(whisper.WhisperSTTService):
    """Whisper, with `settings=WhisperSTTService.Settings(model=, language=)`."""

    Settings = Options

    def __init__(self, *, name: str | None = None, **given: Any) -> None:
        options = _take(self, _options(given), "model language device compute_type")
        super().__init__(name=name, **{field: str(value) for field, value in options.items()})


# ------------------------------------------------------------------ speaking


class CartesiaTTSService(cartesia.CartesiaTTSService):
    """Cartesia, with `voice_id=` or `settings=CartesiaTTSService.Settings(voice=, model=, …)`."""

    Settings = InputParams = Options

    def __init__(self, *, api_key: str | None = None, name: str | None = None, **given: Any) -> None:
        options = _take(self, _options(given), "voice model language generation_config url")
        if "generation_config" in options:
            options["generation_config"] = _plain(options["generation_config"])
        super().__init__(api_key=api_key, name=name, **options)


class ElevenLabsTTSService(elevenlabs.ElevenLabsTTSService):
    """ElevenLabs, with `voice_id=` or `settings=ElevenLabsTTSService.Settings(voice=, stability=, …)`."""

    Settings = InputParams = Options

    def __init__(self, *, api_key: str | None = None, name: str | None = None, **given: Any) -> None:
        options = _options(given)
        voice: dict[str, Any] = {}
        for field in ("stability", "similarity_boost", "style", "use_speaker_boost", "speed"):
            if field in options:
                voice[field] = options.pop(field)
        options = _take(self, options, "voice model language url")
        super().__init__(api_key=api_key, voice_settings=voice or None, name=name, **options)


class OpenAITTSService(speech.OpenAITTSService):
    """A voice with OpenAI's API, with `settings=OpenAITTSService.Settings(voice=, model=, …)`."""

    Settings = InputParams = Options

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        name: str | None = None,
        **given: Any,
    ) -> None:
        options = _take(self, _options(given), "voice model instructions speed")
        super().__init__(api_key=api_key, base_url=base_url, name=name, **options)


class PiperTTSService(piper.PiperTTSService):
    """Piper, with `voice_id=` or `settings=PiperTTSService.Settings(voice=)`."""

    Settings = Options

    def __init__(self, *, name: str | None = None, **given: Any) -> None:
        super().__init__(name=name, **_take(self, _options(given), "voice"))


# ------------------------------------------------------------------ language models


class OpenAILLMService(openai.OpenAILLMService):
    """A language model with OpenAI's API, with `settings=OpenAILLMService.Settings(model=, temperature=,
    system_instruction=, …)` or `params=OpenAILLMService.InputParams(…)`."""

    Settings = InputParams = Options

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        name: str | None = None,
        **given: Any,
    ) -> None:
        options = _options(given)
        self.system_instruction = str(options.pop("system_instruction", ""))
        model = options.pop("model", None)
        fields = _take(self, options, MODEL_FIELDS)
        super().__init__(api_key=api_key, base_url=base_url, model=model, params=fields, name=name)

    def create_context_aggregator(self, context: LLMContext, **options: Any) -> LLMContextAggregatorPair:
        """Pipecat's older way to make the two aggregators of a context."""
        return LLMContextAggregatorPair(context, **options)

    def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        return super().run_llm(_instructed(context, self.system_instruction))


class OLLamaLLMService(ollama.OllamaLLMService):
    """Ollama, with `settings=OLLamaLLMService.Settings(model=, …)`."""

    Settings = InputParams = Options

    def __init__(self, *, name: str | None = None, **given: Any) -> None:
        options = _options(given)
        options.pop("api_key", None)
        self.system_instruction = str(options.pop("system_instruction", ""))
        named: dict[str, Any] = {key: options.pop(key) for key in ("model", "base_url") if key in options}
        super().__init__(name=name, params=_take(self, options, MODEL_FIELDS), **named)

    def create_context_aggregator(self, context: LLMContext, **options: Any) -> LLMContextAggregatorPair:
        """As `OpenAILLMService.create_context_aggregator`."""
        return LLMContextAggregatorPair(context, **options)

    def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        return super().run_llm(_instructed(context, self.system_instruction))


def _instructed(context: LLMContext, instruction: str) -> LLMContext:
    """The context as it is sent: the service's instruction first."""
    if not instruction:
        return context
    sent = copy.copy(context)
    sent.messages = [{"role": "system", "content": instruction}, *context.messages]
    return sent
