# SPDX-License-Identifier: BSD-2-Clause
# test_vhost_killed.py - guests' rings go on when glend was killed under them.
"""
  left <---> glend <---> right      vhost_peer, every byte checked

What was under way may be lost while the other guest is not back yet, and a
batch may come twice (docs/vms.md); nothing else may happen, and traffic goes
on by itself.
"""
import os

import pytest

import glen
from peers import VhostPeer

STATIC = {"map": {"a": "b", "b": "a"}}
WINDOW = 100
BATCH = 256
KINDS = {
    "split": {},
    "split-events": {"event_idx": True},
    "packed": {"packed": True},
    "packed-events": {"packed": True, "event_idx": True},
    "packed-odd": {"packed": True, "size": 250, "len_max": 6000},
}


@pytest.mark.parametrize("kind, workers", [
    ("split", 1), ("split-events", 2), ("packed", 1), ("packed", 2),
    ("packed-events", 1), ("packed-odd", 2)])
def test_rings_go_on(scaled, kind, workers):
    rounds = scaled(20, 3)
    with glen.Glend(workers=workers) as glend:
        glend.rpc("switch.add", switch="s", module="static", options=STATIC)
        paths = [os.path.join(glend.dir, name) for name in "ab"]
        for name, path in zip("ab", paths):
            glend.rpc("port.add", port=f"s:{name}", driver="vhost-user",
                      path=path)
        with VhostPeer(*paths, resume=True, window=WINDOW,
                       **KINDS[kind]) as traffic:
            for _ in range(rounds):
                glend.restart()
                glen.wait_until(
                    lambda: min(glend.port_stats(f"s:{name}")["in"]["packets"]
                                for name in "ab") > 3 * WINDOW,
                    30, "traffic goes on both ways")
        report = traffic.report
        print(report)
        for end in ("left", "right"):
            assert report[end]["resumes"] == rounds
            assert report[end]["corrupt"] == 0
            assert report[end]["received"] > 2 * WINDOW * rounds
            assert report[end]["lost"] <= 2 * (WINDOW + BATCH) * rounds
            assert report[end]["doubled"] <= 2 * BATCH * rounds
            assert report[end]["short"] <= BATCH * rounds
        glend.check_identity()
