# SPDX-License-Identifier: BSD-2-Clause
# test_netmap.py - netmap ports as glend offers them, without the library.
import errno
import os
import time

import pytest
from glen import Glend, RpcError
from nmraw import (ALL_NIC, EXCLUSIVE, NIC_SW, ONE_NIC, RX_ONLY, SW, TX_ONLY,
                   Open, frame, socket_send)


@pytest.fixture(scope="module")
def glend():
    with Glend(workers=1) as g:
        yield g
        assert ports(g) == []


def ports(glend):
    return glend.rpc("port.list")


def wait_for(look, timeout=20.0):
    """What look() returns once that is something."""
    deadline = time.monotonic() + timeout
    while True:
        value = look()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


def gone(glend):
    """All ports were closed by now: glend saw their descriptors hang up."""
    wait_for(lambda: not ports(glend))


def refused(code, op, *args, **params):
    with pytest.raises(RpcError) as e:
        op.register(*args, **params)
    assert -e.value.code == code, e.value.message


def files(glend):
    return len(os.listdir(f"/proc/{glend.pid}/fd"))


def mappings(glend):
    with open(f"/proc/{glend.pid}/maps") as f:
        return sum("glen-netmap" in line or "glen-region" in line
                   for line in f)


def test_a_packet_crosses(glend):
    with Open(glend.socket) as a, Open(glend.socket) as b:
        assert a.attach() == {"bound": False}
        info = a.register("vale0:a")
        assert (info["kind"], info["n_tx"], info["n_rx"], info["tx_slots"],
                info["rx_slots"]) == ("vale", 1, 1, 1024, 1024)
        assert info["offset"] < info["memsize"] < 1 << 32
        b.register("vale0:b", tx_slots=64, rx_slots=100, rx_rings=3)
        assert b.info["rx_slots"] == 128 and b.info["n_rx"] == 3
        for i in range(300):
            a.tx().send(frame(9, 1, b"%d" % i))
            got = [wait_for(lambda: b.rx(0).take() or b.rx(1).take() or
                            b.rx(2).take())]
            assert got[0][0] == frame(9, 1, b"%d" % i)
        stats = glend.rpc("stats", port="vale0:a")["ports"][0]
        assert stats["in"]["packets"] == 300
        show = glend.rpc("port.show", port="vale0:b")
        assert (show["driver"], show["kind"], show["opens"]) == (
            "netmap", "vale", 1)
    gone(glend)


def test_a_fresh_ring_is_as_upstream_s(glend):
    with Open(glend.socket) as a:
        a.register("vale0:a")
        tx, rx = a.tx(), a.rx()
        assert (tx.head, tx.cur, tx.tail, tx.slots, tx.dir) == (
            0, 0, 1023, 1024, 0)
        assert (rx.head, rx.cur, rx.tail, rx.slots, rx.dir) == (
            0, 0, 0, 1024, 1)
        bufs = {r.slot(i)[0] for r in (tx, rx) for i in range(1024)}
        assert len(bufs) == 2048 and min(bufs) >= 2
        assert all(r.slot(i)[1] == 2048 for r in (tx, rx)
                   for i in range(1024))
    gone(glend)


def test_opens_bind_their_rings_only(glend):
    with Open(glend.socket) as a, Open(glend.socket) as b, \
            Open(glend.socket) as c, Open(glend.socket) as d:
        a.register("vale0:a", ONE_NIC, ringid=0, tx_rings=2, rx_rings=3)
        b.register("vale0:a", ONE_NIC, ringid=2)
        c.register("vale0:a", flags=RX_ONLY)
        d.register("vale0:a", flags=TX_ONLY)
        assert a.tx(0) and not a.tx(1) and a.rx(0) and not a.rx(1)
        # The direction that has no such ring binds its first.
        assert b.tx(0) and not b.tx(1) and b.rx(2) and not b.rx(0)
        assert not c.tx(0) and all(c.rx(i) for i in range(3))
        assert all(d.tx(i) for i in range(2)) and not d.rx(0)
        assert a.tx(0).slot(5) == d.tx(0).slot(5)
        assert a.info["offset"] != b.info["offset"]
        with Open(glend.socket) as e:
            refused(errno.EINVAL, e, "vale0:a", ONE_NIC, ringid=3)
            for mode in (0, SW, NIC_SW, 5, 6, 9):
                refused(errno.EINVAL, e, "vale0:a", mode)
            refused(errno.EBUSY, a, "vale0:b")
    gone(glend)


def test_exclusive_conflicts_both_ways(glend):
    with Open(glend.socket) as a, Open(glend.socket) as b, \
            Open(glend.socket) as c:
        a.register("vale0:a", ONE_NIC, ringid=0, flags=EXCLUSIVE, tx_rings=2,
                   rx_rings=2)
        refused(errno.EBUSY, b, "vale0:a")
        b.register("vale0:a", ONE_NIC, ringid=1)
        refused(errno.EBUSY, c, "vale0:a", ONE_NIC, ringid=1, flags=EXCLUSIVE)
        b.close()
        wait_for(lambda: glend.rpc("port.show", port="vale0:a")["opens"] == 1)
        c.register("vale0:a", ONE_NIC, ringid=1, flags=EXCLUSIVE)
    gone(glend)


def test_names(glend):
    with Open(glend.socket) as a:
        refused(errno.ENXIO, a, "nosuch")
        refused(errno.ENXIO, a, "")
        refused(errno.EINVAL, a, "vale0:eth0", interface=True)
        refused(errno.EINVAL, a, "vale0:" + "x" * 60)
        refused(errno.EINVAL, a, "vale0:a", mem_id=999)
        a.register("vale0:a", ALL_NIC)
    gone(glend)


def test_what_lay_in_the_ring_is_delivered(glend):
    with Open(glend.socket) as b:
        b.register("vale0:b")
        for i in range(200):
            with Open(glend.socket) as a:
                a.register("vale0:a")
                for k in range(10):
                    a.tx().put(frame(9, 1, b"%d" % (i * 10 + k)))
                # Neither a kick nor a wait: the process dies.
                a.tx().publish(a.tx().head)
            for k in range(10):
                got, _ = wait_for(b.rx().take)
                assert got == frame(9, 1, b"%d" % (i * 10 + k))
    gone(glend)


def test_last_copy_of_the_descriptor_counts(glend):
    with Open(glend.socket) as a, Open(glend.socket) as b:
        a.register("vale0:a")
        b.register("vale0:b")
        copy = Open(glend.socket, os.dup(a.h))
        a.close()
        assert copy.attach()["name"] == "vale0:a"
        copy.tx().send(frame(9, 1, b"still there"))
        assert wait_for(b.rx().take)[0] == frame(9, 1, b"still there")
        copy.close()
        wait_for(lambda: len(ports(glend)) == 1)
    gone(glend)


def test_cycles_leak_nothing(glend):
    def cycle(i):
        with Open(glend.socket) as a:
            if i % 3:
                a.register("vale0:a", tx_rings=1 + i % 16, extra_bufs=i % 50)

    cycle(1)
    gone(glend)
    before = files(glend), mappings(glend)
    for i in range(1000):
        cycle(i)
    gone(glend)
    wait_for(lambda: (files(glend), mappings(glend)) == before)
    assert glend.rpc("region.list") == []
    assert glend.rpc("switch.list") == []


def test_extra_buffers_come_back(glend):
    with Open(glend.socket) as a:
        a.register("vale0:a")
        free = glend.rpc("region.list")[0]["free"]
        for _ in range(3):
            with Open(glend.socket) as b:
                b.register("vale0:a", extra_bufs=100)
                assert b.info["extra_bufs"] == 100
                assert glend.rpc("region.list")[0]["free"] == free - 100
            wait_for(lambda: glend.rpc("region.list")[0]["free"] == free)
    gone(glend)


def test_a_client_that_lies_loses_its_port_only(glend):
    with Open(glend.socket) as a, Open(glend.socket) as b, \
            Open(glend.socket) as c:
        for op, name in ((a, "vale0:a"), (b, "vale0:b"), (c, "vale0:c")):
            op.register(name)
        a.tx().put(frame(9, 1))
        a.tx().set_slot(0, 1 << 30, 60)
        a.tx().publish(1)
        a.kick()
        wait_for(lambda: len(ports(glend)) == 2)
        b.tx().send(frame(9, 2, b"unharmed"))
        assert wait_for(c.rx().take)[0] == frame(9, 2, b"unharmed")
        # The name is free at once.
        with Open(glend.socket) as d:
            d.register("vale0:a")
    gone(glend)


def test_deleted_ports_hang_up(glend):
    with Open(glend.socket) as a:
        a.register("vale0:a")
        glend.rpc("port.del", port="vale0:a")
        with Open(glend.socket) as b:
            b.register("vale0:a")
        with pytest.raises(RpcError):
            a.call("attach")
    gone(glend)


def test_descriptors_sent_over_h_do_no_harm(glend):
    before = files(glend)
    with Open(glend.socket) as a, Open(glend.socket) as b:
        a.register("vale0:a")
        for op in (a, b):
            try:
                for _ in range(5000):
                    socket_send(op.h, b"xyz", [op.h, op.h])
            except BlockingIOError:
                pass
        a.tx().send(frame(9, 1))
    gone(glend)
    wait_for(lambda: files(glend) <= before)
