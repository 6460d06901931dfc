# ruff: noqa: E501
"""Odd answers of OpenAI-compatible chat servers, and the expected result of each.

Rebuilt by hand from public bug reports and the servers' documentation; not recorded from the servers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from runner.frames import FunctionCall
from runner.services.tools.call import MalformedCall


@dataclass(frozen=True)
class Case:
    """One answer: its body, and what it must become."""

    server: str
    name: str
    body: bytes
    text: str = ""
    calls: tuple[FunctionCall, ...] = ()
    error: str = ""
    kind: str = "text/event-stream"

    @property
    def id(self) -> str:
        return f"{self.server}: {self.name}"


def chunk(delta: Any, finish: Any = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"object": "chat.completion.chunk", "choices": [choice], **more}, ensure_ascii=False)


def sse(*events: str, end: str = "\n\n") -> bytes:
    return "".join(f"data: {event}{end}" for event in events).encode()


def words(text: Any) -> str:
    return chunk({"content": text})


def call(index: Any, call_id: Any, name: Any, arguments: Any) -> str:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not ...}
    piece: dict[str, Any] = {"type": "function", "function": function}
    piece |= {key: value for key, value in (("index", index), ("id", call_id)) if value is not ...}
    return chunk({"tool_calls": [piece]})


def whole(message: dict[str, Any], finish: Any = "stop") -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps({"object": "chat.completion", "choices": [choice]}, indent=2).encode()


STOP = chunk({}, "stop")
CALLS = chunk({}, "tool_calls")
DONE = "[DONE]"
NO = ...
"""The field is missing."""


def weather(call_id: str = "c1", **arguments: Any) -> FunctionCall:
    return FunctionCall("weather", call_id, arguments)


ROME = '{"city": "Rome"}'

FRAMING = (
    Case("Ollama", "an emoji as two escapes in two events", sse(words("Great ").replace("Great ", "Great \\ud83d"), words("X").replace("X", "\\ude00!"), STOP, DONE), "Great \U0001f600!"),
    Case("vLLM", "half an emoji in the middle", sse(words("X").replace("X", "Great\\ud83d. Bye."), STOP, DONE), "Great\ufffd. Bye."),
    Case("vLLM", "half an emoji at the end", sse(words("X").replace("X", "Great.\\ud83d"), chunk({}, "length"), DONE), "Great."),
    Case("llama.cpp", "an event nested a hundred thousand deep", sse("[" * 100_000), error="not JSON"),
    Case("LM Studio", "an answer of one bracket", sse(words("["), STOP, DONE), "["),
    Case("vLLM", "an answer that begins like thoughts", sse(words("<th"), words("ree"), STOP, DONE), "<three"),
    Case("Groq", "only CR ends lines, and comments between", b": hi\r\rdata: " + words("Hi.").encode() + b"\r\r: ping\r\rdata: " + STOP.encode() + b"\r\rdata: [DONE]\r\r", "Hi."),
    Case("LiteLLM", "retry, id and event fields around the data", b"retry: 10\r\nid: 1\r\nevent: message\r\ndata: " + words("Hi.").encode() + b"\r\nid: 2\r\n\r\ndata: " + STOP.encode() + b"\r\n\r\ndata: [DONE]\r\n\r\n", "Hi."),
    Case("OpenRouter", "a number of five thousand digits", sse('{"choices": [], "created": ' + "1" * 5000 + "}"), error="not JSON"),
    Case("OpenAI", "role first, then words", sse(chunk({"role": "assistant", "content": ""}), words("Hello "), words("there."), STOP, DONE), "Hello there."),
    Case("OpenAI", "usage chunk without choices at the end", sse(words("Hi."), STOP, '{"choices": [], "usage": {"total_tokens": 3}}', DONE), "Hi."),
    Case("Azure", "prompt filter results before the first choice", sse('{"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}', words("Hi."), STOP, DONE), "Hi."),
    Case("Azure", "content filter annotations without a delta", sse(words("Hi."), '{"choices": [{"index": 0, "content_filter_offsets": {"check_offset": 44}}]}', STOP, DONE), "Hi."),
    Case("vLLM", "raw U+2028 and U+2029 inside the JSON", sse(words("one\u2028two\u2029three"), STOP, DONE), "one\u2028two\u2029three"),
    Case("llama.cpp", "raw U+0085, vertical tab and form feed", sse(words("a\u0085b"), STOP, DONE), "a\u0085b"),
    Case("vLLM", "raw control characters inside a JSON string", b'data: {"choices": [{"index": 0, "delta": {"content": "a\tb"}}]}\n\n' + sse(STOP, DONE), "a\tb"),
    Case("LiteLLM", "an empty data line", sse(words("Hi "), "", words("there."), STOP, DONE), "Hi there."),
    Case("LiteLLM", "an event of nothing but `data`", b"data\n\n" + sse(words("Hi."), STOP, DONE), "Hi."),
    Case("LM Studio", "a byte order mark first", b"\xef\xbb\xbf" + sse(words("Hi."), STOP, DONE), "Hi."),
    Case("LM Studio", "CRLF line ends", sse(words("Hi "), words("there."), STOP, DONE, end="\r\n\r\n"), "Hi there."),
    Case("OpenRouter", "CR line ends", sse(words("Hi "), words("there."), STOP, DONE, end="\r\r"), "Hi there."),
    Case("OpenRouter", "comments while it is processing", b": OPENROUTER PROCESSING\n\n" * 3 + sse(words("Hi."), STOP, DONE), "Hi."),
    Case("Gemini", "one event of several data lines", b'data: {"choices": [{"index": 0,\ndata: "delta": {"content": "Hi."},\ndata: "finish_reason": "stop"}]}\n\n', "Hi."),
    Case("Mistral", "no space behind the colon", b"data:" + words("Hi.").encode() + b"\n\ndata:" + STOP.encode() + b"\n\ndata:[DONE]\n\n", "Hi."),
    Case("Groq", "id, retry and event fields", b"id: 1\nretry: 3000\nevent: message\n" + sse(words("Hi."), STOP, DONE), "Hi."),
    Case("LiteLLM", "ping events with text", b"event: ping\ndata: keep-alive\n\n" + sse(words("Hi."), STOP, DONE), "Hi."),
    Case("LiteLLM", "ping objects", sse('{"type": "ping"}', words("Hi."), STOP, DONE), "Hi."),
    Case("llama.cpp", "no blank line behind the last event", sse(words("Hi."), STOP) + b"data: [DONE]", "Hi."),
    Case("llama.cpp", "no [DONE] after the finish reason", sse(words("Hi."), STOP), "Hi."),
    Case("vLLM", "[DONE] without a finish reason", sse(words("Hi."), DONE), "Hi."),
    Case("LiteLLM", "[DONE] in quotes", sse(words("Hi."), '"[DONE]"'), "Hi."),
    Case("LiteLLM", "no blank lines between the events", sse(words("Hi "), words("there."), STOP, end="\n"), "Hi there."),
    Case("Ollama", "lines of JSON without data:", "\n".join([words("Hi "), words("there."), STOP]).encode(), "Hi there.", kind="application/x-ndjson"),
    Case("vLLM", "a character cut between two writes", sse(words("Grüße, 世界 👋"), STOP, DONE), "Grüße, 世界 👋"),
    Case("llama.cpp", "bytes that are no UTF-8", sse(words("Hi.")).replace(b"Hi.", b"H\xff."), "", error="broke off in the middle"),
    Case("OpenAI", "a second choice", sse('{"choices": [{"index": 1, "delta": {"content": "other"}}]}', words("Hi."), STOP, DONE), "Hi."),
    Case("LiteLLM", "choices null, delta null", sse('{"choices": null}', '{"choices": [{"index": 0, "delta": null}]}', words("Hi."), STOP, DONE), "Hi."),
    Case("Gemini", "the finish reason in every chunk", sse(chunk({"content": "Hi "}, "stop"), chunk({"content": "there."}, "stop"), DONE), "Hi there."),
    Case("Ollama", 'the finish reason "" until the end', sse(chunk({"content": "Hi."}, ""), STOP, DONE), "Hi."),
    Case("LM Studio", 'the finish reason "null" until the end', sse(chunk({"content": "Hi."}, "null"), STOP, DONE), "Hi."),
    Case("vLLM", "the last words with the finish reason", sse(words("Hi "), chunk({"content": "there."}, "stop"), DONE), "Hi there."),
)  # fmt: skip

CONTENT = (
    Case("Mistral", "content as a list of text parts", sse(words([{"type": "text", "text": "Hi "}, {"type": "text", "text": "there."}]), STOP, DONE), "Hi there."),
    Case("Mistral", "thinking parts in a list", sse(words([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]), words([{"type": "text", "text": "Hi."}]), STOP, DONE), "Hi."),
    Case("LiteLLM", "content as one part", sse(words({"type": "text", "text": "Hi."}), STOP, DONE), "Hi."),
    Case("LiteLLM", "strings in a list", sse(words(["Hi ", "there."]), STOP, DONE), "Hi there."),
    Case("vLLM", "reasoning_content before the answer", sse(chunk({"reasoning_content": "hm"}), words("Hi."), STOP, DONE), "Hi."),
    Case("OpenRouter", "reasoning beside empty content", sse(chunk({"content": "", "reasoning": "hm"}), words("Hi."), STOP, DONE), "Hi."),
    Case("Ollama", "<think> in the content", sse(words("<think>"), words("hm\n"), words("</think>\n\n"), words("Hi."), STOP, DONE), "Hi."),
    Case("Mistral", "[THINK] in the content", sse(words("[THINK]hm[/THINK]Hi."), STOP, DONE), "Hi."),
    Case("OpenAI", "a refusal", sse(chunk({"refusal": "I cannot help with that."}), STOP, DONE), "I cannot help with that."),
    Case("LiteLLM", "text instead of a delta", sse('{"choices": [{"index": 0, "text": "Hi.", "finish_reason": "stop"}]}', DONE), "Hi."),
    Case("LM Studio", "the whole message once more at the end", sse(words("Hi."), '{"choices": [{"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}]}', DONE), "Hi."),
    Case("Groq", "a message instead of deltas", sse('{"choices": [{"index": 0, "message": {"content": "Hi."}}]}', DONE), "Hi."),
)  # fmt: skip

TOOL_CALLS = (
    Case("OpenAI", "arguments in pieces", sse(call(0, "c1", "weather", ""), call(0, NO, NO, '{"city": '), call(0, NO, NO, '"Rome"}'), CALLS, DONE), calls=(weather(city="Rome"),)),
    Case("OpenAI", "two calls whose pieces alternate", sse(call(0, "c1", "weather", ""), call(1, "c2", "weather", ""), call(0, NO, NO, ROME), call(1, NO, NO, '{"city": "Oslo"}'), CALLS, DONE), calls=(weather(city="Rome"), weather("c2", city="Oslo"))),
    Case("Gemini", "no index, whole calls", sse(call(NO, "c1", "weather", ROME), call(NO, "c2", "time", "{}"), CALLS, DONE), calls=(weather(city="Rome"), FunctionCall("time", "c2", {}))),
    Case("Gemini", "no index, empty ids", sse(call(NO, "", "weather", ROME), call(NO, "", "weather", '{"city": "Oslo"}'), CALLS, DONE), calls=(weather("call_0", city="Rome"), weather("call_1", city="Oslo"))),
    Case("Gemini", "no index, pieces without a name", sse(call(NO, "c1", "weather", '{"city"'), call(NO, NO, NO, ': "Rome"}'), CALLS, DONE), calls=(weather(city="Rome"),)),
    Case("LiteLLM", "index 0 for both calls, own ids", sse(call(0, "c1", "weather", ROME), call(0, "c2", "time", "{}"), CALLS, DONE), calls=(weather(city="Rome"), FunctionCall("time", "c2", {}))),
    Case("llama.cpp", "index 0 for both calls, empty ids", sse(call(0, "", "weather", ROME), call(0, "", "weather", '{"city": "Oslo"}'), CALLS, DONE), calls=(weather("call_0", city="Rome"), weather("call_1", city="Oslo"))),
    Case("LM Studio", "index 0, no ids, the second call in pieces", sse(call(0, NO, "weather", ROME), call(0, NO, "weather", ""), call(0, NO, NO, '{"city": "Oslo"}'), CALLS, DONE), calls=(weather("call_0", city="Rome"), weather("call_1", city="Oslo"))),
    Case("LiteLLM", "one id for two calls", sse(call(0, "x", "weather", ROME), call(1, "x", "weather", '{"city": "Oslo"}'), CALLS, DONE), calls=(weather("x", city="Rome"), weather("x_1", city="Oslo"))),
    Case("vLLM", "another id with each piece", sse(call(0, "c1", "weather", ""), call(0, "c7", NO, '{"city": '), call(0, "c9", NO, '"Rome"}'), CALLS, DONE), calls=(weather(city="Rome"),)),
    Case("Groq", "the name repeated with each piece", sse(call(0, "c1", "weather", '{"city": '), call(0, "c1", "weather", '"Rome"}'), CALLS, DONE), calls=(weather(city="Rome"),)),
    Case("OpenAI", "the name in two pieces", sse(call(0, "c1", "wea", ""), call(0, NO, "ther", ""), call(0, NO, NO, ROME), CALLS, DONE), calls=(weather(city="Rome"),)),
    Case("OpenRouter", "arguments null", sse(call(0, "c1", "time", None), CALLS, DONE), calls=(FunctionCall("time", "c1", {}),)),
    Case("OpenRouter", 'arguments "null"', sse(call(0, "c1", "time", "null"), CALLS, DONE), calls=(FunctionCall("time", "c1", {}),)),
    Case("Ollama", 'arguments ""', sse(call(0, "c1", "time", ""), CALLS, DONE), calls=(FunctionCall("time", "c1", {}),)),
    Case("Ollama", "arguments as an object", sse(call(0, "c1", "weather", {"city": "Rome"}), CALLS, DONE), calls=(weather(city="Rome"),)),
    Case("LiteLLM", "{} before the real arguments", sse(call(0, "c1", "weather", "{}"), call(0, NO, NO, ROME), CALLS, DONE), calls=(weather(city="Rome"),)),
    Case("LiteLLM", "{} before the real arguments, name and id repeated", sse(call(0, "c1", "weather", "{}"), call(0, "c1", "weather", ROME), CALLS, DONE), calls=(weather(city="Rome"),)),
    Case("vLLM", "the whole arguments once more at the end", sse(call(0, "c1", "weather", ROME), call(0, "c1", "weather", ROME), CALLS, DONE), calls=(weather(city="Rome"),)),
    Case("LM Studio", "each piece repeats what came before", sse(call(0, "c1", "weather", '{"ci'), call(0, NO, NO, '{"city": "Ro'), call(0, NO, NO, ROME), CALLS, DONE), calls=(weather(city="Rome"),)),
    Case("Mistral", "JSON inside JSON", sse(call(0, "c1", "weather", json.dumps(ROME)), CALLS, DONE), calls=(weather(city="Rome"),)),
    Case("Mistral", "raw line ends inside the arguments", sse(call(0, "c1", "weather", '{"city": "Ro\nme"}'), CALLS, DONE), calls=(weather(city="Ro\nme"),)),
    Case("llama.cpp", "one call that is no list", sse(chunk({"tool_calls": {"id": "c1", "function": {"name": "weather", "arguments": ROME}}}), CALLS, DONE), calls=(weather(city="Rome"),)),
    Case("llama.cpp", "the finish reason stop with calls", sse(call(0, "c1", "weather", ROME), STOP, DONE), calls=(weather(city="Rome"),)),
    Case("Azure", "the older function_call", sse(chunk({"function_call": {"name": "weather", "arguments": ""}}), chunk({"function_call": {"arguments": ROME}}), chunk({}, "function_call"), DONE), calls=(weather("call_0", city="Rome"),)),
    Case("vLLM", "words, then a call", sse(words("One moment."), call(0, "c1", "weather", ROME), CALLS, DONE), "One moment.", calls=(weather(city="Rome"),)),
    Case("vLLM", "tool_calls an empty list beside words", sse(chunk({"content": "Hi.", "tool_calls": []}), STOP, DONE), "Hi."),
    Case("Groq", "arguments that never become JSON", sse(call(0, "c1", "weather", '{"city": '), CALLS, DONE), calls=(MalformedCall("weather", "c1", {}, '{"city": '),)),
)  # fmt: skip

FAILURES = (
    Case("vLLM", 'an {"object": "error"} event', sse('{"object": "error", "message": "out of memory", "code": 500}'), error="answered 200 with an error: out of memory"),
    Case("OpenRouter", "an error in the middle", sse(words("Hi "), '{"error": {"code": 502, "message": "provider is down"}}'), "Hi ", error="broke off: provider is down"),
    Case("OpenRouter", "an error inside the choice", sse(words("Hi "), '{"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "provider is down"}}]}'), "Hi ", error="broke off: provider is down"),
    Case("LM Studio", "an error event", b'event: error\ndata: {"error": {"message": "no model is loaded"}}\n\n', error="no model is loaded"),
    Case("LM Studio", "an error: line", b"error: the model crashed\n\n", error="answered 200 with an error: the model crashed"),
    Case("llama.cpp", "an error: line in the middle", sse(words("Hi ")) + b'error: {"message": "context is full"}\n\n', "Hi ", error="broke off: context is full"),
    Case("LM Studio", "200 with a JSON error", b'{"error": "Unexpected endpoint or method. (POST /chat/completions)"}', error="answered 200 with an error: Unexpected endpoint.*try http://[^ ]+/v1", kind="application/json"),
    Case("Ollama", "200 with a web page", b"<!doctype html><html><head><title>Open WebUI</title></head><body>Loading</body></html>", error="answered 200 with HTML: 'Open WebUI Loading'.*try http://[^ ]+/v1", kind="text/html"),
    Case("Ollama", "200 with plain text", b"Ollama is running", error="answered 200 with no chat completion: 'Ollama is running'.*/v1", kind="text/plain"),
    Case("Gemini", "200 with a list of one error", b'[{"error": {"code": 400, "message": "bad model"}}]', error="bad model", kind="application/json"),
    Case("LiteLLM", "200 with FastAPI's detail", b'{"detail": "Not Found"}', error="answered 200 with an error: Not Found", kind="application/json"),
    Case("vLLM", "200 with nothing", b"", error="answered 200 with an empty body"),
    Case("llama.cpp", "comments only", b": keep-alive\n\n" * 3, error="answered 200 with no chat completion"),
    Case("Azure", "content_filter before the first word", sse(chunk({"role": "assistant"}), chunk({}, "content_filter"), DONE), error="withheld its answer .finish_reason content_filter."),
    Case("Azure", "content_filter in the middle", sse(words("Hi "), chunk({}, "content_filter"), DONE), "Hi ", error="cut its answer off .finish_reason content_filter."),
    Case("Gemini", "an empty reply", sse(chunk({"role": "assistant", "content": ""}), STOP, DONE), error="sent an empty answer .finish_reason stop."),
    Case("Groq", "an empty reply without a finish reason", sse('{"choices": []}', DONE), error="sent an empty answer .finish_reason missing."),
    Case("vLLM", "thoughts until max_tokens", sse(chunk({"reasoning_content": "hm"}), chunk({}, "length"), DONE), error="finish_reason length: raise max_tokens; it sent its thoughts only"),
    Case("Ollama", "<think> that never ends", sse(words("<think>hm"), STOP, DONE), error="thoughts only"),
    Case("Groq", "a body that ends in the middle", sse(words("Hi ")), "Hi ", error="broke off in the middle"),
    Case("Mistral", "an event that is not JSON", sse(words("Hi "), "{oops"), "Hi ", error="not JSON: '{oops'"),
    Case("Mistral", "an event that is a number", sse("42"), error="not an object: '42'"),
)  # fmt: skip

UNSTREAMED = (
    Case("llama.cpp", "a reply that is not streamed", whole({"content": "Hi there."}), "Hi there.", kind="application/json"),
    Case("Azure", "a reply with a call that is not streamed", whole({"content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ROME}}]}, "tool_calls"), calls=(weather(city="Rome"),), kind="application/json"),
    Case("LM Studio", "a reply on one line, as an event stream", json.dumps(json.loads(whole({"content": "Hi."}))).encode(), "Hi."),
    Case("Mistral", "content parts that are not streamed", whole({"content": [{"type": "text", "text": "Hi."}]}), "Hi.", kind="application/json"),
    Case("Gemini", "an empty reply that is not streamed", whole({"content": ""}), error="sent an empty answer .finish_reason stop.", kind="application/json"),
)  # fmt: skip

CASES = FRAMING + CONTENT + TOOL_CALLS + FAILURES + UNSTREAMED
