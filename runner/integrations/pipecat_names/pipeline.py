"""`PipelineTask` and `PipelineRunner` with Pipecat's further arguments, and their newer names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runner import pipeline as ours
from runner.errors import UsageError
from runner.integrations.pipecat_names.context import LLMUserAggregator
from runner.pipeline.pipeline import everything
from runner.rtvi import RTVIObserverParams
from runner.transports.input import BaseInputTransport
from runner.turns.interruption import InterruptionStrategy

__all__ = ["PipelineParams", "PipelineRunner", "PipelineTask", "PipelineWorker", "WorkerRunner"]


@dataclass(frozen=True, kw_only=True)
class PipelineParams(ours.PipelineParams):
    """`PipelineParams` that also takes Pipecat's further fields, which change nothing here."""

    enable_heartbeats: bool = False
    heartbeats_period_secs: float = 1.0
    heartbeats_monitor_secs: float = 10.0
    interruption_strategies: Sequence[InterruptionStrategy] = ()
    report_only_initial_ttfb: bool = False
    send_initial_empty_metrics: bool = True
    start_metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.interruption_strategies:
            object.__setattr__(self, "interruption_strategy", self.interruption_strategies[0])


class PipelineTask(ours.PipelineTask):
    """`PipelineTask` that hands the aggregators' analyzers to the transport.

    Newer bots give their VAD, turn analyzer and strategies to the user's aggregator (`user_params`), older
    ones to the transport. Speech is detected in the transport, before anything that could delay it.
    """

    def __init__(
        self,
        pipeline: ours.Pipeline,
        *,
        params: ours.PipelineParams | None = None,
        observers: Sequence[Any] | None = None,
        idle_timeout_secs: float | None = None,
        cancel_on_idle_timeout: bool = True,
        cancel_runner_on_idle_timeout: bool = True,
        cancel_timeout_secs: float = 20.0,
        check_dangling_tasks: bool = True,
        conversation_id: str | None = None,
        additional_span_attributes: dict[str, Any] | None = None,
        enable_rtvi: bool | None = True,
        enable_tracing: bool = False,
        enable_turn_tracking: bool = True,
        name: str | None = None,
        rtvi_observer_params: RTVIObserverParams | None = None,
    ) -> None:
        params = _join(pipeline, params or ours.PipelineParams())
        super().__init__(
            pipeline,
            params=params,
            observers=observers or (),
            idle_timeout_secs=idle_timeout_secs if cancel_on_idle_timeout else None,
            enable_rtvi=enable_rtvi is not False,
            rtvi_observer_params=rtvi_observer_params,
        )
        self.name = name or type(self).__name__

    def set_reached_upstream_filter(self, types: tuple[type, ...]) -> None:
        """Nothing to choose: events for frames that reach an end are not emitted here."""

    def set_reached_downstream_filter(self, types: tuple[type, ...]) -> None:
        """As `set_reached_upstream_filter`."""


class PipelineWorker(PipelineTask):
    """The newer name."""

    async def end(self, reason: str | None = None) -> None:
        """`stop_when_done`."""
        await self.stop_when_done()


def _join(pipeline: ours.Pipeline, params: ours.PipelineParams) -> ours.PipelineParams:
    """Hand on what the user's aggregator was given: analyzers to the transport, strategies to the task."""
    row = list(everything(pipeline.flat()))
    inputs = [processor for processor in row if isinstance(processor, BaseInputTransport)]
    for aggregator in row:
        if not isinstance(aggregator, LLMUserAggregator):
            continue
        given = aggregator.params
        for transport in inputs:
            # A copy: the parameters may serve every call of the bot.
            transport.params = replace(
                transport.params,
                vad_analyzer=transport.params.vad_analyzer or given.vad_analyzer,
                turn_analyzer=transport.params.turn_analyzer or given.turn_analyzer,
            )
        if (strategy := given.interruption_strategy) is not None:
            params = replace(params, interruption_strategy=strategy)
        if given.user_mute_strategies:
            params = replace(params, mute=[*params.mute, *given.user_mute_strategies])
    return params


class WorkerRunner:
    """Runs one task. botrun handles Ctrl-C and SIGTERM, whatever `handle_sigint` says."""

    def __init__(
        self,
        *,
        name: str | None = None,
        handle_sigint: bool = True,
        handle_sigterm: bool = False,
        force_gc: bool = False,
    ) -> None:
        self._tasks: list[ours.PipelineTask] = []

    async def add_workers(self, *workers: ours.PipelineTask) -> None:
        """Say what `run()` runs."""
        self._tasks += workers

    async def run(self, worker: ours.PipelineTask | None = None) -> None:
        """Returns when the call is over."""
        tasks = [*self._tasks, worker] if worker is not None else self._tasks
        if len(tasks) != 1:
            raise UsageError(
                f"{type(self).__name__} on botrun's own engine runs one pipeline, not {len(tasks)};"
                " install pipecat to run the bot unchanged"
            )
        self._tasks = tasks
        await ours.PipelineRunner().run(tasks[0])

    async def stop_when_done(self) -> None:
        """End the call when everything said before has been heard."""
        for task in self._tasks:
            await task.stop_when_done()

    async def end(self, reason: str | None = None) -> None:
        """`stop_when_done`."""
        await self.stop_when_done()

    async def cancel(self, reason: str | None = None) -> None:
        """End the call now."""
        for task in self._tasks:
            await task.cancel(reason or "cancelled")


class PipelineRunner(WorkerRunner):
    """The older name."""
