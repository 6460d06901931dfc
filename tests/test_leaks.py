"""The fixture that finds what tests leave behind is itself a test's business: it must fire."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent / "conftest.py"

LEAKS = """
import asyncio, subprocess, sys, threading, time

def test_a_thread_goes_on():
    threading.Thread(target=time.sleep, args=(1,), name="sleeper").start()

def test_a_process_goes_on():
    global process
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"])

async def test_a_task_goes_on():
    global task
    task = asyncio.create_task(asyncio.sleep(1), name="dozer")

async def test_nothing_goes_on():
    thread = threading.Thread(target=time.sleep, args=(0.01,))
    thread.start()
    await asyncio.create_task(asyncio.sleep(0))
    await asyncio.to_thread(time.sleep, 0)
    subprocess.run([sys.executable, "-c", ""])
"""


@pytest.mark.long
@pytest.mark.faults(9)
def test_a_test_that_leaves_a_task_a_thread_or_a_process_behind_fails(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST.read_text().replace("GRACE_S = 1.0", "GRACE_S = 0.2"))
    pytester.makepyfile(LEAKS)
    result = pytester.runpytest_subprocess("-o", "asyncio_mode=auto", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=4, errors=3)
    result.stdout.fnmatch_lines_random(
        [
            "*left behind: thread sleeper*",
            "*left behind: process * (*time.sleep(1)*",
            "*left behind: task dozer*",
        ]
    )


@pytest.mark.long
def test_what_is_missing_skips_a_marked_test_but_fails_it_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(CONFTEST.read_text().replace("(find_browser,", "(lambda: None,"))
    pytester.makepyfile("import pytest\n\n@pytest.mark.browser\ndef test_page():\n    pass\n")
    monkeypatch.delenv("BOTRUN_CI", raising=False)
    pytester.runpytest_subprocess().assert_outcomes(skipped=1)
    monkeypatch.setenv("BOTRUN_CI", "1")
    pytester.runpytest_subprocess().assert_outcomes(errors=1)
