"""`botrun show CALL --html FILE`: one file with the page, the record and its sound."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from records import CallWriter, Turn, booking_call

from runner.cli.calls.command import show
from runner.cli.calls.saved_page import page_of, script_of, webm_of
from runner.records.call import RecordedCall

Block = Callable[[str], bytes]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RecordedCall:
    return RecordedCall(booking_call().write(tmp_path_factory.mktemp("calls")))


@pytest.fixture(scope="module")
def page(record: RecordedCall) -> str:
    return page_of(record)


def block(page: str, name: str) -> bytes:
    found = re.search(rf'<script id="{name}" [^>]*>([^<]*)</script>', page)
    assert found is not None
    return base64.b64decode(found[1])


def test_it_names_no_other_file(page: str) -> None:
    without_data = re.sub(r'<script id="saved-[^>]*>[^<]*</script>', "", page)
    assert not re.search(r'(src|href)="(?!#|calls"|\./")', without_data)
    assert "import " not in without_data.replace('import: "by an import"', "")
    assert "default-src 'none'" in page


def test_it_has_the_whole_record(page: str, record: RecordedCall) -> None:
    call = json.loads(gzip.decompress(block(page, "saved-call")))
    assert call["detail"]["summary"]["id"] == record.id
    assert len(call["events"]) == len(record.events)
    assert len(call["messages"]) == len(record.wire)
    assert len(call["peaks"]["caller"]) == len(call["peaks"]["bot"])


def test_its_sound_is_as_long_as_the_call(page: str, record: RecordedCall) -> None:
    with av.open(io.BytesIO(block(page, "saved-sound"))) as file:
        samples = sum(frame.samples for frame in file.decode(audio=0))
    assert samples / 48000 == pytest.approx(record.sound.duration_s, abs=0.05)


def test_sound_of_an_unusual_rate_is_converted(record: RecordedCall) -> None:
    from runner.records.sound import CallSound

    part = record.sound.part(4.0, 8.0)
    with av.open(io.BytesIO(webm_of(CallSound(22050, part.caller, part.bot)))) as file:
        seconds = sum(frame.samples for frame in file.decode(audio=0)) / 48000
    assert seconds == pytest.approx(4.0 * 8000 / 22050, abs=0.05)


def test_words_cannot_end_the_data(tmp_path: Path) -> None:
    call = CallWriter("0000feed")
    call.turn(Turn(user="</script><img src=x onerror=alert(1)>", bot="<b>bold</b>"))
    page = page_of(RecordedCall(call.write(tmp_path)))
    assert "onerror" not in page
    assert page.count("<script") == page.count("</script>") == 3


def test_each_module_is_there_once_and_behind_what_it_imports() -> None:
    script = script_of("app")
    names = re.findall(r"const module_(\w+) =", script)
    assert len(names) == len(set(names))
    for each in re.finditer(r"\} = module_(\w+);", script):
        assert script.index(f"const module_{each[1]} =") < each.start()


def test_a_call_without_sound_has_none(tmp_path: Path) -> None:
    call = CallWriter("5117e4ce", head={"content": "none", "media": {"inbound": None, "outbound": None}})
    call.turn(Turn(user="Hello", bot="Hi"))
    assert "saved-sound" not in re.sub(
        r"<script>.*</script>", "", page_of(RecordedCall(call.write(tmp_path))), flags=re.S
    )


def test_show_writes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    booking_call().write(tmp_path / ".botrun" / "calls")
    assert show("last", html="call.html") == 0
    assert capsys.readouterr().out == "wrote call.html\n"
    assert (tmp_path / "call.html").read_text().startswith("<!doctype html>")
