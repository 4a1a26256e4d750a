# SPDX-License-Identifier: BSD-2-Clause
# test_hostile.py - a client that scribbles over its rings harms only itself.
"""
         a <---> b       checked packet by packet
  evil ---> mirror
  evil <--- mirror       so that evil's RX rings are in use as well
"""
import pytest

import glen
from peers import Peer, assert_intact, hostile

SLOTS = 10_000_000
KNOWN = {
    "a TX slot is longer than its buffer",
    "a TX slot names a buffer that does not exist",
    "an RX slot names a buffer that does not exist",
    "the head of a TX ring is not a slot",
    "the head of an RX ring is not between its old value and the tail",
}
STATIC = {"map": {"a": "b", "b": "a", "evil": "mirror", "mirror": "evil"}}


@pytest.mark.parametrize("workers", [1, 2])
def test_ring_writer_harms_nobody(scaled, workers):
    with glen.Glend(workers=workers) as glend:
        glend.rpc("switch.add", switch="s", module="static", options=STATIC)
        pid = glend.pid
        with Peer(glend, "check", "s:a", "s:b") as traffic, \
                Peer(glend, "bounce", "s:mirror") as mirror:
            report = hostile(glend, "s:evil", scaled(SLOTS, 100_000))
        print(report)
        assert_intact(traffic.report)
        assert not mirror.report["error"]
        assert mirror.report["packets"] > 0
        assert glend.pid == pid and glend.process.poll() is None
        assert report["closed"] > 0
        assert set(report["reasons"]) <= KNOWN
        broken = glend.rpc("status")["broken_ports"]
        assert {b["port"] for b in broken} == {"s:evil"}
        assert {b["reason"] for b in broken} <= KNOWN
        glend.check_identity()


def test_ring_writer_in_a_learning_switch(glend, scaled):
    """
    Here the liar's frames are flooded to its neighbours, whose rings may
    overflow, and it can send again what was flooded to it, under their
    addresses: that is Ethernet. But the neighbours stay attached, traffic goes
    on, and every packet is accounted for.
    """
    with Peer(glend, "check", "s:a", "s:b") as traffic:
        report = hostile(glend, "s:evil", scaled(SLOTS // 10, 100_000))
        before = glend.port_stats("s:a")["in"]["packets"]
        glen.wait_until(
            lambda: glend.port_stats("s:a")["in"]["packets"] > before + 1000,
            20, "traffic goes on")
    assert report["closed"] > 0
    for end in ("left", "right"):
        assert traffic.report[end]["error"] == ""
        assert traffic.report[end]["received"] > 0
    glend.check_identity()


def test_every_way_of_lying_is_noticed(glend, scaled):
    """
    Over some lives each reason that a ring can be closed for shows up. The
    dice, and which of two lies glend sees first, decide how many lives.
    """
    glend.rpc("switch.add", switch="s", module="static", options=STATIC)
    seen = set()

    def all_seen():
        report = hostile(glend, "s:evil", scaled(3_000_000, 1_000_000))
        assert set(report["reasons"]) <= KNOWN
        seen.update(report["reasons"])
        return seen == KNOWN

    with Peer(glend, "bounce", "s:mirror"):
        glen.wait_until(all_seen, 120, "every reason")
