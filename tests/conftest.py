"""What holds for every test: it leaves nothing behind, and what it needs is there.

A test that needs more than Python is marked (`browser`, `local`, `root`) and skips where that is missing,
unless `BOTRUN_CI` is set: there, a skipped test would be a test that nobody runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import inspect
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

# A machine that is busy may take any time for an example.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

GRACE_S = 1.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


# ------------------------------------------------------------------ what a test needs


def find_browser() -> str | None:
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def has_local_services() -> bool:
    return all(importlib.util.find_spec(name) for name in ("pocketsphinx", "espeakng_loader"))


def has_client_packages() -> bool:
    there = Path(__file__).parent / "rtvi" / "client_js" / "node_modules" / "@pipecat-ai"
    return shutil.which("npm") is not None and there.is_dir()


def has_model_runners() -> bool:
    return all(importlib.util.find_spec(name) for name in ("faster_whisper", "piper", "onnx"))


def can_make_namespaces() -> bool:
    return os.geteuid() == 0 and sys.platform == "linux" and shutil.which("ip") is not None


HAS_GSTREAMER = """
import gi
for name in ("Gst", "GstWebRTC", "GstSdp"):
    gi.require_version(name, "1.0")
from gi.repository import Gst
Gst.init(None)
needed = "webrtcbin", "nicesrc", "dtlsdec", "srtpdec", "opusenc"
raise SystemExit(not all(map(Gst.ElementFactory.find, needed)))
"""


@cache
def has_gstreamer() -> bool:
    """Asks the system's Python, whose packages Debian's bindings are."""
    try:
        return subprocess.run(["/usr/bin/python3", "-c", HAS_GSTREAMER], capture_output=True).returncode == 0
    except OSError:
        return False


NEEDS: dict[str, tuple[Callable[[], object], str]] = {
    "browser": (find_browser, "needs a browser: apt-get install chromium"),
    "firefox": (
        lambda: shutil.which("firefox-esr") or shutil.which("firefox"),
        "needs Firefox: apt-get install firefox-esr",
    ),
    "gstreamer": (
        has_gstreamer,
        "needs GStreamer's webrtcbin: apt-get install python3-gi gir1.2-gst-plugins-bad-1.0"
        " gstreamer1.0-nice gstreamer1.0-plugins-bad gstreamer1.0-plugins-good",
    ),
    "local": (has_local_services, "needs the local ears and voice: pip install 'botrun[local]'"),
    "client_js": (
        has_client_packages,
        "needs Pipecat's client packages: npm install --no-package-lock --prefix tests/rtvi/client_js",
    ),
    "noise": (
        lambda: importlib.util.find_spec("webrtc_noise_gain"),
        "needs the noise suppression: pip install 'botrun[noise]'",
    ),
    "models": (has_model_runners, "needs faster-whisper and piper: pip install 'botrun[whisper,piper]'"),
    "root": (can_make_namespaces, "needs root and network namespaces"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--realtime",
        action="store_true",
        help="also run the tests marked `processes` and, one after the other, those marked `realtime`",
    )
    parser.addoption(
        "--long", action="store_true", help="also run the tests marked `long` (with --realtime, too)"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """`-n auto`: three workers on two processors, because a worker waits for sockets, timers and helper
    processes during almost half of its time. PYTEST_XDIST_AUTO_NUM_WORKERS chooses another number."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # pytest-xdist reads it
    return max(1, _usable_processors() * 3 // 2)


def _usable_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_runtest_setup(item: pytest.Item) -> None:
    slow = item.get_closest_marker("realtime") or item.get_closest_marker("processes")
    if slow is not None and not item.config.getoption("--realtime"):
        pytest.skip("takes real time: pytest --realtime")
    options = item.config.option
    if item.get_closest_marker("long") is not None and not (options.long or options.realtime):
        pytest.skip("takes many seconds of CPU: pytest --long")
    for marker, (is_there, reason) in NEEDS.items():
        if item.get_closest_marker(marker) is not None and not is_there():
            missing(reason)


def missing(reason: str) -> None:
    """Skip the running test, or fail it where nothing may be missing."""
    if os.environ.get("BOTRUN_CI"):
        pytest.fail(f"{reason} (BOTRUN_CI is set)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program."""
    path = find_browser()
    if path is None:
        missing(NEEDS["browser"][1])
    return str(path)


# ------------------------------------------------------------------ what a test leaves behind


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test after which a task, a thread or a child process goes on."""
    threads, children = set(threading.enumerate()), children_of_this_process()
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("leaves_no_task")
    yield
    deadline = time.monotonic() + GRACE_S
    while (left := _left(threads, children)) and time.monotonic() < deadline:
        time.sleep(0.01)
    if left:
        pytest.fail(f"left behind: {', '.join(left)}", pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def remembers_nothing_for_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a run keeps (the last call, a number's book) is kept in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("BOTRUN_RECORD", "0")  # tests/records/ records
        yield


@pytest.fixture(autouse=True)
def each_test_warms_up_by_itself(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No helper process of another test is started, and none of another test's loop is taken for running."""
    from runner.services.common import warmup

    monkeypatch.setattr(warmup, "_starting", {})
    if request.node.get_closest_marker("local") is None:
        monkeypatch.setattr(warmup, "_entries", {})


@pytest.fixture
async def leaves_no_task() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    for _ in range(3):  # what has just been cancelled ends in the next rounds of the loop
        await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before if not task.done()} - {asyncio.current_task()}
    if left:
        pytest.fail(f"left behind: {', '.join(map(_named, left))}", pytrace=False)


def _named(task: asyncio.Task[object]) -> str:
    return f"task {task.get_name()} ({getattr(task.get_coro(), '__qualname__', '?')})"


def _left(threads: set[threading.Thread], children: set[int]) -> list[str]:
    # A loop's own executor ends with the loop, which is closed after the fixtures.
    mine = [t for t in threading.enumerate() if not t.daemon and t.name.partition("_")[0] != "asyncio"]
    return [f"thread {thread.name}" for thread in mine if thread not in threads] + [
        f"process {pid} ({_command(pid)})" for pid in children_of_this_process() - children if _counts(pid)
    ]


def children_of_this_process() -> set[int]:
    if sys.platform != "linux":
        return {child.pid for child in psutil.Process().children()}
    found: set[int] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended since
            found.update(int(pid) for pid in task.read_text().split())
    return found


def _counts(pid: int) -> bool:
    """multiprocessing keeps a tracker of its own to the end; a zombie has ended and waits for its parent."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "multiprocessing" not in _command(pid)
    except psutil.Error:
        return False


def _command(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())[:120]
    except psutil.Error:
        return "ended"
