"""Understands requests, spoken or typed, and defines the grammars of the local recogniser. Pure.

One JSGF grammar has the commands. The other is the background, a loop over all phones. Speech that fits the
commands hardly better than any sequence of phones is not a command.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
"""The word of each number from 0 on."""


class Kind(StrEnum):
    """The kinds of requests."""

    TIME = "time"
    DATE = "date"
    JOKE = "joke"
    COUNT = "count"
    REPEAT = "repeat"
    HELP = "help"
    HELLO = "hello"
    THANKS = "thanks"
    STOP = "stop"
    YES = "yes"
    NO = "no"
    GOODBYE = "goodbye"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `detail` is the number to count to, the words to repeat, or the time of day in a
    greeting."""

    kind: Kind
    detail: str = ""


def understand(text: str) -> Request:
    """The first pattern that fits, on the text in lower case and without punctuation."""
    words = _plain(text)
    for pattern, kind, detail in _PATTERNS:
        if match := pattern.search(words):
            return Request(kind, detail(match))
    return Request(Kind.UNKNOWN)


def _plain(text: str) -> str:
    text = text.lower().replace("’", "'")
    return " ".join(re.sub(r"[^\w' ]+", " ", text).split())


def _nothing(match: re.Match[str]) -> str:
    return ""


def _number(match: re.Match[str]) -> str:
    word = match["number"]
    return str(NUMBER_WORDS.index(word)) if word in NUMBER_WORDS else word


def _group(name: str) -> Callable[[re.Match[str]], str]:
    return lambda match: match[name] or ""


# The order matters: "repeat after me hello" is not a greeting, and "no thank you" is a no.
_PATTERNS = [
    (re.compile(pattern), kind, detail)
    for pattern, kind, detail in (
        (r"\b(?:repeat|say) after me\b ?(?P<words>.*)", Kind.REPEAT, _group("words")),
        (r"\bcount\b.*?\bto (?P<number>\w+)", Kind.COUNT, _number),
        (r"\bcount\b", Kind.COUNT, _nothing),
        (r"\bjoke\b", Kind.JOKE, _nothing),
        (r"\b(?:what time|the time|time is it)\b", Kind.TIME, _nothing),
        (r"\b(?:what day|the date|what date|today)\b", Kind.DATE, _nothing),
        (r"\bhelp\b|\bwhat can you do\b|\bwhat do you know\b", Kind.HELP, _nothing),
        (r"\b(?:good ?bye|bye)\b", Kind.GOODBYE, _nothing),
        (r"^no\b", Kind.NO, _nothing),
        (r"\bthanks?\b", Kind.THANKS, _nothing),
        (r"^(?:please )?stop\b|\bbe quiet\b", Kind.STOP, _nothing),
        (r"^yes\b|^(?:okay|ok|sure)$", Kind.YES, _nothing),
        (r"\bgood (?P<part>morning|afternoon|evening)\b", Kind.HELLO, _group("part")),
        (r"^(?:hello|hi|hey)\b", Kind.HELLO, _nothing),
    )
]


QUALITIES = ("red", "green", "blue", "yellow", "big", "little", "old", "happy")
THINGS = (
    "house", "cat", "dog", "water", "river", "sun", "moon", "star", "fish", "bird", "apple", "summer",
    "winter", "music", "world",
)  # fmt: skip
"""What can stand after "repeat after me": "house", "the red house", "my little cat", "hello world" …"""

# The phones of pocketsphinx's en-us model.
PHONES = (
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY",
    "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y",
    "Z", "ZH",
)  # fmt: skip
PHONE_WORD = "zz"
"""Prefix of the words that represent phones in the background's grammar."""

COMMANDS = f"""#JSGF V1.0;
grammar commands;
public <utterance> = [<before>] <request> [please] | <short>;
<before> = please | can you | could you | can you please;
<request> = <time> | <date> | <joke> | <count> | <repeat> | <help>;
<time> = what time is it [now] | ( what's | what is ) the time | tell me the time | tell me what time it is;
<date> = what day is it [today] | ( what's | what is ) the date [today] | tell me the date;
<joke> = tell me ( a | another ) joke | another joke;
<count> = count to <number>;
<number> = {" | ".join(NUMBER_WORDS[1:])};
<repeat> = repeat after me ( [the | my | your] [<quality>] <thing> | hello [world] | <good> );
<quality> = {" | ".join(QUALITIES)};
<thing> = {" | ".join(THINGS)};
<help> = help [me] | what can you do;
<good> = good ( morning | afternoon | evening );
<short> = hello [there] | hi [there] | <good>
        | thank you [very much] | thanks | no thanks | no [thank you] | yes [please]
        | <stop> | [no] listen to me | can you hear me | goodbye | bye [bye];
<stop> = [no | please] stop [please];
"""

APPOINTMENTS = """#JSGF V1.0;
grammar appointments;
public <utterance> = [<before>] <request> [please] | <when> [please] | <short>;
<before> = i would like to | i'd like to | i want to | can i | could i | please | yes;
<request> = <book> | <free> | <move> | <cancel> | <mine> | <hours> | <message> | <person>;
<book> = ( book | make ) an appointment [ [for] <when> ];
<free> = ( what times do you have | when are you free | what is free ) [<day>];
<move> = ( move | change ) my appointment [ to <when> ];
<cancel> = cancel my appointment;
<mine> = when is my appointment;
<hours> = when are you open | when do you open | what are your opening hours;
<message> = ( leave | take ) a message;
<person> = ( speak | talk ) to ( a person | someone );
<when> = <day> [<clock>] | <clock> [<day>];
<day> = [ on | for ] ( today | tomorrow | monday | tuesday | wednesday | thursday | friday );
<clock> = [at] ( <hour> [ o'clock | thirty ] | half past <hour> );
<hour> = nine | ten | eleven | twelve | one | two | three | four;
<short> = hello [there] | good ( morning | afternoon | evening ) | help [me] | what can you do
        | thank you [very much] | thanks | no thanks | no [thank you] | yes [please] | the first one
        | what time is it | what day is it | stop [please] | goodbye | bye [bye];
"""
"""For a receptionist (`bots/receptionist.py`). Twelve synthetic voices with twenty of its sentences in a
quiet room: 216 of 240 right, 9 misunderstood, 15 refused; of 144 other sentences 128 were refused."""

MURMURS = """#JSGF V1.0;
grammar murmurs;
public <utterance> = uh | uh huh | mm hmm | mhm | mm | hmm | hm | huh | um | ah | aha | oh
        | yeah | yep | yup | yes | okay | right | alright | all right
        | sure | really | wow | good | great | nice | cool | fine | true
        | exactly | indeed | i see | of course | got it
        | oh really | oh okay | oh i see | ah okay | yeah yeah | yeah right;
"""
"""What people say to show that they are listening."""

ASKS = """#JSGF V1.0;
grammar asks;
public <utterance> = stop | stop it | stop stop | stop please | stop talking | wait | no | no no no
        | no wait | no stop | nope | not now | not that | that's wrong | hold on | hang on | hey
        | help | what | sorry | excuse me | pardon
        | quiet | be quiet | silence | enough | that's enough | pause | listen | look
        | please | thank you | thanks | goodbye | bye | actually | one moment | one second | one minute
        | just a second | just a moment | a moment | never mind | shut up | skip | next | cancel | go back
        | repeat | slow down | question | operator
        | what time is it | what did you say | what was that | what is | what's | how much | say that again
        | wait a minute | wait a second | wait please | hold on please | just a minute | one moment please
        | excuse me please | no thank you | no no | no that's not right | stop stop stop
        | i have a question | can i ask | could you | could you repeat that | can you | let me | tell me
        | i want | i need | i mean | i don't | that is not | that's not | but i;
"""
"""Short requests to stop, and typical beginnings of longer interruptions."""

TELEPHONE_PRONUNCIATIONS = {"stop": ("T AA P", "D AO UH P", "T AO UH P")}
"""Additional pronunciations over the telephone, which drops most of an "s" (above 4 kHz); without them,
"stop" was taken for "help"."""

GRAMMARS = {"commands": COMMANDS, "appointments": APPOINTMENTS}
"""Grammars by the names that `LocalSTTService` accepts."""

OVERLAP_GRAMMARS = {"murmurs": MURMURS, "asks": ASKS}
"""Speech over the bot is also decoded with each of these; the better fit decides whether it asks the bot to
stop. The words are not reported."""

BACKGROUND = f"""#JSGF V1.0;
grammar background;
public <utterance> = ( {" | ".join(PHONE_WORD + phone for phone in PHONES)} )+;
"""


def vocabulary(jsgf: str) -> set[str]:
    """The words in a grammar."""
    rules = jsgf.split(";", 2)[2]
    found = re.findall(r"[a-zA-Z']+", re.sub(r"<[^>]*>", " ", rules))
    return set(found) - {"public"}
