"""Scenario files of Pipecat's evals, read as they are: their turns as steps, their criteria for a judge.

What the phone cannot see or do (images, markers of the model, another context) is refused with its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from runner.callers.scenario.reader import Reader, read_yaml
from runner.callers.scenario.steps import (
    Evaluation,
    Expect,
    PlayPersona,
    Press,
    Say,
    Scenario,
    SpeakOver,
    Step,
    WaitForSilence,
)

MARKS = frozenset({"scenarios", "turns", "persona"})
"""Keys by which a file is one of Pipecat's."""

OLLAMA_URL = "http://127.0.0.1:11434/v1"
_SERVERS = {"ollama": OLLAMA_URL, "openai": "https://api.openai.com/v1"}
_ANSWERS = frozenset({"response", "llm_response", "tts_response"})
_ORDER_ONLY = frozenset(
    {
        *("user_started_speaking", "user_stopped_speaking", "vad_user_started_speaking"),
        *("vad_user_stopped_speaking", "bot_started_speaking", "bot_stopped_speaking", "llm_started"),
        *("function_call_stopped", "bot_backchannel", "user_backchannel"),
    }
)
"""Events that come in any conversation; they are not waited for."""

STOPS_WITHIN_S = 3.0

Fields = dict[str, Reader]


def is_pipecats(root: Reader) -> bool:
    """Whether this file is one of Pipecat's evals."""
    if not root.is_mapping:
        return False
    return bool(MARKS & {key.text("a name") for key, _ in root.items("a scenario")})


def scenarios_of(root: Reader) -> dict[str, Scenario]:
    """The file's scenarios by name."""
    top = _fields(root)
    shared = {name: value for name, value in top.items() if name not in ("scenarios", "name")}
    entries = (
        [_fields(entry) for entry in top["scenarios"].list("scenarios")] if "scenarios" in top else [top]
    )
    found: dict[str, Scenario] = {}
    for fields in entries:
        name = fields["name"].text("name") if "name" in fields else root.path.stem
        found[name] = _scenario(root, name, {**shared, **fields})
    return found


def _scenario(root: Reader, name: str, fields: Fields) -> Scenario:
    if "context" in fields:
        fields["context"].fail("context cannot be given to a bot over the phone: give it with --body")
    steps: list[Step] = []
    rules: list[str] = []
    if "persona" in fields:
        steps.append(_persona(root, fields))
        rules += [fields["success"].text("success")] if "success" in fields else []
    elif "turns" in fields:
        for turn in fields["turns"].list("turns"):
            steps += _turn(turn, rules)
    else:
        root.fail(f"{name} has neither turns nor a persona")
    return Scenario(
        name=name,
        about="a scenario of Pipecat's evals",
        path=root.path,
        steps=tuple(steps),
        evaluation=_evaluation(fields, tuple(rules)),
    )


def _persona(root: Reader, fields: Fields) -> PlayPersona:
    if "goal" not in fields:
        root.fail("a persona needs a goal")
    turns = fields["max_turns"].count("max_turns", 1, 100) if "max_turns" in fields else 12
    goal, persona = fields["goal"].text("goal"), fields["persona"]
    return PlayPersona(persona=persona.text("persona"), goal=goal, most_turns=turns, line=persona.line)


def _evaluation(fields: Fields, rules: tuple[str, ...]) -> Evaluation:
    judge = _fields(fields["judge"]) if "judge" in fields else {}
    model = _fields(judge["eval"]) if "eval" in judge else {}
    service = model["service"].text("service") if "service" in model else ""
    endpoint = next((model[key].text(key) for key in ("endpoint", "base_url", "url") if key in model), "")
    return Evaluation(
        rules=rules,
        base_url=endpoint or _SERVERS.get(service, ""),
        model=model["model"].text("model") if "model" in model else "",
    )


# ------------------------------------------------------------------ turns


def _turn(at: Reader, rules: list[str]) -> Iterator[Step]:
    fields = _fields(at)
    said = fields["user"].text("user") if "user" in fields else ""
    if said and "send_after" in fields:
        delay = _fields(fields["send_after"]).get("delay_ms")
        after_s = delay.number("delay_ms", 0, 600_000) / 1000 if delay is not None else 0.7
        yield SpeakOver(text=said, after_s=after_s, line=at.line)
    elif said:
        yield WaitForSilence(line=at.line)
        yield Say(text=said, line=at.line)
    if "dtmf" in fields:
        yield WaitForSilence(line=at.line)
        yield Press(keys=fields["dtmf"].text("dtmf").upper(), line=at.line)
    if not said and "dtmf" not in fields:
        yield WaitForSilence(line=at.line)
    for expected in fields["expect"].list("expect") if "expect" in fields else ():
        yield from _expect(expected, said, rules)


def _expect(at: Reader, said: str, rules: list[str]) -> Iterator[Step]:
    fields = _fields(at)
    if "event" not in fields:
        at.fail("an expectation needs an event")
    event = fields["event"].text("event")
    within_s = fields["within_ms"].number("within_ms", 1, 3_600_000) / 1000 if "within_ms" in fields else None
    waits: dict[str, Any] = {} if within_s is None else {"within_s": within_s}
    contains = fields["text_contains"].text("text_contains") if "text_contains" in fields else ""
    for refused in ("text_excludes", "marker", "markers", "marker_first", "text_after"):
        if refused in fields:
            _refuse(fields[refused], refused)
    if "eval" in fields:
        criterion = fields["eval"].text("eval")
        rules.append(f"When the caller says “{said}”, {criterion}" if said else f"At first, {criterion}")
    if event in _ANSWERS:
        answer: dict[str, Any] = {"answer_within_s": within_s} if within_s is not None and said else {}
        yield Expect(words=(contains,) if contains else (), line=at.line, **waits, **answer)
    elif event == "user_transcription":
        yield Expect(understood=(contains,) if contains else (), line=at.line, **waits)
    elif event == "function_call":
        yield Expect(tools=tuple(_names(fields)), line=at.line, **waits)
    elif event == "bot_interrupted":
        yield Expect(stops_within_s=STOPS_WITHIN_S, line=at.line)
    elif event not in _ORDER_ONLY:
        _refuse(fields["event"], f"the event {event}")


def _names(fields: Fields) -> Iterator[str]:
    for call in fields["calls"].list("calls") if "calls" in fields else ():
        named = _fields(call)
        if "name" not in named:
            call.fail("a call needs a name")
        yield named["name"].text("name")


def _refuse(at: Reader, what: str) -> NoReturn:
    at.fail(f"{what} cannot be checked over the phone")


def _fields(at: Reader) -> Fields:
    """A mapping's values; `!include FILE` is read from that file."""
    if at.node.tag == "!include":
        return _fields(read_yaml(at.path.parent / at.text("!include")))
    return {key.text("a name"): value for key, value in at.items("a mapping")}
