# SPDX-License-Identifier: BSD-2-Clause
# test_wake_up.py - through a real glend, no wake-up gets lost either way.
import time

import pytest

from peers import Peer, assert_intact

SLEEP_MS = 5000     # longer than any scheduling delay


@pytest.mark.parametrize("idle", ["wait", "poll"])
@pytest.mark.parametrize("window", [1, 3])
def test_ping_pong_never_stalls(glend, idle, window, scaled):
    """
    So few packets are under way that all three parties sleep all the time. A
    client that is not woken sleeps on for SLEEP_MS, and the gap shows it.
    """
    with Peer(glend, "check", "s:a", "s:b", idle=idle, window=window,
              wait_ms=SLEEP_MS) as traffic:
        time.sleep(scaled(20) / 10)
    assert_intact(traffic.report)
    for end in ("left", "right"):
        assert traffic.report[end]["gap_ms"] < SLEEP_MS * 0.9, traffic.report
    glend.check_identity()


def test_silence_costs_nothing(glend):
    """Clients that only wait are not woken, and wake nobody."""
    with Peer(glend, "drain", "s:a", wait_ms=SLEEP_MS), \
            Peer(glend, "drain", "s:b", wait_ms=SLEEP_MS):
        time.sleep(0.2)
        before = glend.rpc("status")["workers"][0]
        time.sleep(1)
        after = glend.rpc("status")["workers"][0]
    assert after["wakeups"] - before["wakeups"] <= 5, (before, after)
    assert after["turns"] - before["turns"] <= 100, (before, after)
