"""The streamed answer of an OpenAI-compatible chat server: bytes in, text and tool calls out. Pure.

The form is that of PyPI's `openai` 3.54.0: `types/chat/chat_completion_chunk.py` (a `delta` of a choice holds
`content`, `refusal` and `tool_calls`; `choices` may be empty) and `_streaming.py` (events of JSON, an `error`
object among them, `data: [DONE]` at the end). `tests/services/model_server_streams.py` lists what other
servers do differently, with the expected results.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.errors import ServiceError
from runner.frames import FunctionCall
from runner.services.common.failures import EmptyAnswer, own_words
from runner.services.tools.call import CallPieces, pieces_in

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Maximum size of an answer that is not an event stream."""

QUOTED_CHARS = 80

_PINGS = frozenset({"ping", "heartbeat", "keepalive", "keep-alive"})
_NO_REASON = frozenset({"", "null", "none"})


class ChatStream:
    """One answer. Raises `ServiceError` for errors inside the answer, and if it is not an answer.

    Args:
        service: the server's name, for errors.
        hint: what to try if the answer is not a chat completion.

    Attributes:
        content: number of pieces with content so far (text, thoughts, tool calls, the finish reason).
        done: whether the server has marked the end.
        finish_reason: why the model ended; empty until it is known.
    """

    def __init__(self, service: str = "the server", hint: str = "") -> None:
        self.content = 0
        self.done = False
        self.finish_reason = ""
        self._service = service
        self._hint = hint
        self._reader = EventReader()
        self._calls = CallPieces()
        self._thoughts = Thoughts()
        self._half = ""
        self._plain = bytearray()
        self._is_stream = False
        self._spoke = False
        self._thought = False

    @property
    def complete(self) -> bool:
        """Whether the answer may end here."""
        return self.done or bool(self.finish_reason)

    def feed(self, data: bytes) -> Iterator[str]:
        """Add bytes of the body; yields the text in them."""
        if not self._is_stream:
            self._plain += data
            if len(self._plain) > MAX_BODY_BYTES:
                raise ServiceError(f"{self._service} sent {MAX_BODY_BYTES} bytes that are no event stream")
        yield from self._take(self._reader.feed(data))

    def close(self) -> Iterator[str]:
        """The body has ended; yields the last text. Raises `ServiceError` if the answer is incomplete, and
        `EmptyAnswer` if it has no content."""
        yield from self._take(self._reader.close())
        if not self._is_stream:
            yield from self._spoken(self._plain_answer())
        yield from self._spoken(self._thoughts.close())
        if not self.complete:
            raise ServiceError(f"{self._service} broke off in the middle of its answer")
        if self.finish_reason == "content_filter":
            kind = ServiceError if self._spoke else EmptyAnswer
            what = "cut its answer off" if self._spoke else "withheld its answer"
            raise kind(f"{self._service} {what} (finish_reason content_filter)")
        if not self._spoke and not self.calls():
            raise EmptyAnswer(f"{self._service} sent an empty answer ({self._why_empty()})")

    def calls(self) -> list[FunctionCall]:
        """The model's tool calls, once the answer is complete."""
        return self._calls.calls()

    # ------------------------------------------------------------ events

    def _take(self, found: Sequence[Event | IgnoredLine]) -> Iterator[str]:
        for item in found:
            yield from self._spoken(self._line(item) if isinstance(item, IgnoredLine) else self._event(item))

    def _spoken(self, text: str) -> Iterator[str]:
        if text:
            self._spoke = self._spoke or bool(text.strip())
            yield text

    def _line(self, line: IgnoredLine) -> str:
        name, _, rest = line.text.partition(":")
        if name.strip().lower() == "error" and rest.strip():
            raise self._failure(rest)
        if line.text.startswith("{") and (chunk := _object_in(line.text)):
            return self._chunk(chunk, line.text)  # JSON lines without `data:`
        return ""

    def _event(self, event: Event) -> str:
        data = event.data.strip()
        if not data or event.kind.lower() in _PINGS:
            return ""
        if data.strip('"').upper() == "[DONE]":
            self._is_stream = self.done = True
            return ""
        if event.kind == "error":
            raise self._failure(data)
        return "".join(self._chunk(chunk, data) for chunk in self._chunks(data))

    def _chunks(self, data: str) -> list[Mapping[str, Any]]:
        try:
            values = [json.loads(data, strict=False)]
        except (ValueError, RecursionError):
            # Some servers forget the blank line between two events.
            values = [_object_in(line) for line in data.split("\n") if line.strip()]
            if len(values) < 2 or None in values:
                words = own_words(data)[:QUOTED_CHARS]
                raise ServiceError(f"{self._service} sent an event that is not JSON: {words!r}") from None
        if isinstance(values[0], list) and values[0] and isinstance(values[0][0], Mapping):
            values = values[0]
        for value in values:
            if not isinstance(value, Mapping):
                words = own_words(data)[:QUOTED_CHARS]
                raise ServiceError(f"{self._service} sent an event that is not an object: {words!r}")
        return values

    def _chunk(self, chunk: Mapping[str, Any], raw: str) -> str:
        if error := _error_in(chunk):
            raise self._failure(error)
        self._is_stream = True
        self._plain.clear()
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else choices
        if not isinstance(choice, Mapping) or choice.get("index") not in (0, None):
            return ""
        text = self._choice(choice)
        reason = str(choice.get("finish_reason") or "").lower()
        if reason not in _NO_REASON:
            self.content += not self.finish_reason
            self.finish_reason = reason
        if reason == "error" or choice.get("error"):
            raise self._failure(json.dumps(choice.get("error") or raw))
        return text

    def _choice(self, choice: Mapping[str, Any]) -> str:
        delta = choice.get("delta")
        if isinstance(delta, Mapping) and delta:
            return self._delta(delta)
        message = choice.get("message")
        if isinstance(message, Mapping) and not self._spoke and not self._calls.calls():
            self.finish_reason = self.finish_reason or "stop"
            return self._delta(message)
        text = choice.get("text")
        return self._delta({"content": text}) if isinstance(text, str) else ""

    def _delta(self, delta: Mapping[str, Any]) -> str:
        for piece in pieces_in(delta.get("tool_calls")):
            self.content += 1
            self._calls.add(piece)
        if isinstance(old := delta.get("function_call"), Mapping):
            self.content += 1
            self._calls.add({"index": 0, "function": old})
        if _text_of(delta.get("reasoning_content") or delta.get("reasoning")):
            self.content += 1
            self._thought = True
        content = delta.get("content")
        text = _text_of(content) or _text_of(delta.get("refusal"))
        if text or content:
            self.content += 1
        return self._thoughts.feed(self._whole(text))

    def _whole(self, text: str) -> str:
        """The text without halves of characters: some servers send an emoji as two escapes in two events."""
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        text = text[: len(text) - len(self._half)]
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _failure(self, words: str) -> ServiceError:
        if self._is_stream:
            return ServiceError(f"{self._service} broke off: {own_words(words)}")
        return ServiceError(f"{self._service} answered 200 with an error: {own_words(words)}{self._hint}")

    def _why_empty(self) -> str:
        reason = f"finish_reason {self.finish_reason or 'missing'}"
        if self.finish_reason == "length":
            reason += ": raise max_tokens"
        if self._thought or self._thoughts.unfinished:
            reason += "; it sent its thoughts only"
        return reason

    # ------------------------------------------------------------ an answer that is not a stream

    def _plain_answer(self) -> str:
        body = bytes(self._plain).decode("utf-8-sig", "replace").strip()
        if not body:
            raise ServiceError(f"{self._service} answered 200 with an empty body{self._hint}")
        answer = _json_in(body)
        if isinstance(answer, list) and answer:
            answer = answer[0]
        if isinstance(answer, Mapping) and (error := _error_in(answer)):
            raise self._failure(error)
        if isinstance(answer, Mapping) and answer.get("choices"):
            return self._chunk(answer, body)
        kind = "HTML" if body.lower().startswith(("<!doctype html", "<html")) else "no chat completion"
        words = own_words(_without_tags(body) if kind == "HTML" else body)[:QUOTED_CHARS]
        raise ServiceError(f"{self._service} answered 200 with {kind}: {words!r}{self._hint}")


class Thoughts:
    """Removes a model's thoughts in `<think>` at the beginning of its answer."""

    _MARKS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))

    def __init__(self) -> None:
        self._held = ""
        self._open = True

    @property
    def unfinished(self) -> bool:
        """Whether it holds back text that may be thoughts."""
        return bool(self._held)

    def feed(self, text: str) -> str:
        """The part of the text for the user."""
        if not self._open:
            return text
        self._held += text
        begin = self._held.lstrip()
        for opening, closing in self._MARKS:
            if begin.startswith(opening):
                _, end, rest = begin.partition(closing)
                return self._release(rest.lstrip()) if end else ""
            if opening.startswith(begin):
                return ""
        return self._release(self._held)

    def close(self) -> str:
        """The answer has ended: what looked like the beginning of a mark, and was none."""
        begin = self._held.lstrip()
        is_thought = any(begin.startswith(opening) for opening, _ in self._MARKS)
        return "" if is_thought else self._release(self._held)

    def _release(self, text: str) -> str:
        self._open, self._held = False, ""
        return text


def _text_of(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts, of which only `text` is spoken."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        text = content.get("text") if content.get("type", "text") in ("text", "output_text") else ""
        return text if isinstance(text, str) else ""
    if isinstance(content, list):
        return "".join(_text_of(part) for part in content)
    return ""


def _error_in(answer: Mapping[str, Any]) -> str:
    """The error object in an answer, as JSON; "" if there is none."""
    error = answer.get("error")
    if error:
        return json.dumps(error)
    if answer.get("object") == "error" or answer.get("type") == "error":
        return json.dumps(answer)
    says = answer.get("message") or answer.get("detail") or answer.get("msg")
    is_chunk = "choices" in answer or "usage" in answer
    return json.dumps(answer) if says and not is_chunk else ""


def _json_in(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _object_in(text: str) -> Mapping[str, Any] | None:
    value = _json_in(text)
    return value if isinstance(value, dict) else None


def _without_tags(html: str) -> str:
    body = re.sub(r"(?is)<(script|style)\b.*?</\1>|<!--.*?-->", " ", html)
    return re.sub(r"<[^>]*>", " ", body).strip() or html


MAX_EVENT_CHARS = 8 * 1024 * 1024

_LINE_END = re.compile(r"\r\n|\n|\r")
_SILENT_FIELDS = frozenset({"id", "retry"})


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `kind` is its `event` field, "message" without one."""

    data: str
    kind: str = "message"


@dataclass(frozen=True, slots=True)
class IgnoredLine:
    """A line that is neither a comment nor has a field of the standard."""

    text: str


class EventReader:
    """Reads a stream of server-sent events, split at any byte. Raises `ServiceError` if an event is too
    large.

    It follows the WHATWG's rules (HTML, 9.2.6 "Interpreting an event stream"), with two additions: `close`
    returns an event that the end of the body cuts off, since some servers omit the last blank line; a line
    whose field the standard ignores is returned as `IgnoredLine`, to be quoted if the answer is no event
    stream.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True
        self._after_cr = False
        self._line: list[str] = []
        self._data: list[str] = []
        self._kind = ""
        self._chars = 0

    def feed(self, data: bytes) -> list[Event | IgnoredLine]:
        """Add bytes; returns what is complete now, in order."""
        return self._read(self._decoder.decode(data))

    def close(self) -> list[Event | IgnoredLine]:
        """The body has ended: returns what was incomplete."""
        found = self._read(self._decoder.decode(b"", final=True))
        if self._line:
            found += self._read("\n")
        return found + self._dispatch()

    def _read(self, text: str) -> list[Event | IgnoredLine]:
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        found: list[Event | IgnoredLine] = []
        start = 0
        for end in _LINE_END.finditer(text):
            self._line.append(text[start : end.start()])
            line = "".join(self._line)
            self._line.clear()
            found += self._take_line(line)
            start = end.end()
        self._after_cr = text.endswith("\r")
        if start < len(text):
            self._line.append(text[start:])
            self._count(len(text) - start)
        return found

    def _take_line(self, line: str) -> list[Event | IgnoredLine]:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._count(len(value))
        elif name == "event":
            self._kind = value
        elif name and name not in _SILENT_FIELDS:
            return [IgnoredLine(line)]
        return []

    def _dispatch(self) -> list[Event | IgnoredLine]:
        data, kind = self._data, self._kind
        self._data, self._kind, self._chars = [], "", 0
        return [Event("\n".join(data), kind or "message")] if data else []

    def _count(self, chars: int) -> None:
        self._chars += chars
        if self._chars > MAX_EVENT_CHARS:
            raise ServiceError(f"one event of the answer is larger than {MAX_EVENT_CHARS} characters")
