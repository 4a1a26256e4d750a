# SPDX-License-Identifier: BSD-2-Clause
# test_clients.py - clients that behave badly, and ports that come and go.
import os
import random
import socket
import time

import pytest

import glen
from daemon import n_fds, open_port, request, settled_fds
from glen import Glend, RpcError, Stopwatch, wait_until


# Garbage

def test_garbage_on_the_socket(glend):
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print("SEED =", seed)
    rng = random.Random(seed)
    good = [request("version"), request("stats"), request("port.list"),
            request("switch.add", switch="x"), request("port.open"),
            b'{"jsonrpc":"2.0","id":[],"method":{}}\n', b"\n", b"[" * 5000,
            b'{"a":' * 3000, b"\xff" * 100, b"\0" * 100, b"[]\n",
            b"GET / HTTP/1.0\r\n\r\n"]
    glend.rpc("version")
    before = n_fds(glend)
    for _ in range(150):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(5)
        sock.connect(glend.socket)
        for _ in range(rng.randrange(1, 6)):
            data = bytearray(rng.choice(good))
            for _ in range(rng.randrange(4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            try:
                sock.sendall(data[:rng.randrange(1, len(data) + 1)])
            except BrokenPipeError:
                break
        if rng.random() < 0.5:
            sock.shutdown(socket.SHUT_WR)
            try:
                while sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
        sock.close()
    assert glend.rpc("version")["protocol"] == 1
    settled_fds(glend, before)


def test_errors_name_the_cause(glend):
    def error_of(data):
        with glend.connect() as conn:
            conn.send(data)
            return conn.receive()

    assert error_of(b"nonsense\n")["error"]["code"] == -32700
    assert error_of(b"[]\n")["error"]["code"] == -32600
    assert error_of(b"[" * 100 + b"\n")["error"]["code"] == -32700
    reply = error_of(request("no.such.method", 9))
    assert (reply["id"], reply["error"]["code"]) == (9, -32601)
    assert "no.such.method" in reply["error"]["message"]
    reply = error_of(request("port.add", port="x", driver="shm"))
    assert reply["error"]["data"]["errno"] == "EINVAL"
    reply = error_of(request("switch.add", switch="a", bogus=1))
    assert "bogus" in reply["error"]["message"]


def test_line_too_long(glend):
    with glend.connect() as conn:
        try:
            conn.sock.sendall(b"x" * (1 << 20) + b"y")
        except (BrokenPipeError, ConnectionResetError):
            pass
        reply = conn.receive()
        assert "longer than 1 MiB" in reply["error"]["message"]
        try:
            assert conn.receive() is None
        except ConnectionResetError:
            pass
    # One byte less, with its newline, is fine.
    with glend.connect() as conn:
        line = request("version")
        conn.send(b" " * ((1 << 20) - len(line)) + line)
        assert conn.receive()["result"]["protocol"] == 1


def test_many_requests_at_once(glend):
    """Pipelined requests are all answered, in order, and others get in."""
    with glend.connect() as conn:
        conn.send(b"".join(request("version", i) for i in range(2000)))
        watch = Stopwatch(glend.pid)
        glend.rpc("version")
        assert watch.seconds() < 2
        for i in range(2000):
            assert conn.receive()["id"] == i


def test_requests_then_hang_up(glend):
    """What a client asked for before it closed is still done."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(glend.socket)
    sock.sendall(b"".join(request("switch.add", switch=f"s{i}")
                          for i in range(40)))
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass
    sock.close()
    assert len(glend.rpc("switch.list")) == 40


def test_client_that_does_not_read(glend):
    for i in range(200):
        glend.rpc("port.add", port=f"s:p{i}", driver="shm")
    before = n_fds(glend)
    stuck = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stuck.connect(glend.socket)
    stuck.setblocking(False)
    line = request("port.list")
    sent = 0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            sent += stuck.send(line * 50)
        except BlockingIOError:
            watch = Stopwatch(glend.pid)
            assert len(glend.rpc("port.list")) == 200
            assert watch.seconds() < 1
            if sent > 100 * len(line):
                break
        except (BrokenPipeError, ConnectionResetError):
            break
    settled_fds(glend, before + 1)
    # It is cut off in the end, and the log says why.
    wait_until(lambda: n_fds(glend) == before, timeout=30,
               what="the stuck client is cut off")
    assert "did not read its answers" in glend.log_text()
    stuck.close()


def test_incomplete_request_is_cut_off(glend):
    glend.rpc("version")
    before = n_fds(glend)
    stuck = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stuck.connect(glend.socket)
    stuck.sendall(b'{"jsonrpc": "2.0", ')
    settled_fds(glend, before + 1)
    wait_until(lambda: n_fds(glend) == before, timeout=30,
               what="the incomplete request is cut off")
    stuck.close()


# Descriptors

def test_surplus_descriptors_are_closed(glend):
    glend.rpc("version")
    before = n_fds(glend)
    with glend.connect() as conn:
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(60)]
        for count in (1, 4, 5, 60):
            # With a request that takes none, one that fails, and half a line.
            conn.send(request("version"), fds[:count])
            assert "result" in conn.receive()
            conn.send(request("port.resume", port="s:a", token="0" * 32),
                      fds[:count])
            assert conn.receive()["error"]["data"]["errno"] == "ENOENT"
            settled_fds(glend, before + 1)
        # Four are kept for the request that may want them; a thread closes
        # the others a moment later.
        for _ in range(20):
            conn.send(b'{"jsonrpc": "2.0"', fds)
            wait_until(lambda: n_fds(glend) <= before + 1 + 4,
                       what="surplus descriptors are closed")
        for fd in fds:
            os.close(fd)
    settled_fds(glend, before)


def test_out_of_descriptors():
    """Refuses what it cannot serve, goes on with the rest, recovers."""
    prefix = ["prlimit", "--nofile=64:64"]
    if os.geteuid() == 0:
        # Without the right to raise the limit again.
        prefix += ["setpriv", "--bounding-set", "-sys_resource",
                   "--inh-caps", "-sys_resource"]
    reason = glen.why_missing("prlimit", "setpriv")
    if reason:
        pytest.skip(reason)
    glend = Glend(start=False, prefix=prefix)
    with glend:
        glend.start()
        glend.rpc("version")
        before = n_fds(glend)
        conns, refused = [], 0
        for _ in range(100):
            conn = glend.connect()
            try:
                conn.call("version")
                conns.append(conn)
            except (RpcError, ConnectionError) as error:
                refused += 1
                if isinstance(error, RpcError):
                    assert "descriptor" in error.message
                conn.close()
        assert refused and conns
        # A port needs some too: an error, not a half-made port.
        with pytest.raises(RpcError):
            conns[0].call("port.open", {"port": "s:a"})
        assert glend.rpc("port.list") == []
        assert glend.rpc("switch.list") == []
        for conn in conns:
            conn.close()
        settled_fds(glend, before)
        conn, _, fds = open_port(glend, "s:a")
        assert len(fds) == 4
        for fd in fds:
            os.close(fd)
        conn.close()


# Ports and their connections

def test_one_user_per_port(glend):
    conn, _, fds = open_port(glend, "s:a")
    with glend.connect() as other:
        with pytest.raises(RpcError) as error:
            other.call("port.open", {"port": "s:a"})
        assert error.value.errno_name == "EBUSY"
        assert f"process {os.getpid()}" in error.value.message
    with pytest.raises(RpcError) as error:
        conn.call("port.open", {"port": "s:b"})
    assert error.value.errno_name == "EBUSY"
    with pytest.raises(RpcError):
        conn.call("switch.del", {"switch": "s"})
    assert conn.call("stats", {"port": "s:a"})["ports"][0]["port"] == "s:a"
    conn.close()
    for fd in fds:
        os.close(fd)
    wait_until(lambda: not glend.rpc("switch.list"), what="the switch goes")


def test_reservation_outlives_its_client(glend):
    for bad in ({"slots": 3}, {"rings": 99}, {"mtu": "x"}, {"x": 1},
                {"swap": True},
                {"swap": True, "region": "g", "vnet_hdr_len": 12},
                {"region_bufs": 1 << 20, "region": "g", "buf_size": 65536}):
        with pytest.raises(RpcError) as error:
            glend.rpc("port.add", port="s:a", driver="shm", **bad)
        assert list(bad)[0] in error.value.message
        assert glend.rpc("switch.list") == []
    glend.rpc("port.add", port="s:a", driver="shm", isolated=True, slots=64)
    with pytest.raises(RpcError):
        glend.rpc("port.set", port="s:a", slots=3)
    show = glend.rpc("port.show", port="s:a")
    assert (show["attached"], show["configured"]) == (False, True)
    for _ in range(3):
        conn, result, fds = open_port(glend, "s:a", slots=512, mtu=900)
        assert result["slots"] == 64    # what was reserved goes first
        show = glend.rpc("port.show", port="s:a")
        assert show["attached"] and show["isolated"]
        assert show["mtu"] == 900
        conn.close()
        for fd in fds:
            os.close(fd)
        wait_until(lambda: not glend.rpc("port.show", port="s:a")["attached"],
                   what="detached")
    assert glend.rpc("port.show", port="s:a")["mtu"] == 0
    glend.rpc("port.del", port="s:a")
    assert glend.rpc("switch.list") == []


def test_port_del_tells_the_client(glend):
    conn, _, fds = open_port(glend, "s:a")
    glend.rpc("port.del", port="s:a")
    note = conn.receive()
    assert note["method"] == "port.closed"
    assert note["params"]["port"] == "s:a"
    assert "deleted" in note["params"]["reason"]
    assert conn.receive() is None
    for fd in fds:
        os.close(fd)


def test_port_wait(glend):
    glend.rpc("version")
    before = n_fds(glend)
    with glend.connect() as waiter, glend.connect() as second:
        waiter.send(request("port.wait", 1, port="s:a", timeout_ms=20000))
        waiter.send(request("version", 2))
        with pytest.raises(RpcError) as error:
            second.call("port.wait", {"port": "s:a", "timeout_ms": 50})
        assert error.value.errno_name == "ETIMEDOUT"
        conn, _, fds = open_port(glend, "s:a")
        reply = waiter.receive()
        assert (reply["id"], reply["result"]["port"]) == (1, "s:a")
        assert waiter.receive()["id"] == 2
        conn.close()
        for fd in fds:
            os.close(fd)
    # One that goes while it waits is forgotten.
    settled_fds(glend, before)
    with glend.connect() as waiter:
        waiter.send(request("port.wait", port="s:never"))
        settled_fds(glend, before + 1)
    settled_fds(glend, before)


def test_thousand_ports_come_and_go(glend):
    glend.rpc("version")
    before = n_fds(glend)
    for i in range(1000):
        conn, _, fds = open_port(glend, f"s:p{i % 7}", slots=16)
        for fd in fds:
            os.close(fd)
        conn.close()
        if i % 7 == 6:
            wait_until(lambda: not glend.rpc("switch.list"))
    settled_fds(glend, before)
