"""One call as a single HTML file: the inspector's page with the record and its sound. It opens offline."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from runner.records.render import peaks_of
from runner.records.wire import message_of
from runner.server.endpoints.page_files import find_asset

if TYPE_CHECKING:
    from runner.records.call import RecordedCall
    from runner.records.sound import CallSound
    from runner.records.wire import WireLine

FOLDER, MAIN = "calls", "app"
PEAKS_PER_S = 100
MOST_PEAKS = 200_000
"""Maximum number of waveform columns: 33 minutes at `PEAKS_PER_S`; longer calls have fewer per second."""

OPUS_BPS = {8000: 32_000, 16000: 48_000}
OPUS_MOST_BPS = 96_000
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)

_STYLESHEET = re.compile(r'\s*<link rel="stylesheet" href="page/([\w./-]+)">')
_ICON = re.compile(r'\s*<link rel="icon"[^>]*>')
_SCRIPT = re.compile(r'\s*<script type="module" src="[^"]*"></script>')
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:class|function\*?|const) (\w+))", re.MULTILINE)


def page_of(record: RecordedCall) -> str:
    """The file's text."""
    page, script = _asset(f"{FOLDER}/index.html"), script_of(MAIN)
    style = "\n".join(_asset(name) for name in _STYLESHEET.findall(page))
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; media-src blob:; base-uri 'none'; form-action 'none'"
    )
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{style}</style>\n'
    for pattern in (_STYLESHEET, _ICON, _SCRIPT):
        page = pattern.sub("", page)
    tail = "".join((*_data(record), f"<script>{script}</script>\n"))
    return page.replace("</head>", f"{head}</head>").replace("</body>", f"{tail}</body>")


def _asset(name: str) -> str:
    found = find_asset(name)
    assert found is not None, name
    return found.read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


# ------------------------------------------------------------------ modules as one script


def script_of(main: str) -> str:
    """The page's ES modules as one classic script, because a `file:` page cannot import modules.

    Each module becomes a function that returns its exports. Modules must import by name only, and export in
    the declaration.
    """
    done: dict[str, str] = {}
    _add(main, done)
    script = '"use strict";\n' + "\n".join(done.values())
    assert "</script" not in script.lower()
    return script


def _add(name: str, done: dict[str, str]) -> None:
    """Add a module after those that it imports."""
    source = _asset(f"{FOLDER}/{name}.js")
    for each in _IMPORT.finditer(source):
        if each[2] not in done:
            _add(each[2], done)
    exported = ", ".join(_EXPORT.findall(source))
    body = _EXPORT.sub("", _IMPORT.sub(r"const {\1} = module_\2;\n", source))
    done[name] = f"const module_{name} = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();"


# ------------------------------------------------------------------ the call


def _data(record: RecordedCall) -> Iterator[str]:
    sound = record.sound_or_none
    call = {
        "detail": record.detail(),
        "events": record.events,
        "messages": list(_messages(record.wire)),
        "peaks": None if sound is None else _peaks(sound),
    }
    packed = gzip.compress(json.dumps(call, ensure_ascii=False, default=str).encode(), 9, mtime=0)
    yield _block("saved-call", "application/gzip", packed)
    if sound is not None:
        yield _block("saved-sound", "audio/webm", webm_of(sound))


def _block(name: str, content_type: str, data: bytes) -> str:
    """A script element with data, which the browser does not run."""
    text = base64.b64encode(data).decode()
    return f'<script id="{name}" type="text/plain" data-type="{content_type}">{text}</script>\n'


def _messages(lines: Iterable[WireLine]) -> Iterator[dict[str, Any]]:
    for line in lines:
        message = message_of(line)
        if line.has_media:  # there are thousands, which differ only in their audio
            message |= {"text": None, "message": None}
        yield message


def _peaks(sound: CallSound) -> dict[str, Any]:
    columns = max(1, min(MOST_PEAKS, round(sound.duration_s * PEAKS_PER_S)))
    return {
        "rate": columns / max(sound.duration_s, 1e-9),
        "caller": peaks_of(sound.caller, columns),
        "bot": peaks_of(sound.bot, columns),
    }


def webm_of(sound: CallSound) -> bytes:
    """The audio as Opus in WebM: the caller left, the bot right."""
    import av
    import numpy as np

    rate = sound.sample_rate if sound.sample_rate in _OPUS_RATES else 48000
    out = io.BytesIO()
    with av.open(out, "w", format="webm") as file:
        stream = file.add_stream("libopus", rate=rate, layout="stereo")
        stream.bit_rate = OPUS_BPS.get(rate, OPUS_MOST_BPS)
        resampler = av.AudioResampler("s16", "stereo", rate)
        step = sound.sample_rate * 10
        for begin in range(0, max(len(sound.caller), 1), step):
            pair = [side[begin : begin + step] for side in (sound.caller, sound.bot)]
            samples = np.stack(pair, axis=1).astype("<i2").reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            frame.sample_rate = sound.sample_rate
            for converted in resampler.resample(frame):
                file.mux(stream.encode(converted))
        for converted in resampler.resample(None):
            file.mux(stream.encode(converted))
        file.mux(stream.encode(None))
    return out.getvalue()
