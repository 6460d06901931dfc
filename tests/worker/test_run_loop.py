"""A worker's loop outlives what a bot's tasks raise."""

from __future__ import annotations

import asyncio

import pytest

from runner.worker.standalone import run_loop


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_task_that_raises_what_ends_programs_does_not_end_the_worker(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    async def of_a_bot() -> None:
        raise error

    async def main() -> None:
        task = asyncio.create_task(of_a_bot())
        await asyncio.sleep(0.01)
        assert isinstance(task.exception(), error)
        done.append("the other call")

    run_loop(main())
    assert done == ["the other call"]
    assert f"a task of the bot raised {error.__name__} (test_run_loop.py:" in caplog.text


def test_what_the_main_task_raises_is_raised() -> None:
    async def main() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run_loop(main())
