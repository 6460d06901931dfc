"""Damaged, foreign and many records."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.frames import OutputAudioRawFrame, OutputTransportMessageFrame
from runner.records.call import RecordedCall
from runner.records.folder import BadCallNameError, NoRecordError, RecordError, find, record_id, sweep
from runner.records.listing import Filter, list_calls, parse_since
from runner.records.private import Privacy, masked
from runner.records.record import Record
from runner.records.render import peaks_of, wav_of, wav_part, wav_size
from runner.records.reports import attach_report, keep_failed
from runner.records.sound import CallSound, Piece, decode, place_arriving, place_played
from runner.records.timeline import Word, srt_of
from runner.records.wire import WireLine
from runner.serializers.protobuf import ProtobufFrameSerializer

BEGIN = datetime(2026, 11, 29, 10, 0, 0, tzinfo=UTC)


def make(folder: Path, number: int = 0, **fields: Any) -> Path:
    """A record of a call that has ended."""
    started = BEGIN + timedelta(seconds=number)
    path = folder / record_id(f"w1-{number:016x}", started.timestamp())
    path.mkdir(parents=True)
    head = {
        "schema": 1,
        "id": path.name,
        "session": f"w1-{number:016x}",
        "state": "ended",
        "started": started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "duration_s": 12.5,
        "transport": "twilio",
        "bot": {"file": "bot.py", "function": "bot"},
        "media": {"inbound": {"file": "inbound.ulaw", "encoding": "ulaw", "sample_rate": 8000}},
        "end": {"reason": "CLIENT_LEFT", "text": "the caller left", "detail": ""},
        "figures": {"turns": 2, "turn_max_s": 0.8},
        **fields,
    }
    (path / "call.json").write_text(json.dumps(head))
    (path / "events.jsonl").write_text('{"t": 0.0, "kind": "started"}\n{"t": 1.0, "kind": "bot_started"}\n')
    (path / "wire.jsonl").write_text('{"t":0.5,"d":"in","k":"binary","at":0,"n":4}\n')
    (path / "inbound.ulaw").write_bytes(b"\xff" * 4)
    return path


# ------------------------------------------------------------------ damage


def test_a_line_that_was_cut_off_costs_one_sentence_and_no_other_line(tmp_path: Path) -> None:
    path = make(tmp_path)
    with (path / "events.jsonl").open("a") as file:
        file.write('not json\n[1]\n{"kind": "no time"}\n{"t": 2, "kind": "bot_st')
    call = RecordedCall(path)
    assert [event["kind"] for event in call.events] == ["started", "bot_started"]
    assert call.problems == [
        "events.jsonl: line 3 is not JSON and was left out",
        "events.jsonl: line 4 is not JSON and was left out",
        "events.jsonl: line 5 is no event and was left out",
        "events.jsonl: the last line is cut off and was left out",
    ]


def test_missing_media_is_one_sentence_and_the_rest_stays(tmp_path: Path) -> None:
    path = make(tmp_path)
    (path / "inbound.ulaw").unlink()
    call = RecordedCall(path)
    with pytest.raises(NoRecordError, match="has no sound"):
        _ = call.sound
    detail = call.detail()
    assert detail["sound"] is None
    assert len(detail["problems"]) == 1
    assert detail["events"] == 2


def test_media_shorter_than_the_messages_say_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = make(tmp_path)
    (path / "wire.jsonl").write_text(
        '{"t":0.5,"d":"in","k":"binary","at":0,"n":400}\n{"t":1,"d":"in","k":"binary","at":400,"n":160}\n'
    )
    assert RecordedCall(path).sound.duration_s == 12.5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"schema": 99}', "record format 99, but this botrun reads up to 1: update botrun"),
        ('{"schema"', "cannot be read"),
        ("[]", "is not a call record"),
        ('{"schema": "1"}', "is not a call record"),
    ],
)
def test_a_record_that_cannot_be_read_is_named_and_the_others_stay_listed(
    text: str, sentence: str, tmp_path: Path
) -> None:
    bad, good = make(tmp_path, 1), make(tmp_path, 2)
    (bad / "call.json").write_text(text)
    with pytest.raises(RecordError, match=sentence):
        Record(bad)
    found = list_calls(tmp_path)
    assert [call.id for call in found.calls] == [good.name]
    assert [each["id"] for each in found.unreadable] == [bad.name]
    assert sentence in found.unreadable[0]["problem"]


def test_a_file_name_in_a_record_cannot_leave_its_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    media = {"file": "../secret", "encoding": "ulaw", "sample_rate": 8000}
    call = RecordedCall(make(tmp_path, media={"inbound": media}))
    with pytest.raises(RecordError, match="not a file name"):
        call.media("inbound")


def test_a_call_whose_process_is_gone_is_lost(tmp_path: Path) -> None:
    gone = make(tmp_path, state="running", pid=os.getpid(), pid_started=1.0)
    assert Record(gone).state == "lost"
    assert Record(gone).summary.problem == "the bot's process ended during the call"


# ------------------------------------------------------------------ finding


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a b", "", ".", "..", "x" * 200, "a%2e", "ä"])
def test_what_is_no_id_is_refused(name: str, tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(BadCallNameError, match="cannot be a call's id"):
        find(tmp_path, name)


def test_a_call_is_found_by_id_beginning_session_and_last(tmp_path: Path) -> None:
    first, last = make(tmp_path, 1), make(tmp_path, 2)
    assert find(tmp_path, first.name) == first
    assert find(tmp_path, first.name[:16]) == first
    assert find(tmp_path, "w1-0000000000000001") == first
    assert find(tmp_path, "last") == last
    with pytest.raises(BadCallNameError, match="beginning of 2 ids"):
        find(tmp_path, "2026")
    with pytest.raises(NoRecordError, match="no recorded call has the id"):
        find(tmp_path, "1999")
    with pytest.raises(NoRecordError, match="there are no recorded calls"):
        find(tmp_path / "other", "last")


# ------------------------------------------------------------------ listing


def test_calls_are_listed_newest_first_in_pages(tmp_path: Path) -> None:
    names = [make(tmp_path, number).name for number in range(7)][::-1]
    page = list_calls(tmp_path, limit=3)
    assert [call.id for call in page.calls] == names[:3]
    assert page.total == 7
    following = list_calls(tmp_path, limit=4, before=page.next or "")
    assert [call.id for call in following.calls] == names[3:]
    assert following.next is None


def test_calls_are_filtered(tmp_path: Path) -> None:
    failed = make(tmp_path, 1, failure={"message": "ValueError: no", "file": "bot.py", "line": 3})
    slow = make(tmp_path, 2, figures={"turns": 1, "turn_max_s": 2.5})
    cut = make(tmp_path, 3, figures={"interruptions": 2}, transport="webrtc")
    scenario = make(tmp_path, 4, report={"passed": False, "failures": ["too late"], "scenario": "ordinary"})

    def ids(wanted: Filter) -> list[str]:
        return [call.id for call in list_calls(tmp_path, wanted).calls]

    assert ids(Filter(failed=True)) == [scenario.name, failed.name]
    assert ids(Filter(slow=True)) == [slow.name]
    assert ids(Filter(interrupted=True)) == [cut.name]
    assert ids(Filter(transport="webrtc")) == [cut.name]
    assert ids(Filter(scenario="ordin")) == [scenario.name]
    assert ids(Filter(text="valueerror")) == [failed.name]
    assert ids(Filter(since=BEGIN + timedelta(seconds=3))) == [scenario.name, cut.name]
    assert ids(Filter(failed=False, slow=False, interrupted=False)) == []


def test_an_index_line_is_as_good_as_the_record(tmp_path: Path) -> None:
    path = make(tmp_path)
    summary = Record(path).summary
    (tmp_path / "index.jsonl").write_text(json.dumps(summary.as_dict()) + "\n" + '{"cut off')
    (path / "call.json").unlink()  # so that it must come from the index
    assert list_calls(tmp_path).calls == [summary]


def test_ten_thousand_records_are_listed_without_reading_each(tmp_path: Path) -> None:
    """By what is opened, for a busy machine may take any time: `benchmarks/records.py` has the time."""
    opened: list[str] = []
    for number in range(300):
        path = make(tmp_path, number)
        with (tmp_path / "index.jsonl").open("a") as file:
            file.write(json.dumps(Record(path).summary.as_dict()) + "\n")
    make(tmp_path, 300)
    read = Path.read_bytes

    def noted(self: Path) -> bytes:
        opened.append(self.name)
        return read(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", noted)
        assert list_calls(tmp_path, Filter(failed=False)).total == 301
    assert sorted(opened) == ["call.json", "index.jsonl"]


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800), ("2h", 7200), ("1.5d", 129600), ("1w", 604800)])
def test_since_is_a_time_ago_or_a_date(text: str, seconds: float) -> None:
    assert BEGIN - parse_since(text, BEGIN) == timedelta(seconds=seconds)
    assert parse_since("2026-11-29T10:00+00:00") == BEGIN
    with pytest.raises(BadCallNameError, match="must be like 30m"):
        parse_since("yesterday")


def test_old_and_too_many_records_are_deleted_but_no_running_call(tmp_path: Path) -> None:
    paths = [make(tmp_path, number) for number in range(4)]
    for file in paths[0].iterdir():
        os.utime(file, (time.time() - 8 * 86400,) * 2)
    assert sweep(tmp_path, lambda path: False) == [paths[0].name]
    (paths[3] / "inbound.ulaw").write_bytes(bytes(5000))
    assert sweep(tmp_path, lambda path: path == paths[1], most_bytes=6000) != []
    assert paths[1].exists()
    assert paths[3].exists()


def test_of_a_loads_calls_only_those_that_failed_are_kept(tmp_path: Path) -> None:
    failed = make(tmp_path, 1, pid=7, failure={"message": "ValueError: no", "file": "bot.py", "line": 3})
    passed, others = make(tmp_path, 2, pid=7), make(tmp_path, 3, pid=8)
    assert keep_failed(tmp_path, {7}, 0.0) == [failed]
    assert [path.exists() for path in (failed, passed, others)] == [True, False, True]


def test_a_report_is_found_in_the_calls_record_and_in_the_list(tmp_path: Path) -> None:
    path = make(tmp_path, 1, call_id="CA1")
    report = {"passed": False, "failures": ["it was late"], "scenario": "ordinary"}
    assert attach_report(tmp_path, "CA1", {"kind": "call", "scenario": "ordinary"}, report) == path
    (found,) = list_calls(tmp_path, Filter(failed=True, scenario="ordinary")).calls
    assert (found.problem, found.origin) == ("it was late", "call")
    assert attach_report(tmp_path, "CA2", {}, {}) is None


# ------------------------------------------------------------------ rendering


def test_protobuf_frames_of_pipecats_clients_are_read_as_sound() -> None:
    pcm = np.arange(320, dtype="<i2").tobytes()
    frames = ProtobufFrameSerializer(output_sample_rate=16000)
    sound = frames.serialize(OutputAudioRawFrame(pcm, 16000))
    message = frames.serialize(OutputTransportMessageFrame({"label": "rtvi-ai"}))
    assert sound is not None
    assert message is not None
    lines = [
        WireLine(0, 0.1, False, "binary", at=0, n=len(sound)),
        WireLine(1, 0.2, False, "binary", at=len(sound), n=len(message)),
    ]
    pieces, rate = decode(lines, sound + message, inbound=False, encoding="pcm", sample_rate=16000)
    assert rate == 16000
    assert b"".join(piece.pcm.tobytes() for piece in pieces if isinstance(piece, Piece)) == pcm


def test_a_stall_moves_no_sound_and_a_pause_of_the_sender_does() -> None:
    loud = np.full(160, 1000, np.int16)
    # 1 s without trouble, 0.3 s in which packets wait somewhere, 1 s in which none are sent.
    times = [0.02 * (n + 1) for n in range(50)] + [1.3] * 15 + [0.02 * (n + 1) + 2.3 for n in range(50)]
    pieces: list[Piece | float] = [Piece(t, 0.02 * n, loud) for n, t in enumerate(times)]
    placed = place_arriving(pieces, 8000) != 0
    assert placed[:10400].all()  # 65 packets without a hole
    assert not placed[10500:18300].any()
    assert placed[18500:26300].all()


def test_sound_sent_ahead_plays_in_order_and_is_cut_where_it_was_taken_back() -> None:
    loud = np.full(160, 1000, np.int16)
    pieces: list[Piece | float] = [Piece(0.1, 0.02 * n, loud) for n in range(20)]
    placed = place_played([*pieces, 0.25, Piece(0.5, 0.4, loud)], 8000)
    assert np.flatnonzero(placed)[0] == 800
    assert not placed[2000:4000].any()
    assert placed[4000:4160].all()
    assert len(placed) == 4160


def test_a_part_of_a_wav_is_that_part_of_the_file() -> None:
    rng = np.random.default_rng(1)
    sound = CallSound(8000, *(rng.integers(-9000, 9000, 1000).astype(np.int16) for _ in range(2)))
    for channel in ("both", "caller", "bot"):
        whole = wav_of(sound, channel)
        assert wav_size(sound, channel) == len(whole)
        for first, end in ((0, 10), (0, 44), (40, 60), (45, 46), (101, 1003), (0, len(whole))):
            assert wav_part(sound, channel, first, end) == whole[first:end], (channel, first, end)


def test_peaks_have_the_extremes_of_each_column() -> None:
    samples = np.zeros(1000, np.int16)
    samples[150], samples[250] = 32767, -32768
    peaks = peaks_of(samples, 10)
    assert peaks[2:6] == [0, 127, -127, 0]
    assert len(peaks_of(samples, 3000)) == 6000
    assert peaks_of(samples[:0], 2) == [0, 0, 0, 0]


def test_subtitles_are_numbered_and_timed() -> None:
    words = [
        Word(speaker="caller", from_s=1.0, to_s=2.5, text="hello"),
        Word(speaker="bot", from_s=3661.25, to_s=3661.25, text="good morning"),
    ]
    assert srt_of(words) == (
        "1\n00:00:01,000 --> 00:00:02,500\nCaller: hello\n\n"
        "2\n01:01:01,250 --> 01:01:01,550\nBot: good morning\n"
    )


# ------------------------------------------------------------------ secrets


@pytest.mark.parametrize(
    "text",
    [
        '{"auth_token": "SECRET"}',
        '{"X-Twilio-Signature" : "SECRET"}',
        r'{"arguments": "{\"api_key\": \"SECRET\"}"}',
        "wss://host/ws?token=SECRET&x=1",
        "https://host/x?a=1&signature=SECRET",
        '{"Authorization": "Bearer SECRET"}',
    ],
)
def test_secrets_are_hidden_by_their_names(text: str) -> None:
    assert "SECRET" not in Privacy().clean(text)


def test_numbers_are_masked_and_short_ones_are_not() -> None:
    assert masked("+14155550199") == "+14*******99"
    assert masked("100") == "100"
    assert masked("") == ""
