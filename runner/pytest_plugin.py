"""pytest's plugin: scenario files as tests, and the fixture `caller`. Imports nothing of botrun until used.

In pytest's settings, `botrun_scenarios` names files or folders whose scenarios are collected; elsewhere no
YAML is touched. `botrun_bot` and `botrun_transport` are for scenarios that do not name their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.callers.tested import TestCall

RECORDS = "botrun_record"
"""The name under which a test's records are in JUnit's properties."""


class FailedCall(AssertionError):
    """A scenario's expectations were not met; the message has them and the conversation."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The settings."""
    parser.addini("botrun_scenarios", "Files or folders with scenarios to collect.", type="paths", default=[])
    parser.addini("botrun_bot", "The bot of scenarios that name none.", default="")
    parser.addini("botrun_transport", "The transport of scenarios that name none.", default="twilio")


def pytest_collect_file(parent: pytest.Collector, file_path: Path) -> pytest.Collector | None:
    """Scenarios under `botrun_scenarios`."""
    if file_path.suffix not in (".yaml", ".yml"):
        return None
    places = [Path(str(place)) for place in parent.config.getini("botrun_scenarios")]
    if not any(file_path == place or place in file_path.parents for place in places):
        return None
    return ScenarioFile.from_parent(parent, path=file_path)


class ScenarioFile(pytest.File):
    """A scenario's file."""

    def collect(self) -> Iterator[pytest.Item]:
        yield ScenarioItem.from_parent(self, name=self.path.stem)


class ScenarioItem(pytest.Item):
    """One call."""

    def runtest(self) -> None:
        from runner.callers.call import CallRequest, make_call
        from runner.callers.scenario import load_scenario
        from runner.errors import UsageError

        scenario = load_scenario(self.path)
        bot = scenario.bot or (self.config.rootpath / str(self.config.getini("botrun_bot") or ""))
        if not bot.is_file():
            raise UsageError(f"{self.path}: names no bot: write `bot: FILE` into it, or set botrun_bot")
        request = CallRequest(
            provider=scenario.transport or str(self.config.getini("botrun_transport")),
            file=str(bot),
            scenario=scenario,
        )
        result = asyncio.run(make_call(request))
        if result.record is not None:
            self.user_properties.append((RECORDS, str(result.record)))
        if not result.met:
            failed = [f"{each.place}: {each.sentence}" for each in result.outcomes if not each.met]
            lines = [f"{line.at:7.2f} s  {line.who:<7} {line.text}" for line in result.lines]
            raise FailedCall("\n".join([*failed, "", *lines]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from runner.errors import BotrunError

        if isinstance(excinfo.value, FailedCall | BotrunError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"call {self.name}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Name the records of a failed test's calls."""
    outcome: Any = yield
    report = outcome.get_result()
    records = [str(path) for name, path in item.user_properties if name == RECORDS]
    if report.when == "call" and report.failed and records:
        names = "\n".join(f"botrun show {Path(path).name}    {path}" for path in records)
        report.sections.append(("recorded calls", names))


@pytest.fixture
def caller(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[TestCall]]:
    """Calls a bot: `async with caller("bots/my_bot.py", transport="twilio") as phone`. A relative path is
    from pytest's root."""

    @asynccontextmanager
    async def call(bot: str | Path, **options: Any) -> AsyncIterator[TestCall]:
        from runner.callers.tested import call_under_test

        made: TestCall | None = None
        try:
            async with call_under_test(request.config.rootpath / bot, **options) as made:
                yield made
        finally:
            if made is not None and made.record is not None:
                request.node.user_properties.append((RECORDS, str(made.record)))

    return call
