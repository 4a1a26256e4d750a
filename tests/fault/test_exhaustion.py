# SPDX-License-Identifier: BSD-2-Clause
# test_exhaustion.py - descriptors run out, in glend or by a client's hand.
import errno
import json
import os
import socket

import pytest

import glen
from peers import Peer, assert_intact


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def can_call(glend):
    try:
        with glend.connect() as conn:
            conn.sock.settimeout(1)
            return conn.call("version")
    except (OSError, glen.RpcError):
        return None


def test_connections_until_descriptors_run_out(scaled):
    """Clients that only connect: the attached ones go on undisturbed."""
    with glen.Glend(prefix=["prlimit", "--nofile=64:64"]) as glend:
        with Peer(glend, "check", "s:a", "s:b") as traffic:
            for _ in range(scaled(3)):
                before = fds(glend.pid)
                idle = []
                for _ in range(120):
                    sock = socket.socket(socket.AF_UNIX)
                    sock.setblocking(False)
                    try:
                        sock.connect(glend.socket)
                    except BlockingIOError:
                        sock.close()
                        break
                    idle.append(sock)
                assert len(idle) > 30
                assert glend.process.poll() is None
                for sock in idle:
                    sock.close()
                glen.wait_until(lambda: can_call(glend), 20,
                                "glend answers again")
                glen.wait_until(lambda: fds(glend.pid) <= before, 20,
                                "descriptors are closed")
        assert_intact(traffic.report)
        glend.check_identity()


def test_ports_until_descriptors_run_out():
    """port.open is refused with a sentence, and works again later."""
    with glen.Glend(prefix=["prlimit", "--nofile=64:64"]) as glend:
        with Peer(glend, "check", "s:a", "s:b") as traffic:
            conns = []
            refusal = None
            for i in range(64):
                try:
                    conn = glend.connect()
                    conn.sock.settimeout(3)
                    conns.append(conn)
                    conn.call("port.open", {"port": f"s:p{i}"})
                except glen.RpcError as error:
                    refusal = error
                    break
                except OSError:
                    break       # not even accepted: fine as well
            assert len(conns) > 3
            if refusal:
                assert refusal.code in (-errno.EMFILE, -errno.ENFILE,
                                        -errno.ENOSPC)
                assert refusal.message
            for conn in conns:
                conn.close()

            def opens():
                try:
                    with glend.connect() as conn:
                        conn.sock.settimeout(1)
                        conn.call("port.open", {"port": "s:again"})
                        return len(conn.fds) == 4
                except (OSError, glen.RpcError):
                    return False

            glen.wait_until(opens, 20, "a port can be opened again")
        assert_intact(traffic.report)
        glend.check_identity()


def resident_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as smaps:
        return int(next(line.split()[1] for line in smaps
                        if line.startswith("Rss:")))


def test_biggest_port_costs_its_client(glend):
    """80 GiB of buffers, none of them touched by glend."""
    before = resident_kib(glend.pid)
    conn = glend.connect()
    opened = conn.call("port.open", {
        "port": "s:big", "rings": 16, "slots": 4096, "buf_size": 65536,
        "extra_bufs": 1 << 20})
    assert opened["extra_bufs"] == 1 << 20
    assert resident_kib(glend.pid) - before < 16 << 10
    conn.close()


@pytest.mark.parametrize("method", ["version", "port.resume", "nonsense"])
def test_descriptors_nobody_asked_for(glend, method, scaled):
    """They are closed at once, however many come and whatever they are."""
    null = os.open("/dev/null", os.O_RDONLY)
    a, b = socket.socketpair()
    glend.rpc("version")
    before = fds(glend.pid)
    conn = glend.connect()
    for n in (1, 4, 5, 8, 100, 253) * scaled(5):
        request = {"jsonrpc": "2.0", "id": n, "method": method}
        if method == "port.resume":
            request["params"] = {"port": "s:a", "token": "0" * 32}
        try:
            conn.send(request, [null, a.fileno()] * (n // 2) + [null] *
                      (n % 2))
            reply = conn.receive()
        except ConnectionError:
            reply = None
        if reply is None:       # refused by hanging up: also fine
            conn.close()
            conn = glend.connect()
        else:
            assert "error" in reply or method == "version", reply
        # One is the connection; closing may come after the answer.
        glen.wait_until(lambda: fds(glend.pid) <= before + 2, 2,
                        f"{n} descriptors are closed")
    conn.close()
    glen.wait_until(lambda: fds(glend.pid) == before, 10,
                    "descriptors are closed")
    os.close(null)
    a.close()
    b.close()


def test_descriptors_without_a_message(glend):
    """A line that never ends may not collect descriptors."""
    null = os.open("/dev/null", os.O_RDONLY)
    glend.rpc("version")
    before = fds(glend.pid)
    conn = glend.connect()
    try:
        for _ in range(500):
            conn.send(b" ", [null] * 8)
    except OSError:
        pass                    # glend hung up: fine
    assert glend.rpc("version")
    # A thread closes them; the connection goes on only if it keeps up.
    glen.wait_until(lambda: fds(glend.pid) <= before + 20, 10,
                    "descriptors are closed while the line goes on")
    conn.close()
    glen.wait_until(lambda: fds(glend.pid) == before, 10,
                    "descriptors are closed")
    os.close(null)


def test_resume_with_foreign_descriptors(glend):
    """The right token, but other memory: refused, and nothing is kept."""
    conn = glend.connect()
    opened = conn.call("port.open", {"port": "s:a"})
    mine = conn.take_fds()
    glend.kill9()
    glend.start()
    before = fds(glend.pid)
    fake = [os.memfd_create("fake", os.MFD_ALLOW_SEALING) for _ in range(2)]
    os.ftruncate(fake[0], 1 << 20)
    os.ftruncate(fake[1], 8 << 20)
    liar = glend.connect()
    for wrong in ([fake[0], *mine[1:]], [mine[0], fake[1], *mine[2:]],
                  [mine[1], mine[0], *mine[2:]], [*mine[:2], fake[0], mine[3]],
                  [*mine[:3], fake[0]], mine[:3], []):
        with pytest.raises((glen.RpcError, ConnectionError)):
            liar.call("port.resume", {"port": "s:a", "token": opened["token"]},
                      wrong)
        liar.close()
        liar = glend.connect()
    with pytest.raises(glen.RpcError) as refused:
        liar.call("port.resume", {"port": "s:a", "token": "f" * 32}, mine)
    assert "token" in refused.value.message
    liar.close()
    # After all that the owner still gets in.
    owner = glend.connect()
    owner.call("port.resume", {"port": "s:a", "token": opened["token"]}, mine)
    assert fds(glend.pid) > before
    owner.close()
    conn.close()
    for fd in mine + fake:
        os.close(fd)
    glen.wait_until(lambda: not glend.rpc("port.list"), 10)
    assert json.dumps(glend.rpc("status"))
