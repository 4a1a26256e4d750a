# SPDX-License-Identifier: BSD-2-Clause
# test_hostile_vhost.py - a hostile guest harms nobody but itself.
"""
         a <---> b       checked packet by packet; nothing may be missing
  evil ---> mirror
  evil <--- mirror       so that evil's receive rings are in use as well

evil is a vhost-user port. tests/peer/hostile_vhost.c plays every input of
facts/vm-attach.md 5.3 A to D against it (its cases carry the numbers) and
judges what becomes of the port; here is what must hold for everybody else,
after each case: glend answers, its descriptors and memory are as before, a and
b are up and exchange packets, and a well-behaved guest can use evil's port.
"""
import contextlib
import json
import os
import re
import socket
import subprocess
import sys

import pytest

import glen
from cable import Cable
from daemon import n_fds
from peers import Peer, VhostPeer, assert_intact

STATIC = {"map": {"a": "b", "b": "a", "evil": "mirror", "mirror": "evil"}}
MEMORY_KIB = 8192   # what glend may have grown by at the end of a group

# Where glend had the last word, what it said.
REASONS = {
    "A1-truncate": "was cut shorter",
    "D32-slow": "sent part of a message",
    "D36-index": "there is no virtqueue",
}

FUSE_FILE = os.path.join(os.path.dirname(__file__), "fuse_file.py")
WHY_NO_FUSE = (None if os.geteuid() == 0 and os.path.exists("/dev/fuse") else
               "needs root and /dev/fuse")


def all_cases():
    """[(name, [ring formats])]"""
    out = subprocess.run([glen.binary("hostile_vhost"), "--list"], text=True,
                         stdout=subprocess.PIPE, check=True).stdout
    lines = [line.split() for line in out.splitlines()]
    return [(name, rings.split(",")) for name, rings in lines]


def play(path, case, scale, ring):
    """Runs one case to its end and returns its report."""
    done = subprocess.run(
        [glen.binary("hostile_vhost"), path, case, str(scale), ring],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=200, check=False, preexec_fn=glen.die_with_parent)
    assert done.returncode == 0, done.stderr
    print(done.stdout, end="")
    return json.loads(done.stdout)


def memory_kib(glend):
    with open(f"/proc/{glend.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s*(\d+)", status.read())[1])


class Scene:
    """The four ports; neighbours are guests or clients of the library."""

    def __init__(self, glend, stack, guests):
        self.glend = glend
        self.evil = os.path.join(glend.dir, "evil")
        glend.rpc("switch.add", switch="s", module="static", options=STATIC)
        self.add("evil", self.evil)
        stack.enter_context(Peer(glend, "bounce", "s:mirror"))
        if guests:
            paths = [os.path.join(glend.dir, name) for name in "ab"]
            for name, path in zip("ab", paths):
                self.add(name, path)
            self.traffic = VhostPeer(*paths)
        else:
            self.traffic = Peer(glend, "check", "s:a", "s:b")
        stack.enter_context(self.traffic)

    def add(self, name, path):
        self.glend.rpc("port.add", port=f"s:{name}", driver="vhost-user",
                       path=path, mode="server", queues=1)

    def sent(self):
        return self.glend.port_stats("s:a")["in"]["packets"]

    def check_neighbours(self):
        before = self.sent()
        glen.wait_until(lambda: self.sent() > before, 20,
                        "neighbours exchange packets")
        for name in "ab":
            assert self.glend.rpc("port.show", port=f"s:{name}")["link"]
        assert self.glend.rpc("status")["broken_ports"] == []


def run_cases(letter, ring, workers, guests, scale):
    with glen.Glend(workers=workers) as glend:
        pid = glend.pid
        with contextlib.ExitStack() as stack:
            scene = Scene(glend, stack, guests)
            # Once, so that everything is there that will stay.
            play(scene.evil, "good", scale, ring)
            fds = n_fds(glend)
            kib = memory_kib(glend)
            for case, rings in all_cases():
                if case[0] != letter or ring not in rings:
                    continue
                play(scene.evil, case, scale, ring)
                assert glend.pid == pid and glend.process.poll() is None
                if case in REASONS:
                    shown = glend.rpc("port.show", port="s:evil")["vhost"]
                    assert REASONS[case] in shown["last_error"], shown
                scene.check_neighbours()
                assert play(scene.evil, "good", scale, ring)["good"] == 1
                # Fewer: glend keeps those of a new client for a while.
                glen.wait_until(lambda: n_fds(glend) <= fds,
                                what=f"{fds} descriptors")
            grown = memory_kib(glend) - kib
        assert_intact(scene.traffic.report)
        glend.check_identity()
    if "SANITIZED" not in os.environ:
        assert grown < MEMORY_KIB, f"glend has grown by {grown} KiB"


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("letter", ["A", "B", "C", "D"])
def test_hostile_guest_harms_nobody(scaled, letter, ring):
    """Its neighbours: guests where rings are split, else clients."""
    scale = scaled(1000) / 1000
    run_cases(letter, ring, workers=1 if ring == "split" else 2,
              guests=ring == "split", scale=scale)


@pytest.mark.parametrize("case, ring, reason", [
    ("B11-head", "split", "leaves its table"),
    ("B11-head", "packed", "id is not below the size"),
    ("B13-cycle", "split", "more than 256 descriptors or no end"),
    ("B14-indirect", "split", "table has a bad size"),
    ("B15-buffer", "packed", "outside of the guest's memory"),
    ("B18-write", "split", "writable for the wrong side"),
    ("B19-jump", "split", "further ahead than the ring is long"),
    ("B21-format", "packed", "base is not an index"),
])
def test_reason_of_a_stopped_queue(glend, case, ring, reason):
    """It is shown while the guest is attached; the other queue goes on."""
    with contextlib.ExitStack() as stack:
        scene = Scene(glend, stack, guests=False)
        with subprocess.Popen(
                [glen.binary("hostile_vhost"), scene.evil, case, "0.1", ring,
                 "1", "hold"], text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                preexec_fn=glen.die_with_parent) as liar:
            assert liar.stdout.readline() == "held\n"
            shown = glend.rpc("port.show", port="s:evil")["vhost"]["queues"]
            liar.stdin.close()
    stopped = [q for q in shown if "stopped" in q]
    assert len(stopped) == 1, shown
    assert reason in stopped[0]["stopped"], shown
    assert [q["running"] for q in shown].count(True) == 1
    assert_intact(scene.traffic.report)


def kernel_port(glend, stack, driver):
    """Adds s:out, whose packets the kernel reads. Returns who gets them."""
    paths = {name: os.path.join(glend.dir, name) for name in ("out", "peer")}
    if driver == "packet":
        cable = stack.enter_context(Cable(mtu=9000))
        glend.rpc("port.add", port="s:out", driver="packet", ifname="eth0",
                  netns=cable.host.name)
        return cable.far.call(lambda: glen.Wire.bind("far", False))
    if driver == "tap":
        ns = stack.enter_context(glen.Netns().no_ipv6())
        glend.rpc("port.add", port="s:out", driver="tap", netns=ns.name)
        return ns.call(lambda: glen.Wire.bind("out", False))
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM
                         if driver == "stream" else socket.SOCK_DGRAM)
    if driver == "stream":
        glend.rpc("port.add", port="s:out", driver="stream",
                  path=paths["out"])
        peer.connect(paths["out"])
    else:
        peer.bind(paths["peer"])
        glend.rpc("port.add", port="s:out", driver="dgram",
                  path=paths["out"], peer=paths["peer"])
    return peer


@pytest.mark.parametrize("driver", ["stream", "dgram", "tap", "packet"])
def test_memory_goes_while_the_kernel_reads_it(glend, driver):
    """It is the sender that is closed for it, and not the receiver."""
    if driver in ("tap", "packet") and glen.why_no_root():
        pytest.skip(glen.why_no_root())
    evil = os.path.join(glend.dir, "evil")
    glend.rpc("switch.add", switch="s", module="static",
              options={"map": {"evil": "out", "a": "out"}})
    glend.rpc("port.add", port="s:evil", driver="vhost-user", path=evil,
              queues=1)
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(kernel_port(glend, stack, driver))
        glen.wait_until(lambda: glend.rpc("port.show", port="s:out")["link"],
                        what="link")
        assert play(evil, "A1-half", 1, "split")["hangup"] == 4
        shown = glend.rpc("port.show", port="s:evil")["vhost"]
        assert "was cut shorter" in shown["last_error"], shown
        assert "out_io_error" not in glend.drops("s:out")["out"]
        # Another sender's packets still come.
        peer.settimeout(20)
        with Peer(glend, "flood", "s:a", pps=1000):
            data = b""
            while b"\x88\xb5" not in data:
                data = peer.recv(1 << 16)
                assert data, "glend has closed the connection"
        assert glend.rpc("port.show", port="s:out")["link"]
    glend.check_identity()


@pytest.mark.skipif(WHY_NO_FUSE is not None, reason=str(WHY_NO_FUSE))
def test_file_whose_server_does_not_answer(glend, scaled):
    """
    To close a file of a FUSE file system is to wait for its server. It comes
    as memory, as a log, and as one of too many.
    """
    with contextlib.ExitStack() as stack:
        scene = Scene(glend, stack, guests=True)
        fds = n_fds(glend)
        with subprocess.Popen(
                [sys.executable, FUSE_FILE, scene.evil], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                preexec_fn=glen.die_with_parent) as server:
            assert server.stdout.readline() == "flush asked for\n"
            scene.check_neighbours()
            play(scene.evil, "good", scaled(1000) / 1000, "split")
            server.kill()
        glen.wait_until(lambda: n_fds(glend) <= fds, what=f"{fds} descriptors")
    assert_intact(scene.traffic.report)


def test_no_way_is_left_out():
    """5.3 has 42 numbers; each is the number of a case."""
    numbers = set()
    for name, _ in all_cases():
        numbers |= {int(n) for n in re.findall(r"\d+", name.split("-", 1)[0])}
        numbers |= {int(n) for n in re.findall(r"-A(\d+)", name)}
    assert numbers == set(range(1, 43))
