"""Clients of the run's ledger, in this process or in the keeper's (`worker/public_keeper.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

from runner.eventloop.json_channel import Channel
from runner.providers.webhooks import RefusedError
from runner.server.host import LedgerUnavailableError
from runner.server.public.ledger import Ledger
from runner.settings import Settings


class LedgerClient(Protocol):
    """Calls methods of the ledger; `what` is one of its `WORDS`."""

    async def ask(self, what: str, *args: Any) -> Any:
        """Call a method and return its result.

        Raises:
            RefusedError: the ledger refuses it.
            LedgerUnavailableError: the ledger does not answer.
        """

    def send(self, what: str, *args: Any) -> None:
        """Call a method without waiting for a result."""


class LedgerStore(LedgerClient, Protocol):
    """Where a run's tokens, limits and replay protection are kept: in its keeper, or with other servers."""

    def allow(self, calls: int) -> None:
        """Set the maximum number of concurrent calls on this server; 0 = unlimited."""

    async def start(self) -> None:
        """Raises `BotrunError` if it cannot be reached."""

    async def aclose(self) -> None:
        """Close the connection."""


def make_store(settings: Settings) -> LedgerStore:
    """The store that the settings name."""
    if settings.state is None:
        return LocalLedgerClient(Ledger(settings))
    from runner.server.public.shared_ledger import SharedLedger

    return SharedLedger(settings.state, settings)


class LocalLedgerClient:
    """For a ledger in this process."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def ask(self, what: str, *args: Any) -> Any:
        return self.ledger.answer(what, args, time.monotonic())

    def send(self, what: str, *args: Any) -> None:
        self.ledger.answer(what, args, time.monotonic())

    def allow(self, calls: int) -> None:
        self.ledger.limits.calls = calls

    async def start(self) -> None:
        """It is there."""

    async def aclose(self) -> None:
        """There is nothing to close."""


NAME = "keeper.sock"
ANSWER_S = 3.0
AGAIN_S = 0.1
_AWAY = "the process that keeps the public address does not answer"


class RemoteLedgerClient:
    """For a ledger in the keeper's process. `path`: the keeper's socket."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel: Channel | None = None
        self._there = asyncio.Event()
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._under_way: dict[str, tuple[Any, ...]] = {}

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect, and reconnect while the block runs."""
        keeping = asyncio.create_task(self._keep(), name="ledger_client")
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})

    async def ask(self, what: str, *args: Any) -> Any:
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._there.wait()
                assert self._channel is not None
                self._channel.send({"n": number, "ask": what, "args": args})
                message = await answer
        except TimeoutError:
            raise LedgerUnavailableError(_AWAY) from None
        finally:
            del self._waiting[number]
        if "away" in message:
            raise LedgerUnavailableError(message["away"])
        if "refused" in message:
            raise RefusedError(message["refused"])
        return message["is"]

    def send(self, what: str, *args: Any) -> None:
        if what == "begins":
            self._under_way[args[0]] = args
        elif what == "ends":
            self._under_way.pop(args[0], None)
        if self._channel is not None:
            self._channel.send({"ask": what, "args": args})

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                await self._hear(await Channel.to(str(self._path)))
            await asyncio.sleep(AGAIN_S)

    async def _hear(self, channel: Channel) -> None:
        self._channel = channel
        for call in self._under_way.values():
            channel.send({"ask": "goes_on", "args": call})
        self._there.set()
        try:
            async for message in channel.messages():
                if (answer := self._waiting.get(message["n"])) is not None and not answer.done():
                    answer.set_result(message)
        finally:
            self._there.clear()
            self._channel = None
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(LedgerUnavailableError(_AWAY))
            await channel.aclose()


@contextlib.asynccontextmanager
async def serving_ledger(
    path: Path, ledger: LedgerClient, on_lost: Callable[[str, str], None] = lambda provider, call_id: None
) -> AsyncIterator[None]:
    """Serve the ledger on this socket while the block runs.

    `on_lost` is called with the provider and id of each call whose worker disconnects without ending it.
    """
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(
            _serve(Channel(reader, writer), ledger, on_lost), name="a worker's ledger_client"
        )
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    path.unlink(missing_ok=True)  # left behind by a killed keeper
    server = await asyncio.start_unix_server(connected, str(path))
    try:
        yield
    finally:
        server.close()
        for task in (open_still := set(tasks)):
            task.cancel()
        if open_still:
            await asyncio.wait(open_still)
        path.unlink(missing_ok=True)


async def _serve(channel: Channel, ledger: LedgerClient, on_lost: Callable[[str, str], None]) -> None:
    under_way: dict[str, str] = {}
    try:
        async for message in channel.messages():
            what, args = message["ask"], message["args"]
            if what in {"begins", "goes_on"}:
                under_way[args[0]] = args[2] if len(args) > 2 else ""
            elif what == "ends":
                under_way.pop(args[0], None)
            try:
                said = {"is": await ledger.ask(what, *args)}
            except RefusedError as error:
                said = {"refused": str(error)}
            except LedgerUnavailableError as error:
                said = {"away": str(error)}
            if "n" in message:
                channel.send({"n": message["n"], **said})
        for call_id, provider in under_way.items():
            on_lost(provider, call_id)
    finally:
        for call_id in under_way:
            ledger.send("ends", call_id)
        await channel.aclose()
