"""OpenTelemetry: each call as spans, made from its events.

    call
    ├── turn              from the user's speech (or the bot's own start) until the answer was heard
    │   ├── stt           from the user's first sound until the final words
    │   ├── chat MODEL    the LLM, with the attributes of the `gen_ai` conventions
    │   ├── execute_tool NAME
    │   └── tts           from a sentence to its first sound
    └── …

OpenTelemetry is imported only if its environment variables ask for spans.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from runner.sessions import events
from runner.settings import read_keys

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

    from runner.sessions.session import Session

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER, DISABLED = "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
FLUSH_MS = 1000


def make_tracing() -> Tracing | None:
    """Tracing as the variables of OpenTelemetry ask for it; None if they do not."""
    found = read_keys((*ENDPOINTS, EXPORTER, DISABLED, CONTENT))
    wanted = found.get(EXPORTER, "otlp" if any(name in found for name in ENDPOINTS) else "none")
    if wanted == "none" or found.get(DISABLED, "").lower() == "true":
        return None
    if wanted not in ("otlp", "console"):
        logger.warning(
            "%s=%s is not supported: use otlp, console or none. Calls are not traced", EXPORTER, wanted
        )
        return None
    try:
        return Tracing(_provider(wanted), content=found.get(CONTENT, "").lower() == "true")
    except ImportError:
        logger.warning(
            "calls are not traced: OpenTelemetry is not installed. pip install 'botrun[otel]', or unset %s",
            next(name for name in (EXPORTER, *ENDPOINTS) if name in found),
        )
        return None


def _provider(wanted: str) -> TracerProvider:
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

    exporter: SpanExporter
    if wanted == "console":
        exporter = ConsoleSpanExporter()
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter()
    resource = Resource.create({SERVICE_NAME: "botrun"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


class Tracing:
    """Traces the calls of this process.

    Args:
        provider: makes the spans.
        content: whether they hold what was said, and tools' arguments and results.
    """

    def __init__(self, provider: TracerProvider, *, content: bool = False) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("botrun")
        self._content = content
        self._calls: dict[str, CallTrace] = {}

    def begin(self, session: Session) -> None:
        """Trace this call from now on."""
        trace = CallTrace(self._tracer, session, content=self._content)
        session.traceparent = trace.traceparent
        session.events.subscribe(trace.take)
        self._calls[session.id] = trace

    def end(self, session: Session) -> None:
        """The call is over."""
        if (trace := self._calls.pop(session.id, None)) is not None:
            trace.end()

    def close(self) -> None:
        """Send what is left."""
        self._provider.force_flush(FLUSH_MS)

    def shut_down(self) -> None:
        """Send what is left, and end the exporter's thread."""
        self._provider.shutdown()


class CallTrace:
    """The spans of one call."""

    def __init__(self, tracer: Tracer, session: Session, *, content: bool = False) -> None:
        self._tracer, self._session, self._content = tracer, session, content
        self._offset = time.time() - session.clock()
        self._now = session.clock()
        self._user_from: float | None = None
        self._turn: Span | None = None
        self._turn_until: float | None = None
        self._answered = False
        self._open: dict[str, Span] = {}
        about = {"botrun.session": session.id, "botrun.transport": session.kind}
        if call_id := getattr(session.args, "call_id", ""):
            about["botrun.call_id"] = call_id
        self._call = self._start("call", self._now, None, about)

    def traceparent(self) -> str:
        """The header's value: this call's trace, and the turn that is open."""
        context = (self._turn or self._call).get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def take(self, event: events.CallEvent) -> None:
        """One event of the call."""
        self._now = max(self._now, event.seen or event.at)
        match event:
            case events.UserStarted(at=at):
                if self._turn is None or self._answered:
                    self._new_turn(at)
                    self._user_from = at
            case events.InterimWords():
                pass
            case events.Words():
                self._recognised(event)
            case events.BotStarted():
                self._answered = True
            case events.BotStopped(at=at, interrupted=interrupted):
                self._turn_until = at
                if interrupted:
                    self._parent().set_attribute("botrun.interrupted", True)
            case events.ReplyEvent():
                self._reply(event)
            case events.ToolCalled() | events.ToolAnswered() | events.ToolCancelled():
                self._tool(event)
            case events.Failed() | events.Retried() | events.FellBack() | events.LoopStalled():
                self._trouble(event)

    def end(self) -> None:
        """The call is over: end what is open."""
        session = self._session
        now = session.clock()
        for name in list(self._open):
            self._close(name, now)
        self._end_turn(now)
        if session.end_reason is not None:
            self._call.set_attribute("botrun.end_reason", session.end_reason.name)
        if session.error is not None:
            self._fail(self._call, session.error.exception or "error", session.error.message)
        self._call.end(self._ns(now))

    # ------------------------------------------------------------ inside

    def _ns(self, at: float) -> int:
        return round((at + self._offset) * 1e9)

    def _start(self, name: str, at: float, parent: Span | None, attributes: dict[str, Any]) -> Span:
        from opentelemetry.context import Context
        from opentelemetry.trace import set_span_in_context

        context = Context() if parent is None else set_span_in_context(parent, Context())
        known = {key: value for key, value in attributes.items() if value is not None}
        return self._tracer.start_span(name, context, attributes=known, start_time=self._ns(at))

    def _fail(self, span: Span, kind: str, description: str = "") -> None:
        from opentelemetry.trace import Status, StatusCode

        span.set_attribute("error.type", kind.partition(":")[0])
        span.set_status(Status(StatusCode.ERROR, description if self._content else ""))

    def _parent(self) -> Span:
        return self._turn or self._call

    def _new_turn(self, at: float) -> None:
        self._end_turn(at)
        self._turn, self._answered, self._turn_until = self._start("turn", at, self._call, {}), False, None

    def _end_turn(self, at: float) -> None:
        if self._turn is not None:
            self._turn.end(self._ns(self._turn_until or at))
            self._turn = None

    def _recognised(self, event: events.Words) -> None:
        at = self._user_from if self._user_from is not None else event.at
        about = {"botrun.service": event.service, "botrun.confidence": event.confidence}
        if self._content:
            about["botrun.text"] = event.text
        self._start("stt", at, self._parent(), about).end(self._ns(event.at))

    def _reply(self, event: events.ReplyEvent) -> None:
        if self._turn is None:
            self._new_turn(event.at)
        name = f"{event.reply}"
        match event:
            case events.LLMStarted(model=model, service=service):
                about = {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": _provider_of(service),
                    "gen_ai.request.model": model,
                    "botrun.service": service,
                }
                self._open[f"llm {name}"] = self._start(
                    f"chat {model or ''}".strip(), event.at, self._parent(), about
                )
            case events.LLMFirstToken(ttfb_s=seconds) if (span := self._open.get(f"llm {name}")) is not None:
                span.set_attribute("botrun.ttfb_s", seconds)
                span.add_event("first token", timestamp=self._ns(event.at))
            case events.LLMEnded(text=text) if (span := self._open.get(f"llm {name}")) is not None:
                if self._content:
                    said = [{"role": "assistant", "parts": [{"type": "text", "content": text}]}]
                    span.set_attribute("gen_ai.output.messages", json.dumps(said, ensure_ascii=False))
                self._close(f"llm {name}", event.at)
            case events.SentenceToVoice(service=service, text=text):
                about = {"botrun.service": service, **({"botrun.text": text} if self._content else {})}
                self._close(f"tts {name}", event.at)
                self._open[f"tts {name}"] = self._start("tts", event.at, self._parent(), about)
            case events.VoiceFirstSound(ttfb_s=seconds) if (
                span := self._open.get(f"tts {name}")
            ) is not None:
                span.set_attribute("botrun.ttfb_s", seconds)
                self._close(f"tts {name}", event.at)

    def _tool(self, event: events.ToolCalled | events.ToolAnswered | events.ToolCancelled) -> None:
        name = f"tool {event.id}"
        if isinstance(event, events.ToolCalled):
            about = {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": event.name,
                "gen_ai.tool.call.id": event.id,
            }
            if self._content:
                about["gen_ai.tool.call.arguments"] = _text_of(event.arguments)
            self._open[name] = self._start(f"execute_tool {event.name}", event.at, self._parent(), about)
        elif (span := self._open.get(name)) is not None:
            if isinstance(event, events.ToolCancelled):
                span.set_attribute("botrun.cancelled", True)
            else:
                if event.failed:
                    self._fail(span, "tool_error", _text_of(event.result))
                if self._content:
                    span.set_attribute("gen_ai.tool.call.result", _text_of(event.result))
            self._close(name, event.at)

    def _trouble(self, event: events.CallEvent) -> None:
        """Becomes an event of the span that is open."""
        hidden = frozenset[str]() if self._content else event.content
        about = {name: value for name, value in event.as_fields().items() if name not in hidden}
        self._parent().add_event(event.kind, about, self._ns(event.at))
        if isinstance(event, events.Failed):
            self._fail(self._parent(), "error", event.message)

    def _close(self, name: str, at: float) -> None:
        if (span := self._open.pop(name, None)) is not None:
            span.end(self._ns(at))


def _provider_of(service: str | None) -> str | None:
    """ "openai" of OpenAILLMService: the name in the conventions is the vendor's in small letters."""
    return service.partition("LLM")[0].lower() or service if service else None


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
