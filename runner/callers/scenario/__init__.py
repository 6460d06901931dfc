"""Scenarios: a caller's script in YAML, checked before the phone rings.

about: Interrupts after a second.
line: {noise: 20, loss: 2}
steps:
  - wait_for_silence
  - say: Tell me a joke.
  - expect: {understood: tell me a joke}
  - interrupt: {after: 700ms, say: Stop!}
  - press: "1#"
  - expect: {answer_within: 2s, stops_within: 500ms}
  - hang_up
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from runner.callers.scenario import pipecat_evals
from runner.callers.scenario.reader import Reader, read_yaml
from runner.callers.scenario.steps import (
    USUAL_SPEED,
    Beep,
    Evaluation,
    Expect,
    HangUp,
    PlayPersona,
    PlayWav,
    Press,
    Say,
    Scenario,
    SpeakOver,
    StaySilent,
    Step,
    Wait,
    WaitForSilence,
)
from runner.callers.sound.line import Line
from runner.errors import UsageError
from runner.settings.parsing import did_you_mean

KEYS = frozenset("0123456789*#ABCD")

_LINE_FIELDS: dict[str, tuple[str, Callable[[Reader, str], Any]]] = {
    "noise": ("noise_db", lambda at, what: at.number(what, -20, 80)),
    "loss": ("loss_pct", lambda at, what: at.number(what, 0, 100)),
    "jitter": ("jitter_ms", lambda at, what: at.duration_s(what, most_s=2) * 1000),
    "bad_mic": ("bad_mic", Reader.boolean),
    "lose_marks": ("lose_marks", Reader.boolean),
    "wrong_codec": ("wrong_codec", Reader.boolean),
    "seed": ("seed", lambda at, what: at.count(what, 0, 2**31)),
}

_EXPECT_FIELDS: dict[str, tuple[str, Callable[[Reader, str], Any]]] = {
    "words": ("words", Reader.texts),
    "understood": ("understood", lambda at, what: at.texts(what, empty=True)),
    "tools": ("tools", Reader.texts),
    "greeting_within": ("greeting_within_s", Reader.duration_s),
    "answer_within": ("answer_within_s", Reader.duration_s),
    "stops_within": ("stops_within_s", Reader.duration_s),
    "keeps_talking": ("keeps_talking", Reader.boolean),
    "hangs_up": ("hangs_up", Reader.boolean),
    "keys": ("keys", lambda at, what: _keys(at)),
    "violations": ("violations", lambda at, what: at.count(what, 0, 10**6)),
    "underruns": ("underruns", lambda at, what: at.count(what, 0, 10**6)),
    "within": ("within_s", Reader.duration_s),
}


def shipped() -> dict[str, Path]:
    """The built-in scenarios, by name."""
    folder = Path(str(resources.files("runner.callers").joinpath("scenarios")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_scenario(name: str) -> Scenario:
    """A built-in scenario, by name, or one from a file.

    Raises:
        UsageError: it does not exist, or is not valid; the message has file and line.
    """
    if name in shipped():
        return load_scenario(shipped()[name])
    file, _, one = name.rpartition(":")
    if file.endswith((".yaml", ".yml")):
        return load_scenario(Path(file), one)
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return load_scenario(Path(name))
    known = list(shipped())
    raise UsageError(
        f"--scenario: there is no {name!r}{did_you_mean(name, known)} ({', '.join(known)}; or a .yaml file)"
    )


def load_scenario(path: Path, name: str = "") -> Scenario:
    """Read and check a file: ours, or one of Pipecat's evals, which may hold several scenarios; `name` is the
    one that is meant. Raises `UsageError` with file and line."""
    root = read_yaml(path)
    if pipecat_evals.is_pipecats(root):
        return _one_of(root, pipecat_evals.scenarios_of(root), name)
    fields = root.fields("a scenario", _FIELDS)
    if "steps" not in fields and "caller" not in fields:
        root.fail("a scenario needs steps, or a caller with a persona and a goal")
    steps = fields["steps"].list("steps") if "steps" in fields else []
    if not steps and "caller" not in fields:
        fields["steps"].fail("a scenario needs at least one step")
    return Scenario(
        name=path.stem,
        about=fields["about"].text("about") if "about" in fields else "",
        path=path,
        bot=path.parent / fields["bot"].text("bot") if "bot" in fields else None,
        transport=fields["transport"].text("transport") if "transport" in fields else "",
        line=_line(fields["line"]) if "line" in fields else None,
        parameters=_parameters(fields["parameters"]) if "parameters" in fields else (),
        steps=(*map(_step, steps), *([_persona(fields["caller"])] if "caller" in fields else [])),
        evaluation=_evaluation(fields),
    )


def _one_of(root: Reader, found: dict[str, Scenario], name: str) -> Scenario:
    if not name and len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        names = ", ".join(found)
        example = f"{root.path}:{next(iter(found), 'name')}"
        root.fail(f"the file has the scenarios {names}: name one, as in {example}")
    return found[name]


_FIELDS = (
    *("about", "bot", "transport", "line", "parameters", "steps"),
    *("caller", "judge", "model", "end_state"),
)


def _persona(at: Reader) -> PlayPersona:
    fields = at.fields("caller", ("persona", "goal", "turns"))
    return PlayPersona(
        persona=_needed(at, fields, "persona", "caller"),
        goal=_needed(at, fields, "goal", "caller"),
        most_turns=fields["turns"].count("turns", 1, 100) if "turns" in fields else 12,
        line=at.line,
    )


def _evaluation(fields: dict[str, Reader]) -> Evaluation:
    model = fields["model"].fields("model", ("url", "name")) if "model" in fields else {}
    return Evaluation(
        rules=fields["judge"].texts("judge") if "judge" in fields else (),
        base_url=model["url"].text("url") if "url" in model else "",
        model=model["name"].text("name") if "name" in model else "",
        end_state=_function(fields["end_state"]) if "end_state" in fields else None,
    )


def _function(at: Reader) -> tuple[Path, str]:
    file, colon, name = at.text("end_state").rpartition(":")
    if not colon or not name.isidentifier():
        at.fail("end_state must be a file and a function, as in checks.py:booked")
    path = at.path.parent / file
    if not path.is_file():
        at.fail(f"there is no file {path}")
    return path, name


def _line(at: Reader) -> Line:
    return Line(**_read(at, "line", _LINE_FIELDS))


def _parameters(at: Reader) -> tuple[tuple[str, str], ...]:
    pairs = at.items("parameters")
    return tuple((name.text("a parameter"), value.text("a parameter")) for name, value in pairs)


def _read(
    at: Reader, what: str, table: dict[str, tuple[str, Callable[[Reader, str], Any]]]
) -> dict[str, Any]:
    fields = at.fields(what, table)
    return {table[name][0]: table[name][1](value, name) for name, value in fields.items()}


def _step(at: Reader) -> Step:
    """A step: `name`, or `name: value`."""
    if at.is_mapping:
        pairs = list(at.items("a step"))
        if len(pairs) != 1:
            at.fail("a step is one thing: begin each with its own dash")
        name_at, value = pairs[0]
    else:
        name_at, value = at, None
    name = name_at.text("a step")
    make = _STEPS.get(name)
    if make is None:
        name_at.fail(f"there is no step {name!r}{did_you_mean(name, list(_STEPS))} ({', '.join(_STEPS)})")
    if value is not None and value.is_empty:
        value = None
    if value is None and name not in _ALONE:
        name_at.fail(f"{name} needs a value, as in `{name}: …`")
    return make(value, name_at.line)


_Given = Reader | None


def _say(at: _Given, line: int) -> Step:
    assert at is not None
    if not at.is_mapping:
        return Say(text=at.text("say"), line=line)
    fields = at.fields("say", ("text", "speed"))
    return Say(text=_needed(at, fields, "text", "say"), speed=_speed(fields), line=line)


def _wav(at: _Given, line: int) -> Step:
    assert at is not None
    return PlayWav(path=_file(at, "wav"), line=line)


def _file(at: Reader, what: str) -> Path:
    path = at.path.parent / at.text(what)
    if not path.is_file():
        at.fail(f"there is no file {path}")
    return path


def _wait_for_silence(at: _Given, line: int) -> Step:
    if at is None:
        return WaitForSilence(line=line)
    if not at.is_mapping:
        return WaitForSilence(quiet_s=at.duration_s("wait_for_silence"), line=line)
    table: dict[str, tuple[str, Callable[[Reader, str], Any]]] = {
        "for": ("quiet_s", Reader.duration_s),
        "at_most": ("at_most_s", Reader.duration_s),
    }
    return WaitForSilence(**_read(at, "wait_for_silence", table), line=line)


def _over(murmur: bool) -> Callable[[_Given, int], Step]:
    def make(at: _Given, line: int) -> Step:
        assert at is not None
        name = "murmur" if murmur else "interrupt"
        if not at.is_mapping:
            return SpeakOver(text=at.text(name), murmur=murmur, line=line)
        fields = at.fields(name, ("after", "say", "wav", "speed"))
        after: dict[str, Any] = {"after_s": fields["after"].duration_s("after")} if "after" in fields else {}
        if "wav" in fields:
            return SpeakOver(path=_file(fields["wav"], "wav"), murmur=murmur, line=line, **after)
        text = _needed(at, fields, "say", name)
        return SpeakOver(text=text, murmur=murmur, speed=_speed(fields), line=line, **after)

    return make


def _hang_up(at: _Given, line: int) -> Step:
    if at is None:
        return HangUp(line=line)
    fields = at.fields("hang_up", ("while_saying", "after"))
    after = {"after_s": fields["after"].duration_s("after")} if "after" in fields else {}
    return HangUp(text=_needed(at, fields, "while_saying", "hang_up"), line=line, **after)


def _expect(at: _Given, line: int) -> Step:
    assert at is not None
    return Expect(**_read(at, "expect", _EXPECT_FIELDS), line=line)


def _seconds(kind: Callable[..., Step], name: str) -> Callable[[_Given, int], Step]:
    def make(at: _Given, line: int) -> Step:
        assert at is not None
        return kind(seconds=at.duration_s(name), line=line)

    return make


def _press(at: _Given, line: int) -> Step:
    assert at is not None
    return Press(keys=_keys(at), line=line)


def _keys(at: Reader) -> str:
    keys = at.text("keys").upper()
    if not set(keys) <= KEYS:
        at.fail(f"{keys!r} are not phone keys (0-9 * # A-D)")
    return keys


def _needed(at: Reader, fields: dict[str, Reader], name: str, what: str) -> str:
    if name not in fields:
        at.fail(f"{what} needs {name!r}")
    return fields[name].text(name)


def _speed(fields: dict[str, Reader]) -> int:
    return fields["speed"].count("speed", 80, 450) if "speed" in fields else USUAL_SPEED


_STEPS: dict[str, Callable[[_Given, int], Step]] = {
    "say": _say,
    "wav": _wav,
    "beep": _seconds(Beep, "beep"),
    "wait": _seconds(Wait, "wait"),
    "wait_for_silence": _wait_for_silence,
    "press": _press,
    "interrupt": _over(murmur=False),
    "murmur": _over(murmur=True),
    "stay_silent": _seconds(StaySilent, "stay_silent"),
    "hang_up": _hang_up,
    "expect": _expect,
}
_ALONE = frozenset({"wait_for_silence", "hang_up"})
