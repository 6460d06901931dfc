"""The ledger of several servers, in Redis or Valkey (`BOTRUN_STATE=redis://host:6379/0`, extra `redis`).

The keeper of each server uses it for its workers, so that tokens are valid once, limits apply and copies of
webhooks are refused across all servers. Each server renews its calls every `RENEW_S`, so those of a server
that died expire.

    ticket:TOKEN   what a token stands for         call:PROVIDER:ID   the token of a call that was answered
    open           calls by when they expire       talking, callers, numbers, counts   of these calls
    connected:ID   a call whose sound came         servers, capacity  what each server carries
    event:ID  transfer:TOKEN  out:ID               events seen, transfers, calls that we made
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runner.errors import BotrunError, MissingPackageError
from runner.providers.webhooks import RefusedError
from runner.server.host import LedgerUnavailableError
from runner.server.public.ledger import COPY, TICKET_LIFE_S, TICKET_RETRY_S, UNKNOWN_TOKEN, WORDS, Outgoing
from runner.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

PREFIX = "botrun:"
TIMEOUT_S = 2.0
RENEW_S, LIFE_S = 20.0, 60.0
"""Interval (s) at which a server renews its calls, and time (s) after which a call without renewal
expires."""

MEMORY_S = 86_400
"""Time (s) for which copies of webhooks and events are recognised, and the states of dialled calls are
kept."""

FORGET = """
local open, callers, numbers, counts, talking = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local function less(name)
  if name and redis.call('HINCRBY', counts, name, -1) <= 0 then redis.call('HDEL', counts, name) end
end
local function forget(id)
  local caller, number = redis.call('HGET', callers, id), redis.call('HGET', numbers, id)
  if caller then less('c' .. caller) end
  if number then less('n' .. number) end
  redis.call('HDEL', callers, id); redis.call('HDEL', numbers, id)
  redis.call('ZREM', open, id); redis.call('SREM', talking, id)
end
"""
ENDS = FORGET + "forget(ARGV[1])"
ADMIT = (
    FORGET
    + """
local starts, servers, capacity = KEYS[6], KEYS[7], KEYS[8]
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local id, caller, number = ARGV[1], ARGV[2], ARGV[3]
local per_caller, per_number = tonumber(ARGV[4]), tonumber(ARGV[5])
local per_min, life = tonumber(ARGV[6]), tonumber(ARGV[7])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', open, '-inf', now)) do forget(gone) end
if redis.call('ZSCORE', open, id) then return {'', 0} end
local most, limited = 0, true
for _, server in ipairs(redis.call('ZRANGEBYSCORE', servers, now, '+inf')) do
  local calls = tonumber(redis.call('HGET', capacity, server) or '0')
  if calls == 0 then limited = false end
  most = most + calls
end
local count = redis.call('ZCARD', open)
if limited and most > 0 and count >= most then return {'calls', count} end
local mine = tonumber(redis.call('HGET', counts, 'c' .. caller) or '0')
if per_caller > 0 and caller ~= '' and mine >= per_caller then return {'caller', mine} end
local its = tonumber(redis.call('HGET', counts, 'n' .. number) or '0')
if per_number > 0 and number ~= '' and its >= per_number then return {'number', its} end
redis.call('ZREMRANGEBYSCORE', starts, '-inf', now - 60)
local begun = redis.call('ZCARD', starts)
if per_min > 0 and begun >= per_min then return {'starts', begun} end
redis.call('ZADD', starts, now, id)
redis.call('ZADD', open, now + life, id)
redis.call('HSET', callers, id, caller); redis.call('HINCRBY', counts, 'c' .. caller, 1)
redis.call('HSET', numbers, id, number); redis.call('HINCRBY', counts, 'n' .. number, 1)
return {'', 0}
"""
)
"""Counts a call, or returns the limit that refuses it; atomic across servers."""

OF_CALLS = ("open", "callers", "numbers", "counts", "talking")
OF_RUN = ("starts", "servers", "capacity")

REFUSALS = {
    "calls": "{} calls are under way on all servers (BOTRUN_CAPACITY, BOTRUN_MAX_PUBLIC_CALLS)",
    "caller": "this caller has {} calls under way (BOTRUN_MAX_CALLS_PER_CALLER)",
    "number": "this number has {} calls under way (BOTRUN_MAX_CALLS_PER_NUMBER)",
    "starts": "{} calls began within a minute (BOTRUN_MAX_STARTS_PER_MIN)",
}


class SharedLedger:
    """Implements `LedgerClient` for all servers that share this address.

    Args:
        url: `redis://[user:password@]host:port/database`; each bot needs its own database.
        settings: the run's limits.

    Raises:
        MissingPackageError: the extra `redis` is not installed.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        try:
            from redis.asyncio import Redis
        except ImportError:
            raise MissingPackageError("BOTRUN_STATE", "redis", "pip install 'botrun[redis]'") from None
        self._redis: Redis = Redis.from_url(
            url, decode_responses=True, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )
        self._where = f"{urlsplit(url).hostname}:{urlsplit(url).port or 6379}"
        self._settings = settings
        self._server = secrets.token_hex(8)
        self._calls: set[str] = set()
        self._capacity = 0
        self._order = asyncio.Lock()
        self._pending: set[asyncio.Task[Any]] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._script = self._redis.register_script(ADMIT)
        self._forget = self._redis.register_script(ENDS)

    async def start(self) -> None:
        """Connect. Raises `BotrunError` if the server does not answer."""
        try:
            await self._renew()
        except LedgerUnavailableError as error:
            raise BotrunError(f"BOTRUN_STATE: {error}") from None
        self._renewing = asyncio.create_task(self._keep_renewing(), name="renewing calls")

    async def aclose(self) -> None:
        """This server ends: its capacity no longer counts."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})
            with contextlib.suppress(LedgerUnavailableError):
                await self._guarded(self._redis.zrem(PREFIX + "servers", self._server))
        if self._pending:
            await asyncio.wait(self._pending, timeout=TIMEOUT_S)
        await self._redis.aclose()

    async def ask(self, what: str, *args: Any) -> Any:
        if what not in WORDS:
            raise LookupError(what)
        return await self._guarded(getattr(self, f"_{what}")(*args))

    def send(self, what: str, *args: Any) -> None:
        task = asyncio.create_task(self._send(what, args), name=f"send {what}")
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    def allow(self, calls: int) -> None:
        """Set the maximum number of concurrent calls on this server; 0 = unlimited."""
        self._capacity = calls
        self.send("renew")

    async def _send(self, what: str, args: tuple[Any, ...]) -> None:
        try:
            async with self._order:
                await self._guarded(getattr(self, f"_{what}")(*args))
        except LedgerUnavailableError as error:
            logger.warning("%s is not noted: %s", what, error)

    async def _guarded(self, work: Awaitable[Any]) -> Any:
        from redis.exceptions import RedisError

        try:
            return await work
        except (RedisError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise LedgerUnavailableError(f"{self._where} does not answer ({reason[:120]})") from None

    # ------------------------------------------------------------ calls that come

    async def _admit(self, call_id: str, caller: str, number: str = "") -> str:
        await self._check_is_new(call_id)
        if await self._redis.exists(f"{PREFIX}out:{call_id}"):
            return ""
        limits = self._settings
        reason, count = await self._script(
            keys=[PREFIX + name for name in (*OF_CALLS, *OF_RUN)],
            args=[
                *(call_id, caller, number, limits.max_calls_per_caller, limits.max_calls_per_number),
                *(limits.max_starts_per_min, TICKET_LIFE_S),
            ],
        )
        return REFUSALS[reason].format(count) if reason else ""

    async def _issue(self, provider: str, call: Mapping[str, Any], life_s: float) -> str:
        call_id, token = call.get("call_id", ""), secrets.token_urlsafe(24)
        await self._check_is_new(call_id)
        key = f"{PREFIX}call:{provider}:{call_id}"
        if call_id and not await self._redis.set(key, token, nx=True, ex=int(life_s)):
            # Another server answered the same webhook: one token for both.
            token = str(await self._redis.get(key) or token)
        await self._put(token, {"provider": provider, "call": dict(call), "again": False}, life_s)
        return token

    async def _put(self, token: str, ticket: Mapping[str, Any], life_s: float) -> None:
        await self._redis.set(f"{PREFIX}ticket:{token}", json.dumps(ticket), ex=max(1, int(life_s)))

    async def _redeem(self, token: str) -> dict[str, Any]:
        text = await self._redis.getdel(f"{PREFIX}ticket:{token}")
        if text is None:
            raise RefusedError(UNKNOWN_TOKEN)
        ticket: dict[str, Any] = json.loads(text)
        if call_id := ticket["call"].get("call_id"):
            await self._redis.set(f"{PREFIX}connected:{call_id}", 1, ex=MEMORY_S)
        if ticket["provider"] == "exotel" and not ticket["again"]:
            await self._put(token, {**ticket, "again": True}, TICKET_RETRY_S)
        return {**ticket, "expires_at": time.monotonic() + TICKET_LIFE_S}

    async def _restore(self, token: str, ticket: Mapping[str, Any]) -> None:
        kept = {name: ticket[name] for name in ("provider", "call", "again")}
        await self._put(token, kept, TICKET_LIFE_S)
        if call_id := ticket["call"].get("call_id"):
            await self._redis.delete(f"{PREFIX}connected:{call_id}")
            await self._redis.set(
                f"{PREFIX}call:{ticket['provider']}:{call_id}", token, ex=int(TICKET_LIFE_S)
            )

    async def _check_is_new(self, call_id: str) -> None:
        if call_id and await self._redis.exists(f"{PREFIX}connected:{call_id}"):
            raise RefusedError(COPY)

    async def _has_sound(self, call_id: str) -> bool:
        until = await self._redis.zscore(PREFIX + "open", call_id)
        talks = await self._redis.sismember(PREFIX + "talking", call_id)
        return bool(talks and until is not None and float(until) > time.time())

    async def _news(self, event: str) -> bool:
        return bool(await self._redis.set(f"{PREFIX}event:{event}", 1, nx=True, ex=MEMORY_S))

    async def _no_news(self, event: str) -> None:
        await self._redis.delete(f"{PREFIX}event:{event}")

    # ------------------------------------------------------------ calls under way

    async def _begins(self, call_id: str, caller: str, provider: str = "") -> None:
        if await self._redis.zscore(PREFIX + "open", call_id) is not None:
            await self._goes_on(call_id, caller)
        await self._change(call_id, lambda calls: calls.talks(call_id))

    async def _goes_on(self, call_id: str, caller: str, provider: str = "") -> None:
        self._calls.add(call_id)
        await self._redis.zadd(PREFIX + "open", {call_id: time.time() + LIFE_S})
        await self._redis.sadd(PREFIX + "talking", call_id)

    async def _ends(self, call_id: str) -> None:
        self._calls.discard(call_id)
        await self._forget(keys=[PREFIX + name for name in OF_CALLS], args=[call_id])
        await self._change(call_id, lambda calls: calls.hung_up(call_id))

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            with contextlib.suppress(LedgerUnavailableError):
                await self._guarded(self._renew())

    async def _renew(self) -> None:
        until = time.time() + LIFE_S
        await self._guarded(self._redis.zadd(PREFIX + "servers", {self._server: until}))
        await self._guarded(self._redis.hset(PREFIX + "capacity", self._server, str(self._capacity)))
        if self._calls:
            await self._guarded(self._redis.zadd(PREFIX + "open", dict.fromkeys(self._calls, until), xx=True))

    # ------------------------------------------------------------ transfers, calls that we make

    async def _park(self, number: str) -> str:
        token = secrets.token_urlsafe(24)
        await self._redis.set(f"{PREFIX}transfer:{token}", number, ex=int(TICKET_LIFE_S))
        return token

    async def _parked(self, token: str) -> str:
        return str(await self._redis.getdel(f"{PREFIX}transfer:{token}") or "")

    async def _rings(self, call_id: str) -> None:
        await self._redis.set(f"{PREFIX}out:{call_id}", "ringing", ex=MEMORY_S)

    async def _state(self, call_id: str) -> tuple[str, bool]:
        word = str(await self._redis.get(f"{PREFIX}out:{call_id}") or "")
        return word, word.startswith("over")

    async def _became(self, call_id: str, word: str) -> None:
        await self._change(call_id, lambda calls: calls.update(call_id, word))

    async def _voicemail(self, call_id: str) -> bool:
        return bool(await self._change(call_id, lambda calls: calls.reached_voicemail(call_id)))

    async def _change(self, call_id: str, change: Callable[[Outgoing], Any]) -> Any:
        """Change the state of a dialled call, by the rules of `Outgoing`."""
        before, _ = await self._state(call_id)
        if not before:
            return change(Outgoing())
        calls = Outgoing({call_id: before})
        found = change(calls)
        if (after := calls.state(call_id)) != before:
            await self._redis.set(f"{PREFIX}out:{call_id}", after, ex=MEMORY_S)
        return found
