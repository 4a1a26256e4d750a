# SPDX-License-Identifier: BSD-2-Clause
# test_fd.py - descriptors of /dev/netmap in programs that know nothing of it.
"""
A Python interpreter under glen-run plays the program: it opens, copies and
passes descriptors by the ways that its library has, which are not those of the
C programs in torture_fds.c.
"""
import subprocess
import sys

import pytest

import glen

# Code that every program below begins with.
COMMON = """
import array, ctypes, fcntl, mmap, os, select, socket, struct, subprocess, sys
CTRL, TXSYNC, RXSYNC = 0xc0586997, 0x6994, 0x6995

def register(fd, name):
    '''Binds fd; returns nr_offset and nr_memsize.'''
    body = ctypes.create_string_buffer(struct.pack(
        '<QQIIHHHHHHIIxxxxQ', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0), 56)
    hdr = bytearray(struct.pack('<HHI64sQQ', 14, 1, 0, name.encode(), 0,
                                ctypes.addressof(body)))
    fcntl.ioctl(fd, CTRL, hdr)
    return struct.unpack_from('<QQ', body)

def rings(memory, offset):
    '''Where the first TX and RX ring are.'''
    n_tx, n_rx, _, h_tx = struct.unpack_from('<IIII', memory, offset + 24)
    tx = struct.unpack_from('<q', memory, offset + 56)[0]
    rx = struct.unpack_from('<q', memory, offset + 56 + 8 * (n_tx + h_tx))[0]
    return offset + tx, offset + rx

class Port:
    def __init__(self, fd, name=None, where=None):
        self.fd = fd
        self.offset, self.size = where or register(fd, name)
        self.memory = mmap.mmap(fd, self.size)
        self.tx, self.rx = rings(self.memory, self.offset)

    def send(self, data):
        m, tx = self.memory, self.tx
        n, = struct.unpack_from('<I', m, tx + 8)
        head, = struct.unpack_from('<I', m, tx + 20)
        slot = tx + 256 + 16 * head
        buf, = struct.unpack_from('<I', m, slot)
        at = tx + struct.unpack_from('<q', m, tx)[0] + buf * 2048
        m[at:at + len(data)] = data
        struct.pack_into('<HH', m, slot + 4, len(data), 0)
        head = (head + 1) % n
        struct.pack_into('<II', m, tx + 20, head, head)
        fcntl.ioctl(self.fd, TXSYNC)

    def recv(self):
        m, rx = self.memory, self.rx
        fcntl.ioctl(self.fd, RXSYNC)
        n, = struct.unpack_from('<I', m, rx + 8)
        head, _, tail = struct.unpack_from('<III', m, rx + 20)
        if head == tail:
            return None
        slot = rx + 256 + 16 * head
        buf, size = struct.unpack_from('<IH', m, slot)
        at = rx + struct.unpack_from('<q', m, rx)[0] + buf * 2048
        data = m[at:at + size]
        head = (head + 1) % n
        struct.pack_into('<II', m, rx + 20, head, head)
        return data

FRAME = b'\\xff' * 6 + b'\\2' + b'\\0' * 5 + b'\\x88\\xb5' + bytes(46)

def check(a, b):
    '''A frame goes from a to b, which sleeps for it.'''
    p = select.poll()
    p.register(b.fd, select.POLLIN)
    assert p.poll(0) == [], p.poll(0)
    a.send(FRAME)
    assert p.poll(10000) == [(b.fd, select.POLLIN)]
    assert b.recv() == FRAME
    assert b.recv() is None

def device():
    return os.open('/dev/netmap', os.O_RDWR)
"""


def program(daemon, code, env=None):
    done = subprocess.run(
        [glen.binary("glen-run"), sys.executable, "-c", COMMON + code],
        env={**daemon.env, **(env or {})}, text=True, timeout=100,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def no_ports(daemon):
    glen.wait_until(lambda: not daemon.rpc("stats")["ports"], 10,
                    "all ports are gone")


def test_two_ports(daemon):
    program(daemon, """
a, b = Port(device(), 'vale0:a'), Port(device(), 'vale0:b')
check(a, b)
check(b, a)
""")
    no_ports(daemon)


def test_lowest_number(daemon):
    """open() takes the lowest free number, be it 0, 1 or 2."""
    program(daemon, """
os.set_inheritable(2, True)
saved = [os.dup(i) for i in range(3)]
for i in range(3):
    os.close(i)
fds = [device() for i in range(3)]
a, b = Port(fds[1], 'vale0:a'), Port(fds[2], 'vale0:b')
check(a, b)
for i in range(3):
    os.dup2(saved[i], i)
assert fds == [0, 1, 2], fds
""")
    no_ports(daemon)


def test_close_on_exec(daemon):
    program(daemon, """
libc = ctypes.CDLL(None)
fd = libc.open(b'/dev/netmap', os.O_RDWR)
assert not fcntl.fcntl(fd, fcntl.F_GETFD)
fd = libc.open(b'/dev/netmap', os.O_RDWR | os.O_CLOEXEC)
assert fcntl.fcntl(fd, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
""")


def test_exec(daemon):
    """A bound descriptor, and what it is bound to, survive exec."""
    program(daemon, """
if len(sys.argv) == 1:
    fd = device()
    os.set_inheritable(fd, True)
    where = register(fd, 'vale0:a')
    text = open('/proc/self/cmdline').read().split('\\0')[2]
    os.execv(sys.executable, [sys.executable, '-c', text, str(fd),
                              *map(str, where)])
fd, *where = map(int, sys.argv[1:])
a, b = Port(fd, where=where), Port(device(), 'vale0:b')
check(a, b)
check(b, a)
try:
    register(fd, 'vale0:c')
except OSError as error:
    assert error.errno == 16, error    # EBUSY
else:
    assert False
""")
    no_ports(daemon)


def test_passed_to_one_that_never_opened(daemon):
    """SCM_RIGHTS, to a process that was there before."""
    program(daemon, """
ours, theirs = socket.socketpair()
pid = os.fork()
if not pid:
    ours.close()
    data, fds, _, _ = socket.recv_fds(theirs, 100, 1)
    a = Port(fds[0], where=tuple(map(int, data.split())))
    p = select.poll()
    p.register(a.fd, select.POLLIN)
    theirs.send(b'ready')
    assert p.poll(10000) == [(a.fd, select.POLLIN)]
    assert a.recv() == FRAME
    a.send(FRAME)
    os._exit(0)
theirs.close()
fd = device()
where = register(fd, 'vale0:a')
socket.send_fds(ours, [b'%d %d' % where], [fd])
os.close(fd)
b = Port(device(), 'vale0:b')
assert ours.recv(5) == b'ready'
b.send(FRAME)
p = select.poll()
p.register(b.fd, select.POLLIN)
assert p.poll(10000) == [(b.fd, select.POLLIN)]
assert os.waitpid(pid, 0)[1] == 0
""")
    no_ports(daemon)


def test_children_that_close_everything(daemon):
    """vfork() and close() in the child leave the parent's ports alone."""
    program(daemon, """
a, b = Port(device(), 'vale0:a'), Port(device(), 'vale0:b')
for i in range(3):
    subprocess.run(['true'], check=True, close_fds=True)
    subprocess.run(['true'], check=True, close_fds=False)
    subprocess.run(['true'], check=True, preexec_fn=lambda: None)
    check(a, b)
os.system('exit 0')
check(a, b)
""")
    no_ports(daemon)


def test_few_descriptors(daemon):
    """With all numbers in use nothing is left to sleep on: it still wakes."""
    program(daemon, """
import resource, threading
a, b = Port(device(), 'vale0:a'), Port(device(), 'vale0:b')
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
fds = []
while True:
    try:
        fds.append(os.dup(0))
    except OSError:
        break
check(a, b)
check(b, a)
for fd in fds:
    os.close(fd)
check(a, b)
""")
    no_ports(daemon)


@pytest.mark.parametrize("way", ["select", "epoll", "edge"])
def test_with_other_descriptors(daemon, way):
    """Netmap's and a pipe's in one set: either wakes, and is told apart."""
    program(daemon, f"way = '{way}'" + """
a, b = Port(device(), 'vale0:a'), Port(device(), 'vale0:b')
r, w = os.pipe()
ep = select.epoll()
more = select.EPOLLET if way == 'edge' else 0
ep.register(b.fd, select.EPOLLIN | more)
ep.register(r, select.EPOLLIN)

def ready(timeout=10):
    if way == 'select':
        return set(select.select([b.fd, r], [], [], timeout)[0])
    return {fd for fd, events in ep.poll(timeout)}

assert ready(0) == set()
assert ready(0.05) == set()
os.write(w, b'x')
assert ready() == {r}
a.send(FRAME)
got = ready()
while got != {r, b.fd}:
    assert way == 'edge' or got, got
    got |= ready()
os.read(r, 1)
if way != 'edge':
    assert ready() == {b.fd}
assert ready(0.05) == (set() if way == 'edge' else {b.fd})
assert b.recv() == FRAME
assert ready(0) == set()
pid = os.fork()
if not pid:
    a.send(FRAME)
    os._exit(0)
assert ready() == {b.fd}
os.waitpid(pid, 0)
assert b.recv() == FRAME
ep.unregister(b.fd)
try:
    ep.unregister(b.fd)
except OSError as error:
    assert error.errno == 2, error    # ENOENT
else:
    assert False
try:
    ep.register(b.fd, select.EPOLLIN)
    ep.register(b.fd, select.EPOLLIN)
except OSError as error:
    assert error.errno == 17, error    # EEXIST
else:
    assert False
""")
    no_ports(daemon)


def test_stat(daemon):
    program(daemon, """
import stat
st = os.stat('/dev/netmap')
assert stat.S_ISCHR(st.st_mode)
assert os.access('/dev/netmap', os.R_OK | os.W_OK)
assert not os.access('/dev/netmap', os.X_OK)
assert os.path.exists('/dev/netmap')
assert not os.path.exists('/dev/netmap2')
""")


def test_both_sides_of_a_fork_wake(daemon):
    """Each of two processes that sleep on a port hears of every packet."""
    program(daemon, """
import time
a, b = Port(device(), 'vale0:a'), Port(device(), 'vale0:b')
p = select.poll()
p.register(b.fd, select.POLLIN)
assert p.poll(1) == []
go_r, go_w = os.pipe()
ours, theirs = socket.socketpair()
child = os.fork()
if not child:
    for i in range(10):
        os.write(go_w, b'c')
        assert p.poll(10000) == [(b.fd, select.POLLIN)]
        theirs.send(b'w')
        theirs.recv(1)
    os._exit(0)
sender = os.fork()
if not sender:
    for i in range(10):
        while len(os.read(go_r, 1)) + len(os.read(go_r, 1)) < 2:
            pass
        time.sleep(0.02)    # they should be asleep by now
        a.send(FRAME)
    os._exit(0)
for i in range(10):
    os.write(go_w, b'p')
    assert p.poll(10000) == [(b.fd, select.POLLIN)], i
    assert ours.recv(1) == b'w', i
    assert b.recv() == FRAME
    ours.send(b'n')
assert os.waitpid(child, 0)[1] == 0
assert os.waitpid(sender, 0)[1] == 0
""")
    no_ports(daemon)


@pytest.mark.parametrize("order", ["device first", "device last"])
@pytest.mark.parametrize("way", ["epoll", "edge", "poll", "deeper"])
def test_epoll_in_epoll(daemon, way, order):
    """An epoll descriptor with a port in it is itself waited for."""
    program(daemon, f"way, order = '{way}', '{order}'" + """
a, b = Port(device(), 'vale0:a'), Port(device(), 'vale0:b')
r, w = os.pipe()
inner, outer = select.epoll(), select.epoll()
if order == 'device first':
    inner.register(b.fd, select.EPOLLIN)
more = select.EPOLLET if way == 'edge' else 0
inner.register(r, select.EPOLLIN)
outer.register(inner.fileno(), select.EPOLLIN | more)
top = outer
if way == 'deeper':
    top = select.epoll()
    top.register(outer.fileno(), select.EPOLLIN)
if way == 'poll':
    top = select.poll()
    top.register(outer.fileno(), select.POLLIN)
if order == 'device last':
    inner.register(b.fd, select.EPOLLIN)
member = inner.fileno() if top is outer else outer.fileno()
ms = 1 if way == 'poll' else 0.001    # of a millisecond

def ready(wait=10000):
    got = top.poll(wait * ms)
    assert all(events == select.EPOLLIN for fd, events in got), got
    assert len(got) < 2, got
    return [fd for fd, events in got]

assert ready(0) == []
assert ready(20) == []
a.send(FRAME)
assert ready() == [member]
assert inner.poll(0) == [(b.fd, select.EPOLLIN)]
if way == 'edge':
    assert ready(0) == []
else:
    assert ready(0) == [member]
assert b.recv() == FRAME
assert ready(0) == []
os.write(w, b'x')
assert ready() == [member]
assert inner.poll(0) == [(r, select.EPOLLIN)]
a.send(FRAME)
if way != 'edge':
    assert ready() == [member]
    assert {fd for fd, _ in inner.poll(10)} == {b.fd, r}
os.read(r, 1)
assert b.recv() == FRAME
assert ready(0) == []
pid = os.fork()
if not pid:
    a.send(FRAME)
    os._exit(0)
assert ready() == [member]    # it slept
os.waitpid(pid, 0)
assert b.recv() == FRAME
outer.unregister(inner.fileno())
a.send(FRAME)
assert ready(20) == []
assert inner.poll(0) == [(b.fd, select.EPOLLIN)]
inner.close()
""")
    no_ports(daemon)
