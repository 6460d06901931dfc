"""A vocabulary of one's own: what is understood, and the one sentence for each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.errors import UsageError
from runner.services.local.own_grammar import from_file, from_jsgf, from_phrases

HEAD = "#JSGF V1.0;\ngrammar menu;\n"
MENU = """#JSGF V1.0 UTF-8 en;
/* What a guest
   may order. */
grammar menu;
public <order> = [please] <dish> { order } (now | later)*; // and nothing else
<dish> = /0.7/ Soup | /0.3/ "fish and chips" | <cake>+;
<cake> = cake;
"""


def test_phrases_become_a_grammar_and_are_given_back_as_written() -> None:
    made = from_phrases(["Open the door!", "call the office", "open the door"])
    assert made.jsgf.endswith("public <utterance> = open the door | call the office;\n")
    assert made.written["open the door"] == "Open the door!"
    assert made.key == from_phrases(["open the door", "call the office"]).key
    assert made.key != from_phrases(["open the door"]).key


def test_a_jsgf_file_is_read_with_comments_tags_weights_and_quotes(tmp_path: Path) -> None:
    file = tmp_path / "menu.jsgf"
    file.write_text(MENU, encoding="utf-8-sig")
    made = from_file(file)
    assert "order }" not in made.jsgf
    assert "soup" in made.jsgf
    assert "what a guest" not in made.jsgf.lower()


@pytest.mark.parametrize(
    ("phrases", "sentence"),
    [
        ([], r"phrases=\[\] is empty: name at least one phrase"),
        ("open the door", r"phrases are a list: phrases=\['open the door'\]"),
        (["", "x"], "a phrase has at least one word, not ''"),
        ([5], "phrases are strings, not 5"),
        (["table for 5"], "the phrase 'table for 5' has '5': spell numbers and signs as words"),
        (["call frobnitz xyzzy"], "phrases: no pronunciation is known of frobnitz, xyzzy. Use other words"),
    ],
)
def test_mistakes_in_phrases_are_one_sentence(phrases: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        from_phrases(phrases)


@pytest.mark.parametrize(
    ("jsgf", "sentence"),
    [
        ("hello", 'menu.jsgf:1: a JSGF grammar begins with "#JSGF V1.0;"'),
        (HEAD + "<a> = yes;", "menu.jsgf: no rule is public"),
        (HEAD + "public <a> = yes | no", 'menu.jsgf:3: the rule does not end with ";"'),
        (HEAD + "public <a> = yes;\n\npublic <a> = no;", "menu.jsgf:5: <a> is defined twice"),
        (HEAD + "public <a> = yes\n  <b>;", "menu.jsgf:4: <b> is not defined"),
        (HEAD + "public <a> = ( yes | no;", r"menu.jsgf:3: '\(' is not closed"),
        (HEAD + "public <a> = yes ];", "menu.jsgf:3: unexpected ']'"),
        (HEAD + "public <a> = ( yes ];", "menu.jsgf:3: unexpected ']'"),
        (HEAD + "public <a> = yes | ;", "menu.jsgf:3: the rule ends too early"),
        (HEAD + "public <a> = | yes;", r"menu.jsgf:3: unexpected '\|'"),
        (HEAD + "public <a> = yes <b>;\n<b> = no <a>;", "refers to itself: use"),
        (HEAD + "public <a> = yes;\n<b> =\n table 5;", "menu.jsgf:5: '5' is not a word"),
        (HEAD + "import <x.y>;\npublic <a> = yes;", "menu.jsgf:3: imports are not supported"),
        (HEAD + "public <a> = yes | no /2/ thanks;", "menu.jsgf:3: unexpected '/2/': a weight begins"),
        (HEAD + "yes or no;", "menu.jsgf:3: expected <name> = …;"),
        (HEAD + "public <a> = yes;\n<b> = frobnitz;", "menu.jsgf:4: no pronunciation is known of frobnitz"),
    ],
)
def test_mistakes_in_a_grammar_are_one_sentence_with_the_line(jsgf: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        from_jsgf(jsgf, "menu.jsgf")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.jsgf cannot be read: No such file"):
        from_file(tmp_path / "no.jsgf")
    (tmp_path / "bad.jsgf").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"bad\.jsgf cannot be read: it is not UTF-8"):
        from_file(tmp_path / "bad.jsgf")
