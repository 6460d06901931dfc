"""A judge asks a model about a conversation: yes, no or unsure, and the sentence that decides.

A quotation that nobody said makes the answer unsure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from runner.evaluation.model import Model
from runner.turns.segments import words_of

ANSWERS = ("yes", "no", "unsure")

_ASK = """You judge a phone call between a caller and a voice bot. You are given the transcript and one rule.
Say whether the rule holds, by the transcript alone.
Answer with one JSON object and nothing else: {"answer": "yes", "no" or "unsure", "quote": "the one sentence
of the transcript that decides, word for word, or an empty text if nothing was said about it"}."""

_OBJECT = re.compile(r"\{.*\}", re.DOTALL)

Spoken = tuple[str, str]
"""Who, "caller" or "bot", and what they said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a judge says of a rule; `why`: for people, if the answer is not the model's own."""

    rule: str
    answer: str
    quote: str = ""
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether the rule holds for certain."""
        return self.answer == "yes"

    @property
    def sentence(self) -> str:
        """For people."""
        quoted = f": “{self.quote}”" if self.quote else ""
        return f"{self.rule} – {self.answer}{quoted}" + (f" ({self.why})" if self.why else "")


async def judge(model: Model, rules: Sequence[str], conversation: Sequence[Spoken]) -> list[Judgement]:
    """Judge each rule.

    Raises:
        ServiceError: the model does not answer.
    """
    transcript = "\n".join(f"{who}: {text}" for who, text in conversation) or "(nobody said anything)"
    found = []
    for rule in rules:
        asked = [
            {"role": "system", "content": _ASK},
            {"role": "user", "content": f"Transcript:\n{transcript}\n\nRule: {rule}"},
        ]
        found.append(read_judgement(rule, await model.ask(asked), transcript))
    return found


def read_judgement(rule: str, text: str, transcript: str) -> Judgement:
    """What the model's answer means; unsure if it is none, or quotes what nobody said."""
    matched = _OBJECT.search(text)
    try:
        fields = json.loads(matched[0]) if matched else None
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return Judgement(rule=rule, answer="unsure", why="the judge's answer is not as asked for")
    answer = str(fields.get("answer", "")).strip().lower()
    quote = re.sub(r"^(caller|bot):\s*", "", str(fields.get("quote") or "").strip())
    if answer not in ANSWERS:
        return Judgement(rule=rule, answer="unsure", why=f"the judge answered {answer[:20]!r}")
    if quote and not _occurs(quote, transcript):
        return Judgement(rule=rule, answer="unsure", quote=quote, why="nobody said what the judge quotes")
    if answer == "yes" and not quote:
        return Judgement(rule=rule, answer="unsure", why="the judge quotes nothing")
    return Judgement(rule=rule, answer=answer, quote=quote)


def _occurs(quote: str, transcript: str) -> bool:
    wanted, said = words_of(quote), words_of(transcript)
    return bool(wanted) and f" {' '.join(wanted)} " in f" {' '.join(said)} "
