"""The spans of calls."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from phone_bots import CountedBot, tone
from recorded_calls import recorded

from runner.callers.sound.microphone import Manner
from runner.eventloop.trace_context import enter_trace, trace_headers
from runner.services.common.service_link import ServiceLink
from runner.sessions import events, tracing
from runner.sessions.tracing import Tracing, make_tracing
from runner.testing import run_virtual


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*tracing.ENDPOINTS, tracing.EXPORTER, tracing.DISABLED, tracing.CONTENT):
        monkeypatch.delenv(name, raising=False)


class Faults(CountedBot):
    """Emits what its scripted services do not: a tool that fails, a retry."""

    async def __call__(self, args: object) -> None:
        to, now = events.current_events(), asyncio.get_running_loop().time()
        to.emit(events.ToolCalled(at=now, id="t1", name="find", arguments={"city": "Oslo"}))
        to.emit(
            events.ToolAnswered(at=now + 0.2, id="t1", name="find", result={"error": "no line"}, failed=True)
        )
        to.emit(events.Retried(at=now + 0.3, service="LLM", attempt=2, message="429"))
        self.headers = trace_headers()
        await super().__call__(args)


def spans_of_a_call(folder: Path, *, content: bool = False) -> tuple[list[ReadableSpan], Faults]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    bot = Faults()

    async def run() -> None:
        traced = Tracing(provider, content=content)
        async with (
            recorded(bot, folder, tracing=traced, record=False) as served,
            served.phone("twilio") as phone,
        ):
            assert await phone.until(lambda: phone.bot_quiet_s() > 0.5 and bool(phone.speech.spans), 20)
            said = phone.say(tone(0.6), 8000, "words", Manner.TURN)
            assert await phone.until(lambda: said.done, 10)
            assert await phone.until(lambda: len(phone.speech.spans) > 1 and phone.bot_quiet_s() > 0.5, 20)

    run_virtual(run(), 60)
    return list(exporter.get_finished_spans()), bot


def test_a_call_is_a_tree_of_spans(tmp_path: Path) -> None:
    spans, _ = spans_of_a_call(tmp_path)
    (call,) = [span for span in spans if span.name == "call"]
    turns = [span for span in spans if span.name == "turn"]
    assert call.parent is None
    assert call.attributes is not None
    assert call.attributes["botrun.transport"] == "twilio"
    assert len(turns) == 2  # the greeting, and the answer
    assert {span.parent.span_id for span in turns if span.parent} == {call.context.span_id}
    inner = {
        span.name.split()[0]
        for span in spans
        if span.parent and span.parent.span_id == turns[1].context.span_id
    }
    assert inner == {"stt", "chat", "tts"}
    assert len({span.context.trace_id for span in spans}) == 1
    for span in spans:
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time


def test_the_model_and_tools_have_the_attributes_of_the_conventions(tmp_path: Path) -> None:
    spans, _ = spans_of_a_call(tmp_path)
    chat = next(span for span in spans if span.name.startswith("chat"))
    assert chat.attributes is not None
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert "gen_ai.provider.name" in chat.attributes
    tool = next(span for span in spans if span.name == "execute_tool find")
    assert tool.attributes is not None
    assert tool.attributes["gen_ai.tool.call.id"] == "t1"
    assert tool.status.status_code is StatusCode.ERROR
    assert (tool.end_time or 0) - (tool.start_time or 0) == pytest.approx(0.2e9, abs=1e6)
    assert any(event.name == "retry" for span in spans for event in span.events)


@pytest.mark.parametrize("content", [False, True])
def test_what_was_said_is_left_out_unless_it_is_asked_for(content: bool, tmp_path: Path) -> None:
    spans, _ = spans_of_a_call(tmp_path, content=content)
    everything = "".join(span.to_json() for span in spans)
    for said in ("Oslo", "no line", "429", "hello there"):
        assert (said in everything) is content, said


def test_requests_to_services_carry_the_calls_trace(tmp_path: Path) -> None:
    spans, bot = spans_of_a_call(tmp_path)
    version, trace, parent, flags = bot.headers["traceparent"].split("-")
    assert version == "00"
    assert int(flags, 16) & 1  # sampled
    assert int(trace, 16) == spans[0].context.trace_id
    assert int(parent, 16) in {span.context.span_id for span in spans}


def test_without_variables_nothing_is_traced_and_nothing_imported() -> None:
    assert make_tracing() is None
    assert trace_headers() == {}


def test_a_missing_extra_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    assert make_tracing() is None
    assert "pip install 'botrun[otel]'" in caplog.text


def test_an_exporter_that_is_not_supported_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    assert make_tracing() is None
    assert "zipkin" in caplog.text


class Collector:
    """An OTLP/HTTP receiver on this machine."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest()
                request.ParseFromString(body)
                collector.requests.append(request)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                logging.getLogger(__name__).debug(format, *args)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def test_a_collector_gets_the_spans_of_the_calls(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "front-desk")
    traced = make_tracing()
    assert traced is not None

    async def run() -> None:
        async with (
            recorded(CountedBot(), tmp_path, tracing=traced, record=False) as served,
            served.phone("twilio") as phone,
        ):
            assert await phone.until(lambda: phone.bot_quiet_s() > 0.5 and bool(phone.speech.spans), 20)

    run_virtual(run(), 60)
    traced.shut_down()
    resources = [each for request in collector.requests for each in request.resource_spans]
    names = {span.name for each in resources for scope in each.scope_spans for span in scope.spans}
    assert {"call", "turn", "tts"} <= names
    attributes = {each.key: each.value.string_value for each in resources[0].resource.attributes}
    assert attributes["service.name"] == "front-desk"


def test_a_link_to_a_service_sends_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    import websockets.asyncio.server as server

    seen: list[str | None] = []

    async def run() -> None:
        arrived = asyncio.Event()

        async def take(socket: server.ServerConnection) -> None:
            assert socket.request is not None
            seen.append(socket.request.headers.get("traceparent"))
            arrived.set()

        async with server.serve(take, "127.0.0.1", 0) as listening:
            port = next(iter(listening.sockets)).getsockname()[1]
            enter_trace(lambda: "00-" + "a" * 32 + "-" + "b" * 16 + "-01")
            link = ServiceLink.__new__(ServiceLink)
            link._address, link._headers = f"ws://127.0.0.1:{port}", {"authorization": "key"}
            async with contextlib.AsyncExitStack() as stack:
                await link._connect(stack)
                await arrived.wait()

    asyncio.run(run())
    assert seen == ["00-" + "a" * 32 + "-" + "b" * 16 + "-01"]
