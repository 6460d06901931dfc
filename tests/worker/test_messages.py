"""The worker protocol: every message survives the wire, everything else is refused in one sentence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.botcode.failure import Failure
from runner.eventloop.json_channel import Channel, LineWriter
from runner.server.public.address import PublicAddress
from runner.sessions.admission import RunLoad
from runner.worker import messages as m
from runner.worker.encoding import MessageChannel, MessageError, decode, encode
from runner.worker.messages import KeeperJob, PoolJob, RunJob, WorkerJob

TEXT = st.text(max_size=8)
JSON = st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=2)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
RUN = st.builds(RunJob, typed=TEXT, file=TEXT, flags=OBJECT, fixed=OBJECT, folder=TEXT)
ADDRESS = st.builds(
    PublicAddress,
    origin=TEXT, dial_key=TEXT, probe_token=TEXT, probe_answer=TEXT, keys=st.dictionaries(TEXT, TEXT),
)  # fmt: skip
POOL = st.builds(PoolJob, calls=st.integers())
FAILURE = st.builds(
    Failure,
    text=TEXT, message=TEXT, file=TEXT, line=st.integers(), source=TEXT, usage=st.booleans(), traceback=TEXT,
)  # fmt: skip
OF_FIELD: dict[str, st.SearchStrategy[Any]] = {
    "modules": st.lists(TEXT).map(tuple),
    "workers": st.lists(TEXT).map(tuple),
    "what": st.lists(TEXT).map(tuple),
    "pid": st.integers(),
    "status": st.integers(),
    **dict.fromkeys(("calls", "reserved"), st.integers()),
    **dict.fromkeys(("cpu", "lag_ms", "memory_mb"), st.floats(allow_nan=False)),
    "load": st.builds(
        RunLoad,
        used=st.floats(allow_nan=False),
        calls=st.integers(),
        capacity=st.integers(),
        workers=st.integers(),
    ),
    "last": st.booleans(),
    "call": OBJECT,
    "totals": OBJECT,
    "state": OBJECT,
    "public": st.none() | ADDRESS,
    "address": ADDRESS,
    "failure": FAILURE,
    "job": st.builds(WorkerJob, run=RUN, trace=TEXT, announce=st.booleans(), pool=st.none() | POOL)
    | st.builds(KeeperJob, run=RUN, former=st.none() | ADDRESS),
}
KINDS = get_args(m.Message)


def a_message(kind: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{field.name: OF_FIELD.get(field.name, TEXT) for field in fields(kind)})


MESSAGES = st.one_of(*map(a_message, KINDS))


@given(MESSAGES)
def test_every_message_survives_the_wire(message: Any) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode(line, m.Message) == message


@given(MESSAGES, st.data())
def test_a_damaged_message_is_refused_in_one_sentence_or_still_well_formed(message: Any, data: Any) -> None:
    found = json.loads(encode(message))
    name = data.draw(st.sampled_from([*found, "surplus"]))
    if data.draw(st.booleans()):
        found.pop(name, None)
    else:
        found[name] = data.draw(JSON)
    kept = refused = None
    try:
        kept = decode(json.dumps(found), m.Message)
    except MessageError as error:
        refused = str(error)
    if refused is None:
        assert isinstance(kept, KINDS)
        assert decode(encode(kept), m.Message) == kept
    else:
        assert "\n" not in refused


@given(st.binary())
def test_bytes_that_are_no_message_are_refused(line: bytes) -> None:
    with pytest.raises(MessageError):
        decode(line, m.Message)


def test_refusals_name_what_is_wrong() -> None:
    def refusal(line: str, kinds: Any = m.ToWorker) -> str:
        with pytest.raises(MessageError) as caught:
            decode(line, kinds)
        return str(caught.value)

    assert "unknown type 'Forked'" in refusal('{"v": 1, "type": "Forked", "worker": "3", "pid": 4}')
    assert "has version 2, this process has 1" in refusal('{"v": 2, "type": "Retire"}')
    assert "CallTaken.key is not of the type str" in refusal('{"v": 1, "type": "CallTaken", "key": 3}')
    assert "CallTaken lacks key" in refusal('{"v": 1, "type": "CallTaken"}')
    assert "Retire has the unknown field 'now'" in refusal('{"v": 1, "type": "Retire", "now": true}')
    assert "is not a JSON object but list" in refusal("[]")


async def test_a_receiver_skips_what_it_cannot_read(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    channel = MessageChannel[m.ToWorker](await Channel.over(ours), m.ToWorker, "supervisor")
    theirs.sendall(b'{"v": 1, "type": "Surprise"}\n' + encode(m.Retire()))
    theirs.close()
    assert [message async for message in channel.messages()] == [m.Retire()]
    await channel.aclose()
    assert "supervisor: a message has the unknown type 'Surprise'; botrun ignores it" in caplog.text


def fill(pipe: socket.socket) -> int:
    """Send until the pipe is full; returns how many bytes."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += pipe.send(b"x" * 4096)
    return sent


def test_a_fork_request_waits_while_the_pipe_is_full_and_arrives_with_its_file() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        filling = fill(ours)
        writer = LineWriter(ours)
        job = WorkerJob(run=RunJob(typed="b.py", file="b.py", flags={}, fixed={}, folder="f"), trace="t")
        fork = m.Fork(worker="1", job=job)
        reader, passed = os.pipe()
        writer.send(encode(fork), passed)
        os.close(passed)  # as `ForkServer.fork` does
        assert writer.pending
        while filling:
            filling -= len(theirs.recv(min(filling, 1 << 16)))
        writer.flush()
        assert not writer.pending
        line, [received], _, _ = socket.recv_fds(theirs, 1 << 16, 1)
        assert decode(line, m.ToForkServer) == fork
        os.write(received, b"!")
        assert os.read(reader, 1) == b"!"
        os.close(received)
        os.close(reader)


async def test_the_fork_server_gets_what_did_not_fit_its_pipe_at_once() -> None:
    """Its process imports for seconds, and reads nothing meanwhile."""
    from runner.supervisor.processes import ForkServer

    listener = socket.create_server(("127.0.0.1", 0))
    ended = asyncio.Event()
    program = (sys.executable, "-P", "-m", "runner.cli.fork_server")
    server = ForkServer(program, [listener], lambda worker: ended.set(), lambda notes: None)
    try:
        for _ in range(40):
            server.prepare(["no_such_module_" + "x" * 50_000])
        assert server._writer.pending
        run = RunJob(typed="/no/bot.py", file="/no/bot.py", flags={}, fixed={}, folder="/")
        worker = await server.fork(WorkerJob(run=run, trace=os.devnull))
        async with asyncio.timeout(30):
            await ended.wait()
        assert (worker.pid > 0, worker.status) == (True, 1)
        assert b"LoadFailed" in (await worker.channel._line() or b"")
        await worker.channel.aclose()
    finally:
        await server.aclose()
        listener.close()
