# SPDX-License-Identifier: BSD-2-Clause
# test_netmap_kinds.py - kinds of netmap ports, without the library.
import errno
import os
import struct

import pytest
from glen import Glend, RpcError
from nmraw import (ALL_NIC, EXCLUSIVE, MONITOR_RX, MONITOR_TX, MONITOR_ZCOPY,
                   NIC_SW, NULL, ONE_NIC, TXMON, VNET, Open,
                   frame)
from test_netmap import files, glend, gone, mappings, ports, refused, wait_for

__all__ = ["glend"]


def ask(glend, method, **params):
    return glend.rpc("netmap." + method, **params)


def fails(code, glend, method, **params):
    with pytest.raises(RpcError) as e:
        ask(glend, method, **params)
    assert -e.value.code == code, e.value.message


def nothing_is_left(glend):
    gone(glend)
    wait_for(lambda: glend.rpc("region.list") == [])
    assert glend.rpc("switch.list") == []


def test_info(glend):
    info = ask(glend, "info", name="vale0:a", tx_rings=2, rx_slots=256)
    assert (info["tx_rings"], info["rx_rings"], info["tx_slots"],
            info["rx_slots"]) == (2, 1, 1024, 256)
    assert ask(glend, "info")["mem_id"] == 1
    assert ask(glend, "info", name="new{1", rx_rings=3)["rx_rings"] == 3
    assert ask(glend, "info", name="new}1", rx_rings=3)["tx_rings"] == 3
    fails(errno.EINVAL, glend, "info", mem_id=77)
    fails(errno.EINVAL, glend, "info", name="vale0:lo", interface=True)
    fails(errno.ENXIO, glend, "info", name="nosuch")
    with Open(glend.socket) as a:
        a.register("vale0:a", rx_rings=3)
        assert ask(glend, "info", name="vale0:a")["rx_rings"] == 3
        pools = ask(glend, "pools", name="vale0:a")
        assert pools["mem_id"] == a.info["mem_id"]
        assert pools["buf_pool_offset"] == 1 << 30
        assert pools["buf_pool_objtotal"] == a.info["n_bufs"]
        assert pools["memsize"] == a.info["memsize"]
    fails(errno.EINVAL, glend, "pools")
    nothing_is_left(glend)


def test_headers(glend):
    with Open(glend.socket) as a, Open(glend.socket) as b, \
            Open(glend.socket) as c:
        a.register("vale0:a")
        b.register("vale0:b")
        for n in (1, 11, 14):
            fails(errno.EINVAL, glend, "port_hdr_set", name="vale0:a",
                  hdr_len=n)
        fails(errno.ENXIO, glend, "port_hdr_set", name="vale0:x", hdr_len=12)
        ask(glend, "port_hdr_set", name="vale0:a", hdr_len=12)
        assert ask(glend, "port_hdr_get", name="vale0:a") == {"hdr_len": 12}
        refused(errno.EIO, c, "vale0:a")
        c.register("vale0:a", flags=VNET)
        assert c.info["vnet_hdr_len"] == 12
        # A header comes off, and a zeroed one is put in front.
        a.tx().send(bytes(12) + frame(9, 1, b"with"))
        assert wait_for(b.rx().take)[0] == frame(9, 1, b"with")
        b.tx().send(frame(9, 2, b"without"))
        got = wait_for(a.rx().take)[0]
        assert got[12:] == frame(9, 2, b"without") and got[1:10] == bytes(9)
        ask(glend, "port_hdr_set", name="vale0:a", hdr_len=0)
        a.tx().send(frame(9, 1, b"as before"))
        assert wait_for(b.rx().take)[0] == frame(9, 1, b"as before")
    nothing_is_left(glend)


def test_list(glend):
    with Open(glend.socket) as a, Open(glend.socket) as b, \
            Open(glend.socket) as c:
        a.register("vale0:a")
        b.register("vale1:b")
        c.register("vale0:odd name+1")
        found, bridge, port = [], 0, 0
        while True:
            try:
                one = ask(glend, "vale_list", bridge_idx=bridge,
                          port_idx=port)
            except RpcError as e:
                assert -e.code == errno.ENOENT
                break
            found.append(one["name"])
            bridge, port = one["bridge_idx"], one["port_idx"] + 1
            again = ask(glend, "vale_list", name=one["name"])
            assert again == one
        assert sorted(found) == ["vale0:a", "vale0:odd name+1", "vale1:b"]
        assert ask(glend, "vale_list", name="vale0:zz")["port_idx"] == 255
        fails(errno.ENOENT, glend, "vale_list", name="vale9:a")
        fails(errno.EINVAL, glend, "vale_list", name="eth0")
    nothing_is_left(glend)


def test_names_are_netmap_s(glend):
    with Open(glend.socket) as a:
        for name in ("vale-x:a", "vale.x:a", "vale0",
                     "vale0:1234567890123456", "vale567890123456:a"):
            refused(errno.ENXIO, a, name)
        a.register("vale_X9:123456789012345")
    nothing_is_left(glend)


def test_a_switch_has_252_ports(glend):
    opens = []
    try:
        with pytest.raises(RpcError) as e:
            for i in range(260):
                opens.append(Open(glend.socket))
                opens[-1].register(f"vale0:p{i}", tx_slots=64, rx_slots=64)
        assert -e.value.code == errno.ENOMEM and len(opens) == 253
        ask(glend, "vale_newif", name="pp")
        fails(errno.ENOMEM, glend, "vale_attach", name="vale0:pp", mode=1)
        ask(glend, "vale_delif", name="pp")
        # One that is there can be opened once more.
        opens[252].register("vale0:p7")
        # glend's own have no such limit, and work with the others.
        for i in range(8):
            glend.rpc("port.add", port=f"vale0:own{i}", driver="dummy")
            assert ask(glend, "vale_list",
                       name=f"vale0:own{i}")["port_idx"] == 252 + i
        n, at = 0, {"bridge_idx": 0, "port_idx": 0}
        with pytest.raises(RpcError) as e:
            while True:
                got = ask(glend, "vale_list", **at)
                n, at["bridge_idx"] = n + 1, got["bridge_idx"]
                at["port_idx"] = got["port_idx"] + 1
        assert -e.value.code == errno.ENOENT and n == 260
        opens[3].tx().send(frame(0xff, 1))
        wait_for(lambda: opens[3].tx().hwcur == 1)
        assert wait_for(opens[251].rx().take)
        for i in range(8):
            glend.rpc("port.del", port=f"vale0:own{i}")
    finally:
        for o in opens:
            o.close()
    nothing_is_left(glend)


def test_regions_by_number(glend):
    with Open(glend.socket) as a, Open(glend.socket) as b, \
            Open(glend.socket) as n:
        a.register("vale0:a")
        b.register("vale0:b", mem_id=a.info["mem_id"])
        assert b.info["region"] == a.info["region"]
        assert b.info["member"] != a.info["member"]
        n.register("", NULL, mem_id=a.info["mem_id"], tx_rings=2, rx_rings=0,
                   extra_bufs=10)
        assert (n.info["kind"], n.info["n_tx"], n.info["n_rx"],
                n.info["extra_bufs"]) == ("null", 2, 0, 10)
        bufs = [r.slot(i)[0] for r in (a.tx(), a.rx(), b.tx(), b.rx(),
                                       n.tx(0), n.tx(1)) for i in range(1024)]
        assert len(set(bufs)) == len(bufs)
        a.close()
        wait_for(lambda: len(ports(glend)) == 1)
        assert ask(glend, "info", mem_id=n.info["mem_id"])["memsize"] \
            == n.info["memsize"]
    with Open(glend.socket) as n:
        refused(errno.EINVAL, n, "", NULL)
        refused(errno.EINVAL, n, "", NULL, mem_id=4711)
    nothing_is_left(glend)


@pytest.mark.parametrize("swap", [False, True])
def test_swap_is_for_those_that_ask(glend, swap):
    with Open(glend.socket) as a, Open(glend.socket) as b:
        a.register("vale0:a", swap=swap)
        b.register("vale0:b", mem_id=a.info["mem_id"], swap=swap)
        # Learnt, so that packets are not floods.
        b.tx().send(frame(9, 2))
        wait_for(a.rx().take)
        for i in range(3000):
            slot = a.tx().head
            before = a.tx().slot(slot)[0]
            a.tx().send(frame(2, 1, b"%d" % i))
            wait_for(lambda: b.rx().head != b.rx().hwtail)
            there = b.rx().slot(b.rx().head)[0]
            assert b.rx().take()[0] == frame(2, 1, b"%d" % i)
            wait_for(lambda: a.tx().hwcur == a.tx().head)
            assert (there == before) == swap
            assert (a.tx().slot(slot)[0] != before) == swap
    nothing_is_left(glend)


def test_offsets(glend):
    wish = {"max_offset": 256, "initial_offset": 100, "offset_bits": 16}
    with Open(glend.socket) as a, Open(glend.socket) as b, \
            Open(glend.socket) as c:
        a.register("vale0:a", offsets=wish)
        b.register("vale0:b")
        assert a.info["offset_mask"] == 0xffff
        mask = struct.unpack_from("<Q", a.window, a.tx().at + 56)[0]
        assert mask == 0xffff
        assert all(r.slot(i)[3] == 100 for r in (a.tx(), a.rx())
                   for i in range(1024))
        refused(errno.EBUSY, c, "vale0:a", offsets={"max_offset": 512})
        refused(errno.EBUSY, c, "vale0:b", offsets=wish)
        for bad in ({"max_offset": 2049}, {"max_offset": 256,
                                           "offset_bits": 8},
                    {"max_offset": 128, "initial_offset": 129}):
            refused(errno.EINVAL, c, "vale0:c", offsets=bad)
        for i in range(1100):
            tx, slot = a.tx(), a.tx().head
            buf, off = tx.slot(slot)[0], i % 257
            a.bufs[tx.buffer(buf) + off:tx.buffer(buf) + off + 60] = frame(
                9, 1, b"%d" % i)
            tx.set_slot(slot, buf, 60, 0, off)
            tx.publish(slot + 1)
            if tx.need_kick:
                a.kick()
            assert wait_for(b.rx().take)[0] == frame(9, 1, b"%d" % i)
            # What comes is put where the slot says.
            b.tx().send(frame(9, 2, b"%d" % i))
            rx = a.rx()
            wait_for(lambda: rx.head != rx.hwtail)
            buf, length, _, ptr = rx.slot(rx.head)
            assert (length, ptr) == (60, 100)
            at = rx.buffer(buf) + ptr
            assert a.bufs[at:at + 60] == frame(9, 2, b"%d" % i)
            rx.publish(rx.head + 1)
        # Packets of several slots, too.
        big = frame(9, 2, bytes(range(256)) * 20, 5000)
        tx = b.tx()
        tx.put(big[:2048], 0x20)
        tx.put(big[2048:4096], 0x20)
        tx.put(big[4096:])
        tx.publish(tx.head)
        if tx.need_kick:
            b.kick()
        rx, got = a.rx(), b""
        wait_for(lambda: rx.head != rx.hwtail)
        while rx.head != rx.hwtail:
            buf, length, _, ptr = rx.slot(rx.head)
            assert ptr == 100 and length <= 1792
            got += a.bufs[rx.buffer(buf) + ptr:rx.buffer(buf) + ptr + length]
            rx.publish(rx.head + 1)
        assert got == big
    nothing_is_left(glend)


def test_persistent_ports(glend):
    made = ask(glend, "vale_newif", name="p0", tx_rings=2, rx_slots=512)
    assert (made["tx_rings"], made["rx_rings"], made["tx_slots"],
            made["rx_slots"]) == (2, 1, 1024, 512)
    fails(errno.EEXIST, glend, "vale_newif", name="p0")
    fails(errno.EEXIST, glend, "vale_newif", name="lo", interface=True)
    fails(errno.EINVAL, glend, "vale_newif", name="vale0:x")
    fails(errno.EINVAL, glend, "vale_newif", name="p1", mem_id=4711)
    with Open(glend.socket) as a:
        # Attached to nothing: what it sends is taken, and goes nowhere.
        a.register("p0")
        assert a.info["mem_id"] == made["mem_id"] and a.info["n_tx"] == 2
        a.tx().send(frame(9, 1))
        wait_for(lambda: a.tx().hwcur == 1)
        fails(errno.EBUSY, glend, "vale_delif", name="p0")
        fails(errno.EBUSY, glend, "vale_attach", name="vale0:p0", mode=1)
    gone(glend)
    for bad in ({"mode": 2}, {"mode": 4}, {"mode": 1, "ringid": 1},
                {"mode": 1, "mem_id": 4711}):
        fails(errno.EINVAL, glend, "vale_attach", name="vale0:p0", **bad)
    fails(errno.EINVAL, glend, "vale_attach", name="vale0:none", mode=1)
    got = ask(glend, "vale_attach", name="vale0:p0", mode=1)
    assert got["mem_id"] == made["mem_id"]
    assert ask(glend, "vale_list", name="vale0:p0")["port_idx"] \
        == got["port_index"]
    fails(errno.EBUSY, glend, "vale_attach", name="vale0:p0", mode=1)
    fails(errno.EBUSY, glend, "vale_delif", name="p0")
    fails(errno.EOPNOTSUPP, glend, "vale_polling", name="vale0:p0", mode=1)
    for _ in range(3):
        with Open(glend.socket) as a, Open(glend.socket) as b:
            refused(errno.EBUSY, a, "p0")
            a.register("vale0:p0")
            b.register("vale0:b")
            assert (a.rx().head, a.rx().hwtail, a.tx().hwcur) == (0, 0, 0)
            b.tx().send(frame(9, 2, b"to p0"))
            assert wait_for(a.rx().take)[0] == frame(9, 2, b"to p0")
        wait_for(lambda: len(ports(glend)) == 1)
    assert ask(glend, "vale_detach", name="vale0:p0") == {
        "port_index": 0, "mem_id": made["mem_id"]}
    for name in ("vale0:p0", "p0", "vale0:none"):
        with pytest.raises(RpcError):
            ask(glend, "vale_detach", name=name)
    ask(glend, "vale_delif", name="p0")
    fails(errno.ENXIO, glend, "vale_delif", name="p0")
    fails(errno.EINVAL, glend, "vale_delif", name="lo", interface=True)
    nothing_is_left(glend)


def test_detach_of_a_port_that_is_open(glend):
    """Its programs keep it, with what is in its rings."""
    ask(glend, "vale_newif", name="p0", tx_rings=2, rx_rings=2)
    ask(glend, "vale_attach", name="vale0:p0", mode=1)
    with Open(glend.socket) as a, Open(glend.socket) as b:
        b.register("vale0:b")
        a.register("vale0:p0")
        for i in range(1500):
            a.tx(i % 2).send(frame(9, 1, b"%d" % i))
            assert wait_for(b.rx().take)[0] == frame(9, 1, b"%d" % i)
            b.tx().send(frame(1, 9, b"%d" % i))
            if i < 1490:
                assert wait_for(lambda: a.rx(0).take() or a.rx(1).take())
        waiting = [a.rx(i).hwtail for i in range(2)]
        wait_for(lambda: sum((r.hwtail - r.head) % r.slots
                             for r in (a.rx(0), a.rx(1))) == 10)
        ask(glend, "vale_detach", name="vale0:p0")
        assert ask(glend, "vale_list", name="vale0:p0")["port_idx"] == 255
        fails(errno.ENXIO, glend, "vale_detach", name="vale0:p0")
        # What was received is there still, and nothing comes any more.
        b.tx().send(frame(1, 9, b"late"))
        wait_for(lambda: b.tx().hwcur == b.tx().head)
        got = [x[0] for r in (a.rx(0), a.rx(1)) for x in iter(r.take, None)]
        assert len(got) == 10 and frame(1, 9, b"late") not in got, waiting
        # What it sends is taken, and nobody gets it.
        for i in range(3000):
            a.tx(i % 2).send(frame(9, 1, b"nobody"))
            wait_for(lambda: a.tx(i % 2).hwcur == a.tx(i % 2).head)
        assert b.rx().take() is None
        # It is open under its own name now, by whoever wants.
        with Open(glend.socket) as c:
            c.register("p0")
            assert c.info["mem_id"] == a.info["mem_id"]
            fails(errno.EBUSY, glend, "vale_attach", name="vale1:p0", mode=1)
            fails(errno.EBUSY, glend, "vale_delif", name="p0")
        glend.check_identity()
        a.close()
        wait_for(lambda: len(ports(glend)) == 1)
        ask(glend, "vale_attach", name="vale1:p0", mode=1)
        ask(glend, "vale_detach", name="vale1:p0")
        ask(glend, "vale_delif", name="p0")
        b.close()
    nothing_is_left(glend)


def test_persistent_port_whose_switch_port_is_deleted(glend):
    ask(glend, "vale_newif", name="p0")
    ask(glend, "vale_attach", name="vale0:p0", mode=1)
    with Open(glend.socket) as a:
        a.register("vale0:p0")
        glend.rpc("port.del", port="vale0:p0")
        gone(glend)
    ask(glend, "vale_attach", name="vale0:p0", mode=1)
    glend.rpc("switch.del", switch="vale0")
    ask(glend, "vale_delif", name="p0")
    nothing_is_left(glend)


class Pipe:
    """What the library does at one end: ring 0 only."""

    def __init__(self, op, other):
        self.op, self.other = op, other

    def move(self):
        """Exchanges slots with the other end's RX ring; how many moved."""
        tx, rx = self.op.tx(), self.other.rx()
        n = 0
        while tx.hwcur != tx.head:
            at, to = tx.hwcur, rx.hwtail
            if (rx.u32(64 * rx.line) - to - 1) % rx.slots == 0:
                break
            mine, theirs = tx.slot(at), rx.slot(to)
            rx.set_slot(to, *mine)
            tx.set_slot(at, *theirs)
            rx.u32(4096 + 64 * rx.line + 4, (to + 1) % rx.slots)
            tx.u32(4096 + 64 * tx.line, (at + 1) % tx.slots)
            tx.u32(4096 + 64 * tx.line + 4, at)
            n += 1
        return n


def test_pipe(glend):
    with Open(glend.socket) as m, Open(glend.socket) as s:
        m.register("new{1", tx_slots=64, tx_rings=2, rx_rings=3)
        s.register("new}1")
        assert (m.info["kind"], m.info["end"], s.info["end"]) == ("pipe", 0,
                                                                  1)
        assert (m.info["name"], s.info["name"]) == ("new{1", "new}1")
        assert (m.info["n_tx"], m.info["n_rx"], m.info["tx_slots"]) == (
            2, 3, 64)
        assert (s.info["n_tx"], s.info["n_rx"], s.info["rx_slots"]) == (
            3, 2, 64)
        assert s.info["member"] == m.info["member"]
        for i in range(300):
            m.tx().put(frame(1, 2, b"%d" % i))
            m.tx().publish(m.tx().head)
            assert Pipe(m, s).move() == 1
            assert s.rx().take()[0] == frame(1, 2, b"%d" % i)
        # A kick of one end is a call of the other, and of that only.
        m.kick()
        wait_for(lambda: readable(s.h))
        assert not readable(m.h)
        assert ask(glend, "info", name="new")["mem_id"] == m.info["mem_id"]
        assert ask(glend, "port_hdr_get", name="new{1") == {"hdr_len": 0}
        fails(errno.ENXIO, glend, "port_hdr_set", name="new{1", hdr_len=12)
        fails(errno.EINVAL, glend, "vale_delif", name="new")
    wait_for(lambda: glend.rpc("region.list") == [])
    fails(errno.ENXIO, glend, "info", name="new")


def readable(h):
    import select
    return bool(select.select([h], [], [], 0)[0])


def test_pipe_names(glend):
    with Open(glend.socket) as m:
        for name in ("{1", "new{", "new}", "}"):
            refused(errno.EINVAL, m, name)
        for mode in (NIC_SW, 2, 8):
            refused(errno.EINVAL, m, "new{1", mode)
        m.register("new{a-word", ONE_NIC, ringid=0)


def test_pipe_is_exclusive_by_its_end(glend):
    with Open(glend.socket) as m, Open(glend.socket) as s, \
            Open(glend.socket) as x:
        m.register("new{1", flags=EXCLUSIVE)
        refused(errno.EBUSY, x, "new{1")
        s.register("new}1", flags=EXCLUSIVE)
        refused(errno.EBUSY, x, "new}1")


def test_pipes_share_their_parent_s_region(glend):
    opens = [Open(glend.socket) for _ in range(130)]
    try:
        opens[0].register("vale0:a")
        for i in range(64):
            opens[1 + i].register(f"vale0:a{{{i}", tx_slots=64, rx_slots=64)
            opens[65 + i].register(f"vale0:a}}{i}")
        assert {o.info["mem_id"] for o in opens[:129]} == {
            opens[0].info["mem_id"]}
        assert len({o.info["member"] for o in opens[:129]}) == 65
        refused(errno.ENOMEM, opens[129], "vale0:a{64")
        # The parent's name is kept by its pipes.
        opens[0].close()
        gone(glend)
        opens[0] = Open(glend.socket)
        opens[0].register("vale0:a")
        assert opens[0].info["mem_id"] == opens[1].info["mem_id"]
    finally:
        for o in opens:
            o.close()
    nothing_is_left(glend)


def test_pipe_end_comes_back(glend):
    with Open(glend.socket) as s:
        s.register("new}1", tx_slots=64, rx_slots=64)
        for i in range(100):
            with Open(glend.socket) as m:
                m.register("new{1")
                # As its predecessor left the indexes that were published.
                assert m.tx().head == m.tx().hwcur == i % 64
                assert m.tx().tail == m.tx().hwtail
                m.tx().put(frame(1, 2, b"%d" % i))
                m.tx().publish(m.tx().head)
                Pipe(m, s).move()
                m.tx().u32(m.tx().at + 20, 63)  # a killed program's head
            assert s.rx().take()[0] == frame(1, 2, b"%d" % i)


def test_killed_sender_is_mended(glend):
    with Open(glend.socket) as s:
        s.register("new}1", tx_slots=64, rx_slots=64)
        m = Open(glend.socket)
        m.register("new{1")
        # Half of an exchange: the receiver's slot has the buffer already.
        s.rx().set_slot(0, m.tx().slot(5)[0], 60)
        double = m.tx().slot(5)[0]
        m.close()
        with Open(glend.socket) as again:
            again.register("new{1")
            assert again.tx().slot(5)[0] != double
            bufs = [r.slot(i)[0] for r in (again.tx(), s.rx())
                    for i in range(64)]
        assert len(set(bufs)) == 128


def test_pipe_cycles_leak_nothing(glend):
    def cycle(i):
        with Open(glend.socket) as m, Open(glend.socket) as s:
            m.register(f"new{{{i % 7}")
            if i % 3:
                s.register(f"new}}{i % 7}")
            if i % 5 == 0:
                m.close()

    cycle(1)
    wait_for(lambda: glend.rpc("region.list") == [])
    before = files(glend), mappings(glend)
    for i in range(300):
        cycle(i)
    wait_for(lambda: (files(glend), mappings(glend)) == before)
    nothing_is_left(glend)


def test_kinds_are_mixed_by_many_clients_that_die():
    """Opens in every state when their processes are killed."""
    with Glend(workers=2) as g:
        ask(g, "vale_newif", name="p0")
        ask(g, "vale_attach", name="vale0:p0", mode=1)
        before = files(g), mappings(g)
        for i in range(60):
            pid = os.fork()
            if not pid:
                try:
                    for k in range(i % 8):
                        o = Open(g.socket)
                        if k % 4 < 3:
                            o.register(("vale0:p0", f"vale0:x{k}",
                                        "new{1", "")[k % 4])
                            o.h = -1        # stays open
                finally:
                    os.kill(os.getpid(), 9)
            os.waitpid(pid, 0)
        wait_for(lambda: (files(g), mappings(g)) == before)
        assert len(ports(g)) == 1 and len(g.rpc("region.list")) == 1


def test_monitors(glend):
    with Open(glend.socket) as a, Open(glend.socket) as b, \
            Open(glend.socket) as both, Open(glend.socket) as tx, \
            Open(glend.socket) as p:
        refused(errno.ENXIO, tx, "nosuch", flags=MONITOR_RX)
        refused(errno.EINVAL, tx, "vale0:a", flags=MONITOR_RX)
        a.register("vale0:a", flags=EXCLUSIVE, tx_rings=2, rx_rings=2)
        b.register("vale0:b")
        p.register("new{1")
        with Open(glend.socket) as watcher:
            watcher.register("new{1", flags=MONITOR_RX)
        both.register("vale0:b", flags=MONITOR_RX | MONITOR_TX)
        tx.register("vale0:a", flags=MONITOR_TX | MONITOR_ZCOPY)
        assert (tx.info["kind"], tx.info["n_tx"], tx.info["n_rx"]) == (
            "monitor", 2, 2)
        assert tx.info["mem_id"] == a.info["mem_id"]
        assert both.info["mem_id"] not in (a.info["mem_id"],
                                           b.info["mem_id"])
        for i in range(1500):
            one = frame(9, 1, b"%d" % i, 60 + i % 1400)
            a.tx(i % 2).send(one)
            assert wait_for(b.rx().take)[0] == one
            got, flags = wait_for(both.rx().take)
            assert got == one and not flags & TXMON
            got, flags = wait_for(tx.rx(i % 2).take)
            assert got == one and flags & TXMON
        b.tx().send(frame(9, 2, b"sent"))
        got, flags = wait_for(both.rx().take)
        assert got == frame(9, 2, b"sent") and flags & TXMON
        # A slow one costs its parent nothing, and what it misses is counted.
        for i in range(3000):
            a.tx().send(frame(9, 1, b"%d" % i))
            assert wait_for(b.rx().take)[0] == frame(9, 1, b"%d" % i)
        names = [q["port"] for q in ports(glend) if q["kind"] == "monitor"]
        drops = [glend.rpc("stats", port=n)["ports"][0]["out"]["drops"]
                 for n in names]
        assert all(d == {"out_no_room": 3000 - 1023} for d in drops), drops
        glend.check_identity()
        # One that lies loses itself only.
        both.rx().set_slot(5, 1 << 30, 0)
        both.rx().publish(both.rx().head + 1000)
        wait_for(lambda: a.tx().send(frame(9, 1)) or b.rx().take() and
                 len(ports(glend)) == 3)
        # Its parent goes first.
        a.close()
        wait_for(lambda: len(ports(glend)) == 2)
        tx.close()
    nothing_is_left(glend)


def test_registers_that_are_taken_back(glend):
    want = {"memsize": 16 << 20}
    with Open(glend.socket) as a, Open(glend.socket) as b:
        assert a.call("unregister") == ({}, [])
        for _ in range(3):
            made, (bufs,) = a.call("extmem", extmem=want)
            assert made["fresh"]
            assert os.fstat(bufs).st_size >= made["memsize"] - made["windows"]
            os.close(bufs)
            assert len(glend.rpc("region.list")) == 1
            a.call("unregister")
            assert glend.rpc("region.list") == []
        made, (bufs,) = a.call("extmem", extmem=want)
        os.write(bufs, b"x" * 40960)
        os.close(bufs)
        # Another one may share it, and has to say so.
        again, (bufs,) = b.call("extmem", extmem={
            **want, "mem_id": made["mem_id"]})
        os.close(bufs)
        assert again == {**made, "fresh": False}
        want["mem_id"] = made["mem_id"]
        for _ in range(3):
            a.register("vale0:a", extmem=want)
            assert a.info["mem_id"] == made["mem_id"]
            assert a.bufs[:40960] == b"x" * 40960
            with pytest.raises(RpcError) as e:
                a.call("extmem", extmem=want)
            assert -e.value.code == errno.EBUSY
            a.call("unregister")
            assert ports(glend) == [] and a.attach() == {"bound": False}
        # The place of the first window was free each time.
        assert a.register("vale0:a", extmem=want)["place"] == 0
        b.close()
        a.rings = {}
        a.tx().send(frame(9, 1))
        wait_for(lambda: a.tx().hwcur == 1)
    nothing_is_left(glend)
