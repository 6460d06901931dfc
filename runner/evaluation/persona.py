"""What a model that plays the caller is asked, and what its answer means. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

HANG_UP = "HANG UP"

_ASK = """You play a person who phones a voice bot. You are the caller, never the bot.
Who you are: {persona}
What you want: {goal}
Each time, answer with the words that you say next, as one speaks on the phone: one or two short sentences, no
markup, nothing but the words. Do not give everything away at once; answer what you are asked. When your goal
is reached, or cannot be, say goodbye and add {hang_up} on a line of its own."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the caller says next, and whether they hang up then."""

    text: str
    hangs_up: bool


def messages(persona: str, goal: str, conversation: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """The request for the caller's next words; `conversation` has who ("caller", "bot") and what."""
    asked = [{"role": "system", "content": _ASK.format(persona=persona, goal=goal, hang_up=HANG_UP)}]
    for who, text in conversation:
        asked.append({"role": "assistant" if who == "caller" else "user", "content": text})
    if asked[-1]["role"] != "user":
        asked.append({"role": "user", "content": "(the bot says nothing)"})
    return asked


def read_turn(text: str) -> Turn:
    """What the model's answer means."""
    said = re.sub(rf"\(?\[?\b{HANG_UP}\b\]?\)?\.?", "", text, flags=re.IGNORECASE)
    said = re.sub(r"^(caller|me):\s*", "", said.strip(), flags=re.IGNORECASE)
    plain = " ".join(re.sub(r"[*_#`]", "", said).split())
    return Turn(plain, HANG_UP.lower() in text.lower())
