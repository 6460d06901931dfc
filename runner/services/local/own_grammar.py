"""The user's own vocabulary for the local recogniser: phrases, or a JSGF grammar.

Syntax and words are checked here, so that a mistake gives an error with its line and not a recogniser that
never understands. JSGF: https://www.w3.org/TR/jsgf/, without imports.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from runner.errors import UsageError

MAX_CHARS = 200_000

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TAG = re.compile(r"\{(?:\\.|[^{}\\])*\}")
_HEADER = re.compile(r"#JSGF\b[^;]*;\s*grammar\s+[\w.$]+\s*;", re.IGNORECASE)
_RULE = re.compile(r"(public\s+)?<([^<>\s]+)>\s*=(.*)", re.DOTALL)
_TOKEN = re.compile(r"/[^/\n]*/|<[^<>]*>|[()\[\]|*+]|\"[^\"]*\"|[^\s()\[\]|*+<>\"]+")
_WORD = re.compile(r"[a-z]+(?:['.-][a-z]+)*'?", re.IGNORECASE)
_PUNCTUATION = re.compile(r"[.,;:!?¿¡…\"“”„«»()\[\]]+")


@dataclass(frozen=True, slots=True)
class OwnGrammar:
    """A checked grammar.

    Attributes:
        jsgf: its text, in lower case, without comments and tags.
        written: what was recognised, as the user wrote it; for phrases.
    """

    jsgf: str
    written: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A name derived from the text."""
        return f"own-{hashlib.sha256(self.jsgf.encode()).hexdigest()[:16]}"


def from_phrases(phrases: Iterable[str]) -> OwnGrammar:
    """A grammar of these phrases. Raises `UsageError` if there are none, and for words without a
    pronunciation."""
    if isinstance(phrases, str):
        raise UsageError(f"phrases are a list: phrases=[{phrases!r}]")
    written: dict[str, str] = {}
    for phrase in phrases:
        if not isinstance(phrase, str):
            raise UsageError(f"phrases are strings, not {phrase!r:.60}")
        words = _PUNCTUATION.sub(" ", phrase.replace("’", "'")).lower().split()
        if not words:
            raise UsageError(f"a phrase has at least one word, not {phrase!r}")
        if wrong := [word for word in words if not _WORD.fullmatch(word)]:
            raise UsageError(
                f'the phrase {phrase!r} has {wrong[0]!r}: spell numbers and signs as words, as "five"'
            )
        written.setdefault(" ".join(words), phrase)
    if not written:
        raise UsageError("phrases=[] is empty: name at least one phrase to recognise")
    _check_words({word for phrase in written for word in phrase.split()}, "phrases")
    return OwnGrammar(
        f"#JSGF V1.0;\ngrammar phrases;\npublic <utterance> = {' | '.join(written)};\n", written
    )


def from_file(path: str | Path) -> OwnGrammar:
    """The grammar in a JSGF file. Raises `UsageError` with file and line."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"the grammar {path} cannot be read: {why}") from None
    return from_jsgf(text, str(path))


def from_jsgf(text: str, where: str = "the grammar") -> OwnGrammar:
    """A grammar from JSGF text. Raises `UsageError` with the line."""
    if len(text) > MAX_CHARS:
        raise UsageError(f"{where} has {len(text)} characters; at most {MAX_CHARS}")
    plain = _TAG.sub(_blank, _COMMENT.sub(_blank, text))
    header = _HEADER.match(plain.lstrip())
    if header is None:
        raise UsageError(f'{where}:1: a JSGF grammar begins with "#JSGF V1.0;" and "grammar name;"')
    begin = len(plain) - len(plain.lstrip()) + header.end()
    rules, public = _read_rules(plain, begin, where)
    if not public:
        raise UsageError(f"{where}: no rule is public: write public <name> = …;")
    _check_loops(rules, where)
    words = {word for tokens in rules.values() for word, _ in tokens if not word.startswith("<")}
    lines = {word: line for tokens in rules.values() for word, line in tokens}
    _check_words(words, where, lines)
    return OwnGrammar(_lower(plain))


def _read_rules(plain: str, begin: int, where: str) -> tuple[dict[str, list[tuple[str, int]]], list[str]]:
    """Each rule's words and references with their lines, and which rules are public."""
    rules: dict[str, list[tuple[str, int]]] = {}
    public: list[str] = []
    at = begin
    for statement in plain[begin:].split(";"):
        line = plain.count("\n", 0, at + len(statement) - len(statement.lstrip())) + 1
        start, at = at, at + len(statement) + 1
        if not statement.strip():
            continue
        if at > len(plain):
            raise UsageError(f'{where}:{line}: the rule does not end with ";"')
        rule = _RULE.fullmatch(statement.strip())
        if rule is None:
            kind = "imports are not supported" if statement.split()[0] == "import" else "expected <name> = …;"
            raise UsageError(f"{where}:{line}: {kind}")
        name = f"<{rule[2]}>"
        if name in rules:
            raise UsageError(f"{where}:{line}: {name} is defined twice")
        body = start + statement.index("=") + 1
        rules[name] = _read_body(plain[body : at - 1], body, plain, where)
        if rule[1]:
            public.append(name)
    for tokens in rules.values():
        for word, line in tokens:
            if word.startswith("<") and word not in rules and word not in ("<NULL>", "<VOID>"):
                raise UsageError(f"{where}:{line}: {word} is not defined")
    return rules, public


def _read_body(body: str, offset: int, plain: str, where: str) -> list[tuple[str, int]]:
    tokens: list[tuple[str, int]] = []
    open_brackets: list[str] = []
    awaits_more = True
    for match in _TOKEN.finditer(body):
        token, line = match[0], plain.count("\n", 0, offset + match.start()) + 1
        if token in "([":
            open_brackets.append(token)
            awaits_more = True
        elif token in ")]":
            if awaits_more or not open_brackets or "([".index(open_brackets.pop()) != ")]".index(token):
                raise UsageError(f"{where}:{line}: unexpected {token!r}")
        elif token == "|":
            if awaits_more:
                raise UsageError(f"{where}:{line}: unexpected '|'")
            awaits_more = True
        elif token.startswith("/"):
            if not awaits_more or not re.fullmatch(r"/\s*[\d.]+(?:[eE][+-]?\d+)?\s*/", token):
                raise UsageError(f"{where}:{line}: unexpected {token!r}: a weight begins an alternative")
        elif token not in "*+":
            awaits_more = False
            tokens += [(word, line) for word in _words_of(token, f"{where}:{line}")]
    if open_brackets or awaits_more:
        line = plain.count("\n", 0, offset + len(body)) + 1
        what = f"{open_brackets[-1]!r} is not closed" if open_brackets else "the rule ends too early"
        raise UsageError(f"{where}:{line}: {what}")
    return tokens


def _words_of(token: str, where: str) -> list[str]:
    if token.startswith("<"):
        return [token]
    words = token.strip('"').lower().split()
    if wrong := [word for word in words if not _WORD.fullmatch(word)]:
        raise UsageError(f'{where}: {wrong[0]!r} is not a word: spell numbers and signs, as "five"')
    return words


def _check_loops(rules: Mapping[str, list[tuple[str, int]]], where: str) -> None:
    done: set[str] = set()

    def visit(name: str, line: int, path: tuple[str, ...]) -> None:
        if name in path:
            raise UsageError(f"{where}:{line}: {name} refers to itself: use * or + for repetition")
        if name in done:
            return
        for word, at in rules.get(name, ()):
            if word.startswith("<"):
                visit(word, at, (*path, name))
        done.add(name)

    for name in rules:
        visit(name, 0, ())


def _check_words(words: set[str], where: str, lines: Mapping[str, int] | None = None) -> None:
    unknown = sorted(words - pronounceable(frozenset(words)))
    if unknown:
        line = f":{lines[unknown[0]]}" if lines and unknown[0] in lines else ""
        raise UsageError(
            f"{where}{line}: no pronunciation is known of {', '.join(unknown[:5])}. Use other words, or "
            "WhisperSTTService for free speech"
        )


@cache
def pronounceable(words: frozenset[str]) -> frozenset[str]:
    """Which of these words are in pocketsphinx's English dictionary; all, if it is not installed."""
    package = find_spec("pocketsphinx")
    if package is None or not package.submodule_search_locations:
        return words
    path = Path(package.submodule_search_locations[0]) / "model" / "en-us" / "cmudict-en-us.dict"
    with path.open(encoding="utf-8") as lines:
        return words & {line.partition(" ")[0] for line in lines}


def _blank(match: re.Match[str]) -> str:
    """Spaces of the same length, so that line numbers do not change."""
    return re.sub(r"[^\n]", " ", match[0])


def _lower(plain: str) -> str:
    """Words in lower case, as in the dictionary; the header and rule names unchanged."""
    begin = plain.index(";") + 1
    return plain[:begin] + re.sub(
        r"<[^<>]*>|[^<>]+", lambda m: m[0] if m[0].startswith("<") else m[0].lower(), plain[begin:]
    )
