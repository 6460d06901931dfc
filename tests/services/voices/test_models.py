"""Models come by one command, wholly or not at all, and say where they are missing."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from runner.cli.program import run_program
from runner.errors import MissingModelError, ServiceError, UsageError
from runner.services import models
from runner.services.models import Model, models_here, need_model

BIG = bytes(range(256)) * 1200
FILES = {"config.json": b"{}", "tokenizer.json": b"[1]", "model.bin": BIG, "README.md": b"not wanted"}
VOICE = {"en_US-lessac-medium.onnx": BIG, "en_US-lessac-medium.onnx.json": b"{}", "MODEL_CARD": b"free"}


@dataclass
class Hub:
    """A hub on this machine.

    Attributes:
        cut_after: the next answers with a file end after so many bytes.
        damage: whether what it sends is not what it lists.
        ranges: whether it knows ranges.
        asked: path and range of each request.
    """

    files: dict[str, bytes]
    prefix: str = ""
    cut_after: list[int] = field(default_factory=list)
    damage: bool = False
    ranges: bool = True
    url: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def listing(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = [{"type": "directory", "path": "x", "size": 0, "oid": "1"}]
        for name, content in self.files.items():
            entry = {"type": "file", "path": f"{self.prefix}{name}", "size": len(content)}
            if len(content) > 1000:
                sha256 = hashlib.sha256(content).hexdigest()
                entry |= {"oid": "pointer", "lfs": {"oid": sha256, "size": len(content), "pointerSize": 134}}
            else:
                entry |= {"oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
            entries.append(entry)
        return entries


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub = self.hub
        self.path = unquote(self.path.partition("?")[0])
        hub.asked.append((self.path, self.headers.get("Range")))
        if self.path.startswith("/api/models/"):
            self.answer(200, json.dumps(hub.listing()).encode())
            return
        content = hub.files[self.path.rsplit("/", 1)[1]]
        if hub.damage:
            content = content[::-1]
        begin = (
            int(re.findall(r"\d+", self.headers["Range"])[0]) if hub.ranges and "Range" in self.headers else 0
        )
        self.answer(206 if begin else 200, content[begin:])

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.path.endswith("model.bin") and self.hub.cut_after:
            self.wfile.write(body[: self.hub.cut_after.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *what: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub(dict(FILES))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": made}))
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTRUN_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(
        "huggingface_hub", reason="needs huggingface-hub: pip install 'botrun[whisper,piper]'"
    )
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)


def fetch(hub: Hub, model: Model) -> list[tuple[str, int, int]]:
    received: list[tuple[str, int, int]] = []
    models.fetch(model, hub.url, lambda *progress: received.append(progress))
    return received


def test_a_missing_model_is_named_with_the_command_that_brings_it() -> None:
    with pytest.raises(
        MissingModelError, match=r"^X needs the model base\.en.*: botrun models fetch whisper base\.en$"
    ):
        need_model("whisper", "base.en", "X")


def test_a_model_comes_whole_and_only_what_it_needs(hub: Hub, folder: Path) -> None:
    model = Model("whisper", "base.en")
    result = fetch(hub, model)
    assert need_model("whisper", "base.en", "X") == folder / "whisper" / "base.en"
    assert sorted(path.name for path in model.path.iterdir()) == [
        "config.json",
        "model.bin",
        "tokenizer.json",
    ]
    assert (model.path / "model.bin").read_bytes() == BIG
    assert result[-1] == ("model.bin", len(BIG), len(BIG))
    assert hub.asked[0][0] == "/api/models/Systran/faster-whisper-base.en/tree/main"
    assert ("/Systran/faster-whisper-base.en/resolve/main/model.bin", None) in hub.asked
    assert models_here() == [model]


def test_a_voice_comes_with_its_licence_and_from_its_own_folder(hub: Hub) -> None:
    hub.files, hub.prefix = dict(VOICE), "en/en_US/lessac/medium/"
    model = Model("piper", "en_US-lessac-medium")
    fetch(hub, model)
    assert {path.name for path in model.path.iterdir()} == set(VOICE)
    assert hub.asked[0][0] == "/api/models/rhasspy/piper-voices/tree/main/en/en_US/lessac/medium"
    wanted = "/rhasspy/piper-voices/resolve/main/en/en_US/lessac/medium/en_US-lessac-medium.onnx"
    assert wanted in [path for path, _ in hub.asked]


def test_what_breaks_off_is_gone_on_with(hub: Hub) -> None:
    hub.cut_after = [100_000, 100_000]
    model = Model("whisper", "base.en")
    fetch(hub, model)
    assert (model.path / "model.bin").read_bytes() == BIG
    assert [asked for path, asked in hub.asked if path.endswith("model.bin")] == [
        None, "bytes=100000-", "bytes=200000-",
    ]  # fmt: skip


def test_a_second_command_goes_on_where_the_first_one_had_to_stop(hub: Hub) -> None:
    hub.cut_after = [100_000, *[0] * 6]
    model = Model("whisper", "base.en")
    with pytest.raises(
        ServiceError, match=r"^model\.bin: interrupted at 32 %\. Run the command again to resume\.$"
    ):
        fetch(hub, model)
    assert not model.is_here
    assert models_here() == []
    hub.cut_after.clear()
    hub.asked.clear()
    fetch(hub, model)
    assert (model.path / "model.bin").read_bytes() == BIG
    assert [(path.rsplit("/", 1)[1], asked) for path, asked in hub.asked[1:]] == [
        ("model.bin", "bytes=100000-")
    ]


def test_a_server_without_ranges_is_asked_from_the_beginning(hub: Hub) -> None:
    hub.cut_after, hub.ranges = [100_000], False
    model = Model("whisper", "base.en")
    fetch(hub, model)
    assert (model.path / "model.bin").read_bytes() == BIG
    assert len([path for path, _ in hub.asked if path.endswith("model.bin")]) == 2


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json"])
def test_what_came_damaged_is_not_kept(hub: Hub, name: str) -> None:
    hub.damage = True
    model = Model("whisper", "base.en")
    if name == "model.bin":  # the small files are right
        model.path.mkdir(parents=True)
        for each in ("config.json", "tokenizer.json"):
            (model.path / each).write_bytes(FILES[each])
    with pytest.raises(ServiceError, match="arrived damaged: its checksum is not the hub's"):
        fetch(hub, model)
    assert not (model.path / f"{name}.part").exists()
    assert not model.is_here


def test_a_full_disk_is_reported_before_anything_is_fetched(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(models.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UsageError, match="has 0 MB free"):
        fetch(hub, Model("whisper", "base.en"))
    assert len(hub.asked) == 1


def test_a_model_without_its_parts_is_reported(hub: Hub) -> None:
    del hub.files["tokenizer.json"]
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1.* has no tokenizer\.json of whisper base\.en"):
        fetch(hub, Model("whisper", "base.en"))


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        ("whisper", "huge", "whisper has no model 'huge'; there are: tiny.en"),
        ("piper", "lessac", "'lessac' is not a Piper voice: names look like en_US-lessac-medium"),
        ("piper", "../../x_Y-a-b", "is not a Piper voice"),
        ("llama", "x", "there are models of whisper and piper, not of 'llama'"),
    ],
)
def test_a_name_that_does_not_exist_is_answered_with_those_that_do(
    kind: str, name: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program(["models", "fetch", kind, name]) == 2
    assert sentence in capsys.readouterr().err


def test_the_command_fetches_and_lists(hub: Hub, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["models"]) == 0
    assert ":\n  none\n" in capsys.readouterr().out
    assert run_program(["models", "fetch", "whisper", "base.en", "--from", hub.url]) == 0
    assert (
        capsys.readouterr().out == f"whisper base.en is installed: 0 MB in {folder / 'whisper' / 'base.en'}\n"
    )
    assert run_program(["models", "list"]) == 0
    output = capsys.readouterr().out
    assert f"Installed in {folder}:\n  whisper  base.en" in output
    assert "turbo" in output
    assert models.PIPER_EXAMPLES[0] in output


def test_without_a_network_one_sentence_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["models", "fetch", "whisper", "tiny", "--from", "http://127.0.0.1:1"]) == 1
    output = capsys.readouterr().err
    assert output.startswith("botrun: 127.0.0.1:1 cannot be reached (")
    assert "copy the models folder from another machine, or name a mirror with --from" in output
    assert output.count("\n") == 1
