# SPDX-License-Identifier: BSD-2-Clause
# test_workers.py - rings go from worker to worker, and nothing else changes.
import os

import pytest

from glen import Glend, RpcError, wait_until
from peers import Peer, VhostPeer, assert_intact

STATIC = {"map": {"a": "b", "b": "a"}}
PLACES = ("0", "1", "0,1", "1,0", "auto")


@pytest.fixture
def two():
    with Glend(workers=2) as glend:
        yield glend


def workers(glend):
    return glend.rpc("worker.show")


def where(glend, port):
    """Who runs the rings of a port, in the order of the rings."""
    found = {r["ring"]: w["worker"] for w in workers(glend)
             for r in w["rings"] if r["port"] == port}
    return [found[ring] for ring in sorted(found)]


def move_about(glend, times):
    for i in range(times):
        for k, port in enumerate("ab"):
            place = PLACES[(i + 2 * k) % len(PLACES)]
            glend.rpc("port.set", port=f"s:{port}", workers=place)
            if place != "auto":
                pins = [int(n) for n in place.split(",")]
                rings = where(glend, f"s:{port}")
                assert rings == [pins[r % len(pins)]
                                 for r in range(len(rings))]


@pytest.mark.parametrize("idle", ["wait", "busy"])
def test_order_while_rings_move(two, scaled, idle):
    two.rpc("switch.add", switch="s", module="static", options=STATIC)
    with Peer(two, "check", "s:a", "s:b", idle=idle) as traffic:
        move_about(two, scaled(500, 50))
    assert_intact(traffic.report)
    two.check_identity()


def test_order_while_queues_of_guests_move(two, scaled):
    two.rpc("switch.add", switch="s", module="static", options=STATIC)
    paths = [os.path.join(two.dir, name) for name in "ab"]
    for name, path in zip("ab", paths):
        two.rpc("port.add", port=f"s:{name}", driver="vhost-user", path=path)
    with VhostPeer(*paths) as traffic:
        wait_until(lambda: where(two, "s:a") and where(two, "s:b"),
                   what="the queues run")
        move_about(two, scaled(500, 50))
    assert_intact(traffic.report)
    two.check_identity()


def test_load_is_spread(two):
    """Two floods with one worker; another has nothing to do."""
    two.rpc("switch.add", switch="s", module="static",
            options={"map": {"f1": "d1", "f2": "d2"}})
    for name in ("f1", "f2", "d1", "d2"):
        two.rpc("port.add", port=f"s:{name}", driver="shm", workers=0)
    with Peer(two, "drain", "s:d1"), Peer(two, "drain", "s:d2"), \
            Peer(two, "flood", "s:f1"), Peer(two, "flood", "s:f2"):
        assert where(two, "s:f1") == where(two, "s:f2") == [0]
        for name in ("f1", "f2"):
            two.rpc("port.set", port=f"s:{name}", workers="auto")
        wait_until(lambda: where(two, "s:f1") != where(two, "s:f2"), 60,
                   "one of the rings has moved")
        wait_until(lambda: all(w["busy"] > 0 and w["ns_per_packet"]
                               for w in workers(two)), 30,
                   "both workers are busy")
        shown = workers(two)
        assert sum(r["load"] > 0 for w in shown for r in w["rings"]) == 2
        lines = two.ctl("worker", "show").stdout.splitlines()
        assert lines[0].split()[0] == "WORKER"
        assert [line.split()[-1] for line in lines if "s:f1" in line] == ["no"]
        assert [line.split()[-1] for line in lines if "s:d1" in line] \
            == ["yes"]
    two.check_identity()


@pytest.mark.parametrize("value", [2, -1, "0,2", "", "1-", "1-0", "0,,1", "x",
                                   "0-99", True, [0], "auto,1", "0, 1",
                                   "0-1," * 8 + "0"])
def test_refusals(two, value):
    two.rpc("port.add", port="s:a", driver="dummy")
    for call in ("port.set", "port.add"):
        with pytest.raises(RpcError, match="workers"):
            if call == "port.set":
                two.rpc(call, port="s:a", workers=value)
            else:
                two.rpc(call, port="s:b", driver="dummy", workers=value)
    with pytest.raises(RpcError, match="workers"):
        two.rpc("config.apply", config={"switches": {"s": {"ports": {
            "a": {"driver": "dummy", "workers": value}}}}})


def test_pins_outlive_glend(two):
    two.rpc("port.add", port="s:t", driver="dummy", workers=1)
    assert [r["pinned"] for w in workers(two) for r in w["rings"]] \
        == [True] * len(where(two, "s:t"))
    before = where(two, "s:t")
    two.restart()
    assert where(two, "s:t") == before
    assert set(before) <= {1}
    config = two.rpc("config.get")
    assert config["switches"]["s"]["ports"]["t"]["workers"] == 1
    config["switches"]["s"]["ports"]["t"]["workers"] = "0"
    two.rpc("config.apply", config=config)
    assert set(where(two, "s:t")) <= {0}
    del config["switches"]["s"]["ports"]["t"]["workers"]
    two.rpc("config.apply", config=config)
    assert not any(r["pinned"] for w in workers(two) for r in w["rings"])


def test_fewer_workers_than_before(two):
    """Pins count modulo the workers there are: no port is lost for it."""
    two.rpc("port.add", port="s:t", driver="dummy", workers=1)
    two.argv[two.argv.index("--workers") + 1] = "1"
    two.restart()
    assert set(where(two, "s:t")) <= {0}
