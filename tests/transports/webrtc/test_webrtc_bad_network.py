"""Whole calls across networks that lose, delay and fall silent: aiortc's stock peer calls a bot of ours."""

from __future__ import annotations

import json
import signal
import time

import pytest
from bad_network import bad_network, begin_call, call, line_of

from runner.transports.webrtc import peer_watch

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]


@pytest.mark.faults(14)
@pytest.mark.realtime
def test_under_loss_and_jitter_all_that_comes_is_heard_and_no_more_is_made_up() -> None:
    with bad_network("--loss", "5", "--delay", "30", "--jitter", "20") as network:
        caller, bot = call(network, "botrun", 8.0)
    sent = bot["last"] + 1
    lost = sent - bot["arrived"]
    assert caller["state"] == "connected"
    assert lost > 0
    assert bot["decoded"] >= 0.99 * bot["in_time"]
    assert bot["concealed"] <= lost + bot["late"] + 0.01 * sent
    assert bot["recovered"] > 0
    assert sum(bot["chirps"]) >= len(bot["chirps"]) - 1


@pytest.mark.faults(14)
@pytest.mark.realtime
def test_twenty_percent_of_loss_break_nothing() -> None:
    with bad_network("--loss", "20", "--delay", "10") as network:
        caller, bot = call(network, "botrun", 6.0)
    assert caller["state"] == "connected"
    assert bot["decoded"] >= 0.99 * bot["in_time"]


@pytest.mark.faults(14)
@pytest.mark.realtime
def test_packets_that_overtake_each_other_are_put_in_order() -> None:
    with bad_network("--delay", "30", "--jitter", "25", "--reorder") as network:
        _, bot = call(network, "botrun", 8.0)
    assert bot["arrived"] == bot["last"] + 1
    assert bot["decoded"] >= 0.98 * bot["arrived"]  # the first do not know the network yet


@pytest.mark.faults(13)
@pytest.mark.processes
def test_a_silence_of_four_seconds_is_survived() -> None:
    with bad_network("--delay", "5") as network:
        ends = begin_call(network, "botrun", 10.0)
        time.sleep(3)
        network.relay.send_signal(signal.SIGUSR1)
        time.sleep(4)
        network.relay.send_signal(signal.SIGUSR1)
        caller, bot = (json.loads(line_of(end)) for end in ends)
        for end in ends:
            end.communicate()
    assert caller["state"] == "connected"
    assert bot["close_reason"] == "the client left"
    assert bot["last"] > 450  # the end of the call was heard


@pytest.mark.faults(15)
@pytest.mark.processes
def test_a_peer_that_hears_nothing_of_us_is_noticed_within_ten_seconds() -> None:
    with bad_network("--delay", "5") as network:
        caller, bot = begin_call(network, "botrun", 20.0)
        time.sleep(3)
        network.relay.send_signal(signal.SIGUSR2)
        counted = json.loads(line_of(bot))
        network.relay.terminate()
        blackholed = json.loads(line_of(network.relay))["blackholed"]
        for end in (caller, bot):
            end.kill()
            end.communicate()
    assert counted["close_reason"] == "nothing that we send reaches the client any more"
    assert blackholed > 100
    assert peer_watch.UNREACHED_SECS + peer_watch.WATCH_SECS < 10


@pytest.mark.faults(11)
@pytest.mark.processes
def test_a_peer_that_is_killed_is_noticed_within_ten_seconds() -> None:
    with bad_network("--delay", "5") as network:
        caller, bot = begin_call(network, "botrun", 20.0)
        time.sleep(3)
        caller.kill()
        counted = json.loads(line_of(bot))
        for end in (caller, bot):
            end.communicate()
    assert counted["close_reason"] == "nothing came from the client any more"
    assert peer_watch.GONE_SECS + peer_watch.WATCH_SECS < 10
