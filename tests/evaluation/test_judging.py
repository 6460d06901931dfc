"""Models that judge and play the caller, against a scripted server on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_server import DONE, ChatServer, serving, text

from runner.callers.call import CallRequest, make_call
from runner.callers.scenario import load_scenario
from runner.callers.scenario.steps import PlayPersona
from runner.errors import UsageError
from runner.evaluation import end_state, persona
from runner.evaluation.judge import Judgement, judge, read_judgement
from runner.evaluation.model import Model, ModelChoice

SAID = [("bot", "There is a table for two at ten."), ("caller", "I take it. Thank you!")]
TRANSCRIPT = "\n".join(f"{who}: {words}" for who, words in SAID)
SUPPORT = Path(__file__).parents[1] / "support"


def answer(**fields: str) -> list[bytes]:
    return [text(json.dumps(fields)), DONE]


async def test_each_rule_is_asked_and_answered_with_a_quotation() -> None:
    answers = (
        answer(answer="yes", quote="There is a table for two at ten."),
        answer(answer="no", quote="I take it."),
        answer(answer="unsure", quote=""),
    )
    async with serving(ChatServer(*answers)) as server:
        model = Model(ModelChoice(base_url=server.url, name="small"))
        try:
            found = await judge(model, ["a table", "the caller refuses", "the weather"], SAID)
        finally:
            await model.aclose()
    assert [each.answer for each in found] == ["yes", "no", "unsure"]
    assert [each.met for each in found] == [True, False, False]
    assert found[0].sentence == "a table – yes: “There is a table for two at ten.”"
    assert [asked["model"] for asked in server.asked] == ["small"] * 3
    assert TRANSCRIPT in server.asked[0]["messages"][1]["content"]
    assert server.asked[1]["messages"][1]["content"].endswith("Rule: the caller refuses")


@pytest.mark.parametrize(
    ("reply", "answered", "why"),
    [
        ('{"answer": "yes", "quote": "there is a TABLE for two"}', "yes", ""),
        ('Sure! ```json\n{"answer": "Yes", "quote": "bot: There is a table"}\n```', "yes", ""),
        (
            '{"answer": "yes", "quote": "There is a table for nine."}',
            "unsure",
            "nobody said what the judge quotes",
        ),
        ('{"answer": "yes", "quote": ""}', "unsure", "the judge quotes nothing"),
        ('{"answer": "no", "quote": ""}', "no", ""),
        ('{"answer": "perhaps", "quote": ""}', "unsure", "the judge answered 'perhaps'"),
        ("Yes, it does.", "unsure", "the judge's answer is not as asked for"),
        ("{not json}", "unsure", "the judge's answer is not as asked for"),
    ],
)
def test_a_judges_answer_counts_only_with_words_that_were_said(reply: str, answered: str, why: str) -> None:
    found = read_judgement("a table", reply, TRANSCRIPT)
    assert (found.answer, found.why) == (answered, why)
    assert isinstance(found, Judgement)


def test_another_machine_is_asked_only_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_MODEL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match=r"api\.openai\.com is not on this machine: set OPENAI_API_KEY"):
        Model(ModelChoice())
    with pytest.raises(UsageError, match=r"models\.example"):
        Model(ModelChoice(base_url="https://models.example/v1"))
    monkeypatch.setenv("OLLAMA_MODEL", "gemma")
    choice = ModelChoice().resolved()
    assert (choice.host, choice.name) == ("127.0.0.1:11434", "gemma")


def test_the_caller_is_asked_with_the_sides_changed() -> None:
    asked = persona.messages("Jo, in a hurry", "a table", SAID[:1])
    assert [message["role"] for message in asked] == ["system", "user"]
    assert "Jo, in a hurry" in asked[0]["content"]
    assert persona.messages("Jo", "a table", SAID)[-1]["content"] == "(the bot says nothing)"


@pytest.mark.parametrize(
    ("reply", "said", "hangs_up"),
    [
        ("A table, please.", "A table, please.", False),
        ("Caller: *Thank* you, goodbye.\nHANG UP", "Thank you, goodbye.", True),
        ("[HANG UP]", "", True),
    ],
)
def test_what_the_caller_says_is_spoken_without_markup(reply: str, said: str, hangs_up: bool) -> None:
    assert persona.read_turn(reply) == persona.Turn(said, hangs_up)


CHECKS = """
def booked(call):
    return None if call["conversation"] else "nobody spoke"

def empty():
    return False

async def broken():
    raise LookupError("no such booking")
"""


@pytest.mark.parametrize(
    ("name", "met", "sentence"),
    [
        ("booked", True, "booked is content"),
        ("empty", False, "empty: it is not so"),
        ("broken", False, "broken: no such booking"),
    ],
)
async def test_a_function_looks_at_the_end_state(name: str, met: bool, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text(CHECKS)
    found = await end_state.check(end_state.load(tmp_path / "checks.py", name), {"conversation": SAID})
    assert (found.met, found.sentence) == (met, sentence)


def test_a_function_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text("")
    with pytest.raises(UsageError, match=r"checks\.py has no function booked"):
        end_state.load(tmp_path / "checks.py", "booked")


SCENARIO = """
bot: my_bot.py
model: {{url: {url}, name: small}}
caller: {{persona: Jo, goal: a table for two, turns: 4}}
judge:
  - The bot finds a table.
end_state: checks.py:booked
"""

BOT = """
import sys
sys.path.insert(0, {support!r})
from replay_bots import ReplayBot

async def bot(runner_args):
    await ReplayBot()(runner_args)
"""


def test_a_scenario_names_caller_judge_and_end_state(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text(CHECKS)
    path = tmp_path / "table.yaml"
    path.write_text(SCENARIO.format(url="http://127.0.0.1:1/v1"))
    scenario = load_scenario(path)
    assert scenario.asks_a_model
    assert scenario.steps == (PlayPersona(persona="Jo", goal="a table for two", most_turns=4, line=4),)
    assert scenario.evaluation.rules == ("The bot finds a table.",)
    assert scenario.evaluation.end_state == (tmp_path / "checks.py", "booked")
    path.write_text("caller: {persona: Jo}")
    with pytest.raises(UsageError, match=r"table\.yaml:1: caller needs 'goal'"):
        load_scenario(path)


@pytest.mark.local
@pytest.mark.realtime
@pytest.mark.timeout(120)
async def test_a_model_plays_the_caller_of_a_real_bot(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text(CHECKS)
    (tmp_path / "my_bot.py").write_text(BOT.format(support=str(SUPPORT)))
    answers = (
        [text("A table for two, please."), DONE],
        [text("Perfect, goodbye.\nHANG UP"), DONE],
        answer(answer="yes", quote="There is a table for two."),
    )
    async with serving(ChatServer(*answers)) as server:
        (tmp_path / "table.yaml").write_text(SCENARIO.format(url=server.url))
        scenario = load_scenario(tmp_path / "table.yaml")
        request = CallRequest(provider="twilio", file=str(tmp_path / "my_bot.py"), scenario=scenario)
        result = await make_call(request)
    assert [outcome.sentence for outcome in result.outcomes] == [
        "The bot finds a table. – yes: “There is a table for two.”",
        "booked is content",
    ]
    assert result.met
    heard = [message["content"] for message in server.asked[1]["messages"] if message["role"] == "user"]
    assert any("table for two" in words for words in heard)
    assert [line.text for line in result.lines if line.who == "caller"] == [
        "A table for two, please.",
        "Perfect, goodbye.",
    ]
