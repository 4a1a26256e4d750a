# SPDX-License-Identifier: BSD-2-Clause
# test_netmap_hostile.py - clients that write, send and cut off what they like.
import errno
import json
import os
import random
import socket
import struct
import threading

import pytest
from glen import Glend, Rpc, RpcError
from nmraw import (ALL_NIC, MONITOR_RX, MONITOR_TX, NULL, Open, frame,
                   socket_send)
from test_netmap import files, mappings, ports, wait_for


@pytest.fixture
def glend():
    with Glend(workers=2) as g:
        before = files(g), mappings(g)
        yield g
        wait_for(lambda: not ports(g) and g.rpc("region.list") == [])
        wait_for(lambda: (files(g), mappings(g)) <= before)


def scribble(op, rng, n):
    """Random words anywhere in the window."""
    size = len(op.window)
    for _ in range(n):
        where = rng.choice((64 * rng.randrange(128) + 4 * rng.randrange(4),
                            4 * rng.randrange(size // 4)))
        value = rng.choice((0, 1, 63, 64, 0xffffffff, 1 << 31,
                            rng.getrandbits(32), rng.randrange(2048)))
        struct.pack_into("<I", op.window, where % (size - 3), value)


def victims(glend):
    a, b = Open(glend.socket), Open(glend.socket)
    a.register("vale3:a")
    b.register("vale3:b")
    return a, b


def still_good(a, b, i):
    a.tx().send(frame(9, 1, b"%d" % i))
    assert wait_for(b.rx().take)[0] == frame(9, 1, b"%d" % i)


def test_words_of_the_window(glend):
    seed = random.getrandbits(32)
    print("seed", seed)
    rng = random.Random(seed)
    a, b = victims(glend)
    with a, b:
        for i in range(60):
            with Open(glend.socket) as x, Open(glend.socket) as y, \
                    Open(glend.socket) as m:
                opens = [x, y, m]
                name = ("vale1:x", "new{1", "vale2:x")[i % 3]
                x.register(name, tx_slots=64, rx_slots=64, tx_rings=2,
                           extra_bufs=10)
                y.register(("vale1:x", "new}1", "vale2:y")[i % 3],
                           mem_id=0 if i % 3 < 2 else x.info["mem_id"],
                           swap=i % 3 == 2, extra_bufs=7)
                if i % 3 == 1:
                    m.register("", NULL, mem_id=x.info["mem_id"])
                else:
                    m.register(name, flags=MONITOR_RX | MONITOR_TX)
                for k in range(40):
                    for op in opens:
                        scribble(op, rng, 50)
                        op.kick() if rng.random() < .5 else None
                    if not k % 10:
                        still_good(a, b, i * 40 + k)
                # Opens close in any order.
                rng.shuffle(opens)
                for op in opens:
                    op.close()
            still_good(a, b, i)
    assert glend.process.poll() is None


def test_requests_that_are_cut(glend):
    with Open(glend.socket) as a:
        line = json.dumps({"jsonrpc": "2.0", "id": 1,
                           "method": "netmap.register",
                           "params": {"name": "vale0:a", "mode": ALL_NIC}}
                          ).encode() + b"\n"
        for n in range(len(line) + 1):
            with Rpc(glend.socket) as rpc:
                rpc.send(line[:n] or b" ", [a.h] if n else [])
        # The last one was whole, and nobody read its answer.
        wait_for(lambda: len(ports(glend)) == 1)
        assert a.attach()["name"] == "vale0:a"


def test_descriptors_that_are_not_h(glend):
    pair = socket.socketpair()
    pipe = os.pipe()
    with Open(glend.socket) as a, open("/dev/null", "rb") as null:
        for fds in ([], [pair[0].fileno()], [pipe[0]], [null.fileno()],
                    [a.h, a.h], [pair[0].fileno(), a.h]):
            with Rpc(glend.socket) as rpc, pytest.raises(RpcError) as e:
                rpc.call("netmap.register", {"name": "vale0:a", "mode": 1},
                         fds)
            assert -e.value.code == errno.EBADF
    for end in pair:
        end.close()
    for fd in pipe:
        os.close(fd)


def test_one_h_from_many_threads(glend):
    for i in range(20):
        with Open(glend.socket) as a:
            done = []

            def register(k, op=a, done=done):
                try:
                    with Rpc(glend.socket) as rpc:
                        rpc.call("netmap.register",
                                 {"name": f"vale0:p{k}", "mode": 1}, [op.h])
                        for fd in rpc.take_fds():
                            os.close(fd)
                        done.append(k)
                except RpcError as e:
                    assert -e.code == errno.EBUSY

            threads = [threading.Thread(target=register, args=(k,))
                       for k in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert len(done) == 1
            assert a.attach()["name"] == f"vale0:p{done[0]}"


def test_sixty_four_opens_and_no_more(glend):
    opens = [Open(glend.socket) for _ in range(65)]
    for o in opens[:64]:
        o.register("vale0:a", tx_slots=64)
    with pytest.raises(RpcError) as e:
        opens[64].register("vale0:a")
    assert -e.value.code == errno.ENOMEM
    # Any of them kicks, all are called; none of them reads.
    for _ in range(2000):
        for o in opens[:64:9]:
            try:
                socket_send(o.h, b"x" * 100)
            except BlockingIOError:
                pass
    still_good(opens[3], *_other(glend, opens), 7)
    for o in opens:
        o.close()


def _other(glend, opens):
    b = Open(glend.socket)
    b.register("vale0:b")
    opens.append(b)
    return (b,)


def test_numbers_that_make_no_sense(glend):
    rng = random.Random(1)
    keys = ("mode", "ringid", "flags", "mem_id", "tx_rings", "rx_rings",
            "tx_slots", "rx_slots", "host_tx_rings", "host_rx_rings",
            "extra_bufs")
    values = (-1, 0, 1, 2, 7, 16, 17, 65535, 65536, 1 << 31, 1 << 32,
              1 << 62, "x", None, [], {}, 1.5, True)
    names = ("vale0:a", "vale0:a{1", "a}b", "", "{", "vale:", ":", "x" * 63,
             "x" * 64, "vale0:" + "{" * 40, "\u00e9", "v\x00w", "a{1{2}3")
    for _ in range(1500):
        params = {k: rng.choice(values) for k in rng.sample(keys, 3)}
        params["name"] = rng.choice(names)
        params.setdefault("mode", rng.randrange(9))
        with Open(glend.socket) as a:
            try:
                a.call(rng.choice(("register", "info", "pools", "vale_attach",
                                   "vale_detach", "vale_list")), **params)
            except RpcError as e:
                assert e.code < 0, e
    assert glend.process.poll() is None
