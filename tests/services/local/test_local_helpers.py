"""Helper processes: they end with their parent, and Ctrl-C is not theirs to answer."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time

import psutil
import pytest

from runner.errors import MissingPackageError, ServiceError
from runner.services.local import helpers
from runner.services.local.helpers.process import HelperProcess, Shared

HELPERS = ["runner.services.local.voice_helper", "runner.services.local.ears_helper"]

PARENT = """
import asyncio
from runner.services.local.ears import Ears
from runner.services.local.tts import Voice

async def main():
    voice, ears = Voice(), Ears()
    await asyncio.gather(voice.start(), ears.start())
    print(voice.pid, *ears.pids, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.local
def test_no_helper_outlives_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        helpers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
        parent.wait()
        gone, alive = psutil.wait_procs(helpers, timeout=10)
        assert len(gone) == 2
        assert not alive


@pytest.mark.local
@pytest.mark.parametrize("module", HELPERS)
def test_ctrl_c_is_ignored_and_the_end_of_stdin_ends_a_helper_without_a_word(module: str) -> None:
    command = [sys.executable, "-m", module]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as helper:
        assert helper.stdout is not None
        assert helper.stderr is not None
        assert helper.stdin is not None
        helper.stdout.read(8)  # it is ready
        helper.send_signal(signal.SIGINT)
        time.sleep(0.1)
        assert helper.poll() is None
        helper.stdin.close()
        assert helper.wait(10) == 0
        assert helper.stderr.read() == b""


async def test_a_helper_that_does_not_start_says_why() -> None:
    helper = HelperProcess("runner.no_such_helper", "the test", lambda message: None, lambda sentence: None)
    with pytest.raises(
        ServiceError, match=r"the helper process of the test ended with status 1 .*no_such_helper"
    ):
        await helper.start()
    assert not helper.alive


async def test_messages_to_a_helper_that_has_ended_go_nowhere() -> None:
    helper = HelperProcess("runner.no_such_helper", "the test", lambda message: None, lambda sentence: None)
    helper.send({"say": 1})
    await helper.stop()


@pytest.mark.parametrize(
    ("in_checkout", "install"), [(True, "uv sync"), (False, "pip install 'botrun\\[local\\]'")]
)
def test_a_missing_package_is_named_with_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, in_checkout: bool, install: str
) -> None:
    monkeypatch.setattr(helpers, "find_spec", lambda name: None)
    monkeypatch.setattr(helpers.Path, "is_file", lambda path: in_checkout)
    assert helpers.missing_packages() == ["pocketsphinx", "espeakng-loader"]
    with pytest.raises(MissingPackageError, match=f"needs the package pocketsphinx.*{install}"):
        helpers.require("pocketsphinx", "LocalSTTService")


def test_importing_the_services_loads_none_of_what_they_need() -> None:
    code = (
        "import sys; from runner.services.local import LocalSTTService, LocalTTSService, ScriptedDialogue;"
        "print([m for m in ('numpy', 'pocketsphinx', 'espeakng_loader', 'aiortc') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class _Thing:
    made = 0

    def __init__(self) -> None:
        _Thing.made += 1
        self.stopped = False

    async def start(self) -> None:
        await asyncio.sleep(0)
        if _Thing.made == 1:
            raise ServiceError("not this time")

    async def stop(self) -> None:
        self.stopped = True


async def test_what_is_shared_is_started_once_and_again_after_a_failure_or_a_stop() -> None:
    _Thing.made = 0
    shared = Shared(_Thing)
    with pytest.raises(ServiceError, match="not this time"):
        await shared.start()
    one, same = await asyncio.gather(shared.get(), shared.get())
    assert one is same
    await shared.stop()
    await shared.stop()
    assert one.stopped
    assert await shared.get() is not one
