# SPDX-License-Identifier: BSD-2-Clause
# test_sent_files.py - descriptors that nobody can close, sent to glend.
import array
import contextlib
import ctypes
import os
import signal
import socket
import struct

import pytest

import glen
from glen import wait_until
from peers import Peer, assert_intact

PASSRIGHTS = 83         # SO_PASSRIGHTS, Linux 6.16
PIDFD_OPEN, PIDFD_GETFD = 434, 438
SCM_MAX = 253
FRAME = bytes(12) + b"\x88\xb5" + bytes(46)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to look into glend")


@contextlib.contextmanager
def lingering(glend):
    """A function that sends the last reference to a socket whose close()
    waits until the other end, which nobody reads, has got everything. glend
    stands still meanwhile, or ours might be the last one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = socket.create_connection(server.getsockname())
        other = server.accept()[0]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 3600))
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(1 << 16))

    def send(to, data, count=1):
        os.kill(glend.pid, signal.SIGSTOP)
        try:
            to.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                 array.array("i", [sock.fileno()] * count))])
            sock.close()
        finally:
            os.kill(glend.pid, signal.SIGCONT)

    with other:
        yield send
        # Whoever waits may go on.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))


def allow_files(glend):
    """Makes it as on a kernel that cannot refuse them."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(PIDFD_OPEN, glend.pid, 0)
    assert pidfd >= 0
    for name in os.listdir(f"/proc/{glend.pid}/fd"):
        fd = libc.syscall(PIDFD_GETFD, pidfd, int(name), 0)
        if fd < 0:
            continue        # it was that of the last request
        with contextlib.suppress(OSError):
            with socket.socket(fileno=os.dup(fd)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, PASSRIGHTS, 1)
        os.close(fd)
    os.close(pidfd)


class Scene:
    """Checked traffic between two ports, and a port of the driver."""

    def __init__(self, glend, stack, driver=None):
        self.glend = glend
        self.paths = [os.path.join(glend.dir, name) for name in ("evil", "me")]
        glend.rpc("switch.add", switch="s", module="static",
                  options={"map": {"a": "b", "b": "a", "evil": "a"}})
        options = {"peer": self.paths[1]} if driver == "dgram" else {}
        if driver:
            glend.rpc("port.add", port="s:evil", driver=driver,
                      path=self.paths[0], **options)
        self.traffic = stack.enter_context(Peer(glend, "check", "s:a", "s:b"))

    def sent(self):
        return self.glend.port_stats("s:a")["in"]["packets"]

    def check(self):
        before = self.sent()
        wait_until(lambda: self.sent() > before, 20, "packets pass")

    def finish(self):
        self.check()
        assert_intact(self.traffic.stop())


def stream_port(scene, sock, send):
    sock.connect(scene.paths[0])
    wait_until(lambda: scene.glend.rpc("port.show", port="s:evil")["link"],
               what="link")
    send(sock, struct.pack(">I", len(FRAME)) + FRAME, SCM_MAX)
    sock.settimeout(20)
    assert sock.recv(1) == b""
    shown = scene.glend.rpc("port.show", port="s:evil")
    assert "file descriptors" in shown["last_error"], shown


def dgram_port(scene, sock, send):
    sock.bind(scene.paths[1])
    sock.connect(scene.paths[0])
    wait_until(lambda: scene.glend.rpc("port.show", port="s:evil")["link"],
               what="link")
    send(sock, FRAME, SCM_MAX)
    wait_until(lambda: scene.glend.drops("s:evil")["in"].get(
        "in_descriptors") == 1, what="it is dropped")


@pytest.mark.parametrize("driver", ["stream", "dgram"])
def test_ports(glend, driver):
    """Neither a worker nor the control thread waits for them."""
    kind, play = {"stream": (socket.SOCK_STREAM, stream_port),
                  "dgram": (socket.SOCK_DGRAM, dgram_port)}[driver]
    with contextlib.ExitStack() as stack:
        scene = Scene(glend, stack, driver)
        send = stack.enter_context(lingering(glend))
        sock = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        allow_files(glend)
        play(scene, sock, send)
        scene.check()
        # Some that nobody has read when the port goes.
        glend.rpc("port.del", port="s:evil")
        scene.finish()
    glend.check_identity()


def control(glend):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(glend.socket)
    sock.settimeout(20)
    return sock


@pytest.mark.parametrize("data, count", [
    (b'{"jsonrpc":"2.0","id":1,"method":"version"}\n', 1),
    (b'{"jsonrpc":"2.0","id":1,"method":"version"}\n', SCM_MAX),
    (b'{"jsonrpc":"2.0",', 4),
])
def test_control_socket(glend, data, count):
    """With a request, with one that takes none so many, with half of one."""
    with contextlib.ExitStack() as stack:
        scene = Scene(glend, stack)
        send = stack.enter_context(lingering(glend))
        with control(glend) as sock:
            send(sock, data, count)
            if data.endswith(b"\n"):
                assert b"protocol" in sock.recv(1 << 16)
            scene.check()
        scene.finish()
    glend.check_identity()


def test_control_socket_is_deaf_while_too_many_wait(glend):
    """Packets pass meanwhile, and afterwards all is as before."""
    request = b'{"jsonrpc":"2.0","id":1,"method":"version"}\n'
    with contextlib.ExitStack() as stack:
        scene = Scene(glend, stack)
        sock = stack.enter_context(control(glend))
        with lingering(glend) as send, open("/dev/null", "rb") as null:
            send(sock, request)
            assert b"protocol" in sock.recv(1 << 16)
            sock.settimeout(1)
            with pytest.raises(TimeoutError):
                for _ in range(8):
                    sock.sendmsg([request], [(
                        socket.SOL_SOCKET, socket.SCM_RIGHTS,
                        array.array("i", [null.fileno()] * SCM_MAX))])
                    sock.recv(1 << 16)
        sock.settimeout(20)
        assert b"protocol" in sock.recv(1 << 16)
        wait_until(lambda: len(os.listdir(f"/proc/{glend.pid}/fd")) < SCM_MAX,
                   what="they are closed")
        scene.finish()
    assert "descriptors that clients sent" in glend.log_text()
