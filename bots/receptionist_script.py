"""The receptionist without a model: a small script that calls the same tools. Pure.

Like a model it is given all messages and answers with words or with a call; it keeps nothing to itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from runner.frames import FunctionCall
from runner.services.local.dialogue import Answer, answer

CALLER = "Guest"
"""The local ears know no names: all who are served by the script have this one."""

HELP = (
    "You can book, move or cancel an appointment, ask for free times and opening hours, or leave a message. "
    "Say, for example: I would like to book an appointment for tomorrow at ten."
)

_HOURS = {
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "one": 13, "two": 14, "three": 15, "four": 16,
}  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_HOUR = "|".join(_HOURS)
_WORDS_OF_TIME = re.compile(
    rf"\bhalf past (?P<half>{_HOUR})\b|\b(?P<hour>{_HOUR})\b(?P<thirty> thirty)?|\b(?P<h>\d\d?):(?P<m>\d\d)\b"
)
_INTENTS = {
    "cancel": r"\bcancel\b",
    "move": r"\b(?:move|change|reschedule)\b",
    "mine": r"\bwhen is my\b|\bmy appointment\b",
    "free": r"\bfree\b|\bwhat times\b|\bavailable\b",
    "hours": r"\bopen(?:ing)?\b|\bhours\b",
    "message": r"\bmessage\b",
    "person": r"\b(?:person|someone|somebody|human)\b",
    "book": r"\bbook\b|\bappointment\b",
    "help": r"\bhelp\b|\bcan you do\b",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller wants, as far as it is known."""

    intent: str = ""
    day: date | None = None
    at: str = ""
    number: int | None = None
    agreed: bool = False
    offered: str = ""


def next_step(messages: Sequence[Mapping[str, Any]], now: datetime) -> Answer | FunctionCall:
    """The answer to the last message, or the tool to call first."""
    wish, names = Wish(), {}
    step: Answer | FunctionCall = Answer(HELP)
    for count, message in enumerate(messages):
        for call in message.get("tool_calls") or ():
            names[call["id"]] = call["function"]["name"]
        if message.get("role") == "user":
            wish = _heard(wish, str(message.get("content") or ""), now.date())
            step = _act(wish, str(message.get("content") or ""), now, count)
        elif message.get("role") == "tool":
            result = json.loads(message["content"])
            wish, step = _answered(wish, names.get(message["tool_call_id"], ""), result, now, count)
    return step


def _heard(wish: Wish, text: str, today: date) -> Wish:
    words = text.lower()
    intent = next((name for name, pattern in _INTENTS.items() if re.search(pattern, words)), "")
    if intent == "free" and wish.intent in ("book", "move"):
        intent = ""
    if intent:
        keep = wish.day if wish.intent == "free" and intent == "book" else None
        wish = Wish(intent, keep)
    elif wish.intent == "free":
        wish = replace(wish, intent="book")
    agreed = bool(re.search(r"^(?:yes|sure|okay|the first one)\b", words))
    at = _time_in(words) or (wish.offered if agreed and wish.offered else wish.at)
    return replace(wish, day=_day_in(words, today) or wish.day, at=at, agreed=agreed)


def _act(wish: Wish, text: str, now: datetime, count: int) -> Answer | FunctionCall:
    """What to do about a wish."""

    def call(name: str, /, **arguments: Any) -> FunctionCall:
        return FunctionCall(name, f"call_{count}", arguments)

    day = str(wish.day)
    match wish:
        case Wish(intent="hours"):
            return call("opening_hours")
        case Wish(intent="person"):
            return call("hand_over")
        case Wish(intent="message"):
            return call("take_message", name=CALLER, message="Please call back.")
        case Wish(intent="help"):
            return Answer(HELP)
        case Wish(intent="mine") | Wish(intent="move" | "cancel", number=None):
            return call("find_appointments", name=CALLER)
        case Wish(intent="cancel", number=int(number)) if wish.agreed:
            return call("cancel", number=number)
        case Wish(intent="cancel"):
            return Answer("All right, it stays in the diary.")
        case Wish(intent="book" | "move" | "free", day=None):
            return Answer("Gladly. For which day?")
        case Wish(intent="free") | Wish(intent="book" | "move", at=""):
            return call("find_free_slots", day=day)
        case Wish(intent="book"):
            return call("book", name=CALLER, day=day, at=wish.at)
        case Wish(intent="move", number=int(number)):
            return call("move", number=number, day=day, at=wish.at)
    return answer(text, now)


def _answered(
    wish: Wish, name: str, result: Any, now: datetime, count: int
) -> tuple[Wish, Answer | FunctionCall]:
    """What to say of a tool's result, and what the caller still wants then."""
    if not isinstance(result, Mapping) or "error" in result:
        return Wish(), Answer("I am sorry, that is not possible right now. Can I do something else for you?")
    if result.get("status") == "running":
        return wish, Answer("I am still at it.")
    match name:
        case "find_appointments":
            return _found(wish, result, now, count)
        case "find_free_slots":
            return _offer(wish, result, f"On {result['weekday']}")
        case "book" | "move" if result.get("status") == "refused":
            return _offer(replace(wish, at=""), result, f"I am sorry, {result['reason']}. That day")
        case "book" | "move":
            done = "You are booked for" if name == "book" else "I have moved it to"
            return Wish(), Answer(f"{done} {_when(result)}. Can I do anything else for you?")
        case "cancel":
            return Wish(), Answer(f"Your appointment on {_when(result)} is cancelled. Anything else?")
        case "opening_hours":
            return Wish(), Answer(f"We are open {result['hours']}.")
        case "take_message":
            return Wish(), Answer("I have noted that somebody shall call you back.")
        case "hand_over":
            return Wish(), Answer("I put you through.")
    return Wish(), Answer("Done. Can I do anything else for you?")


def _found(
    wish: Wish, result: Mapping[str, Any], now: datetime, count: int
) -> tuple[Wish, Answer | FunctionCall]:
    if not result["appointments"]:
        return Wish(), Answer("I find no appointment of yours. Shall I book one?")
    first = result["appointments"][0]
    wish = replace(wish, number=first["number"], agreed=False)
    if wish.intent == "cancel":
        return wish, Answer(f"You have an appointment on {_when(first)}. Shall I cancel it?")
    if wish.intent == "move":
        return wish, _act(wish, "", now, count)
    return Wish(), Answer(f"Your appointment is on {_when(first)}.")


def _offer(wish: Wish, result: Mapping[str, Any], begin: str) -> tuple[Wish, Answer]:
    free = result.get("free") or []
    if not free:
        return replace(wish, day=None, at=""), Answer(f"{begin} there is nothing free. Which other day?")
    some = free[:: max(1, len(free) // 3)][:3]
    times = ", ".join(_clock(slot) for slot in some[:-1])
    told = f"{times} or {_clock(some[-1])}" if times else _clock(some[-1])
    return replace(wish, offered=some[0]), Answer(f"{begin} I have {told}. Which time suits you?")


def _when(appointment: Mapping[str, Any]) -> str:
    return f"{appointment['weekday']} at {_clock(appointment['at'])}"


def _clock(slot: str) -> str:
    hour, minute = int(slot[:2]), slot[3:]
    return f"{hour if hour <= 12 else hour - 12}{f':{minute}' if minute != '00' else ' o’clock'}"


def _day_in(words: str, today: date) -> date | None:
    if "tomorrow" in words:
        return today + timedelta(days=1)
    if "today" in words:
        return today
    named = next((index for index, name in enumerate(_DAYS) if name in words), None)
    return today + timedelta(days=(named - today.weekday() - 1) % 7 + 1) if named is not None else None


def _time_in(words: str) -> str:
    found = _WORDS_OF_TIME.search(words.replace("the first one", ""))
    if found is None:
        return ""
    if found["half"]:
        return f"{_HOURS[found['half']]:02}:30"
    if found["hour"]:
        return f"{_HOURS[found['hour']]:02}:{'30' if found['thirty'] else '00'}"
    return f"{int(found['h']):02}:{found['m']}"
