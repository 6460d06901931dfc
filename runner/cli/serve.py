"""`botrun serve FILE`: serves the bot on all cores, for production."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.cli import run
from runner.cli.run import option

if TYPE_CHECKING:
    from runner.settings import Settings

logger = logging.getLogger(__name__)

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
UNSET = {"log": "json", "record": False, "max_public_calls": 0, "max_starts_per_min": 0}
"""Defaults of `botrun serve` that differ from `botrun run`, which is for one developer's machine."""


def serve(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The bot's file, or FILE:function.")],
    workers: Annotated[str | None, option("workers")] = None,
    isolate: Annotated[bool | None, option("isolate")] = None,
    spare: Annotated[str | None, option("spare")] = None,
    transports: Annotated[list[str] | None, option("transports")] = None,
    host: Annotated[str | None, option("host")] = None,
    port: Annotated[str | None, option("port")] = None,
    grace: Annotated[str | None, option("grace_secs")] = None,
    capacity: Annotated[str | None, option("capacity")] = None,
    worker_memory: Annotated[str | None, option("worker_memory_mb")] = None,
    body: Annotated[str | None, option("body")] = None,
    ice_servers: Annotated[list[str] | None, option("ice_servers")] = None,
    allow_origins: Annotated[list[str] | None, option("allow_origins")] = None,
    proxy: Annotated[str | None, option("proxy")] = None,
    public_port: Annotated[str | None, option("public_port")] = None,
    public_host: Annotated[str | None, option("public_host")] = None,
    check_public: Annotated[bool | None, option("check_public")] = None,
    state: Annotated[str | None, option("state")] = None,
    number: Annotated[str | None, option("number")] = None,
    media_address: Annotated[str | None, option("media_address")] = None,
    media_ports: Annotated[str | None, option("media_ports")] = None,
    record: Annotated[bool | None, option("record")] = None,
    record_content: Annotated[str | None, option("record_content")] = None,
    verbose: Annotated[bool | None, option("verbose")] = None,
) -> int:
    """Serve the bot on all cores, without reloading, until SIGTERM.

    Logs are JSON. After SIGTERM, botrun accepts no new calls and lets running calls end. SIGHUP loads new
    code.
    """
    flags = {
        "workers": workers,
        "isolate": isolate,
        "spare": spare,
        "transports": transports,
        "host": host,
        "port": port,
        "grace_secs": grace,
        "capacity": capacity,
        "worker_memory_mb": worker_memory,
        "body": body,
        "ice_servers": ice_servers,
        "allow_origins": allow_origins,
        "proxy": proxy,
        "public_port": public_port,
        "public_host": public_host,
        "check_public": check_public,
        "state": state,
        "number": number,
        "media_address": media_address,
        "media_ports": media_ports,
        "record": record,
        "record_content": record_content,
        "verbose": verbose,
    }
    return start(file, flags)


def start(file: str, flags: Mapping[str, Any]) -> int:
    """Check flags and settings, and open the port, before starting workers."""
    from runner.botcode.loader import parse_target
    from runner.cli.listen import address_of, open_listener
    from runner.settings import find_dotenv, read_dotenv, resolve
    from runner.settings.transports import choose_transports

    target = parse_target(file)
    dotenv = read_dotenv(find_dotenv(target.path))
    settings = in_production(resolve(flags, dotenv))
    run.check(settings, dotenv)
    transports = choose_transports(settings.transports)
    run.configure_logs(settings)
    run.warn_of_dotenv(dotenv, target.path)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(open_listener(settings.host, settings.port))
        settings = replace(settings, transports=transports, port=address_of(listener)[1])
        public = None
        if run.is_open(settings):
            from runner.server.public.address import open_public_listener

            public = stack.enter_context(open_public_listener(settings))
        return _run(file, target.path, settings, flags, listener, public)


def in_production(settings: Settings) -> Settings:
    """The settings with the defaults of `botrun serve`."""
    unset = {name: value for name, value in UNSET.items() if name not in settings.sources}
    return replace(settings, reload=False, open_page=False, **unset)  # type: ignore[arg-type]


def cores() -> int:
    """Number of cores that this process may use: its CPU set, limited by the container's quota."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text().split()
        return max(1, min(there, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no container, or "max"
        return there


def _measured(bot: Path, settings: Settings) -> int:
    """Number of calls per worker, as measured by `botrun load`; 0 if it was not measured."""
    from runner.cli.capacity_file import measured

    found = measured(bot, settings.transports)
    if found is None:
        return 0
    logger.info("%s", found.sentence())
    return found.capacity


def _run(
    file: str, bot: Path, settings: Settings, flags: Mapping[str, Any], listener: Any, public: Any
) -> int:
    import asyncio

    from runner.settings.table import FIXED
    from runner.supervisor.members import PoolPlan
    from runner.supervisor.pool import WorkerPool
    from runner.supervisor.rollout import RunPlan

    plan = RunPlan(
        typed=file,
        bot=bot,
        flags={**flags, "record": settings.record},
        fixed={name: getattr(settings, name) for name in FIXED},
        transports=settings.transports,
        program=(sys.executable, "-P", "-m", "runner.cli.fork_server"),
        is_public=public is not None,
    )
    pool = PoolPlan(
        workers=settings.workers or (1 if settings.isolate else cores()),
        grace_s=settings.grace_secs,
        capacity=settings.capacity or (0 if settings.isolate else _measured(bot, settings)),
        most_calls=settings.max_sessions,
        public_calls=settings.max_public_calls,
        memory_mb=settings.worker_memory_mb,
        spare=settings.spare if settings.isolate else 0,
        cores=cores(),
    )
    return asyncio.run(WorkerPool(plan, pool, listener, public).run())
