# SPDX-License-Identifier: BSD-2-Clause
# test_sockets.py - stream and dgram ports between two glends, and passt.
import hashlib
import os
import re
import socket
import struct
import subprocess
import time

import pytest
from scapy.all import BOOTP, DHCP, Ether, IP, UDP, raw

import glen
from gen import Gen, gen_run
from glen import Glend, RpcError, wait_until

PACKETS = 600           # less than any queue on the way holds
UPLINK = "10.0.2.2"     # passt's address; it stands for the host's loopback


def free_port(family, kind):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family, kind) as sock:
        try:
            sock.bind((host, 0))
        except OSError as error:
            pytest.skip(f"no {host} here: {error}")
        port = sock.getsockname()[1]
    return f"127.0.0.1:{port}" if host[0] == "1" else f"[::1]:{port}"


def stream_unix(folder):
    path = os.path.join(folder, "wire")
    return ({"driver": "stream", "path": path},
            {"driver": "stream", "path": path, "mode": "client"})


def stream_tcp(family):
    addr = free_port(family, socket.SOCK_STREAM)
    return ({"driver": "stream", "addr": addr, "mode": "server"},
            {"driver": "stream", "addr": addr, "mode": "client"})


def dgram_unix(folder):
    a, b = (os.path.join(folder, name) for name in ("a", "b"))
    return ({"driver": "dgram", "path": a, "peer": b},
            {"driver": "dgram", "path": b, "peer": a})


def dgram_udp(family):
    a, b = (free_port(family, socket.SOCK_DGRAM) for _ in range(2))
    return ({"driver": "dgram", "addr": a, "peer": b},
            {"driver": "dgram", "addr": b, "peer": a})


WIRES = {
    "stream-unix": stream_unix,
    "stream-tcp": lambda _: stream_tcp(socket.AF_INET),
    "stream-tcp6": lambda _: stream_tcp(socket.AF_INET6),
    "dgram-unix": dgram_unix,
    "dgram-udp": lambda _: dgram_udp(socket.AF_INET),
    "dgram-udp6": lambda _: dgram_udp(socket.AF_INET6),
}


def connected(*glends):
    """Each one's end of the wire has its peer."""
    def both():
        return all(g.rpc("port.show", port="sw0:wire")["connected"]
                   for g in glends)

    wait_until(both, what="the wire is connected")


@pytest.fixture(name="wired", params=WIRES)
def wired_glends(request, tmp_path):
    """Two glends whose switches are joined by a wire."""
    ends = WIRES[request.param](str(tmp_path))
    with Glend() as a, Glend() as b:
        for glend, end in zip((a, b), ends):
            glend.rpc("port.add", port="sw0:wire", **end)
        connected(a, b)
        yield a, b


def ends_are_gone(*glends):
    """
    Each glend has seen that its glen-gen ended. One that is killed before that
    leaves word in its state file that the name is still somebody's.
    """
    wait_until(lambda: all(port["port"] == "sw0:wire" for g in glends
                           for port in g.rpc("port.list")),
               what="the ends are gone")


def traffic(sender, receiver):
    """Every packet arrives, unchanged and in order."""
    with Gen(receiver, "recv", "sw0:end", "--until-end", "--expect-lossless",
             "--slots", 4096) as gen:
        sent = gen_run(sender, "send", "sw0:end", "--count", PACKETS,
                       "--size", "60-1514", "--flows", 3, "--rate", "20k",
                       "--burst", 8)
        report = gen.report()
    assert sent["sent"]["packets"] == PACKETS
    assert report["received"]["packets"] == PACKETS
    ends_are_gone(sender, receiver)


def test_traffic_both_ways(wired):
    a, b = wired
    traffic(a, b)
    traffic(b, a)
    for glend in wired:
        glend.check_identity()
        drops = glend.drops("sw0:wire")
        assert not drops["out"]
        # An announcement when nobody else was there.
        assert set(drops["in"]) <= {"in_no_port"}


def test_either_glend_may_be_killed(wired):
    """What listens replaces its stale socket, what connects tries again."""
    a, b = wired
    for victim, other in ((a, b), (b, a)):
        seen = other.rpc("port.show", port="sw0:wire")["connections"]
        victim.kill9()
        victim.start()
        connected(a, b)
        if "path" in other.rpc("port.show", port="sw0:wire"):
            wait_until(lambda: other.rpc("port.show", port="sw0:wire")[
                "connections"] > seen, what="the other one notices")
            connected(a, b)
        traffic(victim, other)
        traffic(other, victim)
    for glend in wired:
        glend.check_identity()


@pytest.mark.parametrize("driver, key", [("vhost-user", "problem"),
                                         ("stream", "last_error")])
def test_why_nobody_was_reached(glend, tmp_path, driver, key):
    """It is shown, below the rest, until somebody is there."""
    path = tmp_path / "s"

    def says(text):
        wait_until(lambda: f"\n{key}: {text}\n" in
                   glend.ctl("port", "show", "sw0:out").stdout, what=text)

    path.write_text("no socket")
    glend.rpc("port.add", port="sw0:out", driver=driver, path=str(path),
              mode="client")
    says(f"{path} is not a socket")
    path.unlink()
    says(f"nobody listens at {path}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        wait_until(lambda: key not in glend.rpc(
            "port.show", port="sw0:out").get("vhost", {}) and
            "connections    1" in
            glend.ctl("port", "show", "sw0:out").stdout, what="it is there")


def listen_at(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()
    return sock


def problem(glend, port):
    shown = glend.rpc("port.show", port=port)
    return shown.get("vhost", shown).get("problem", "")


def can_connect(path):
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(path) == 0


@pytest.mark.parametrize("driver", ["vhost-user", "stream"])
def test_a_socket_that_was_replaced_comes_back(glend, tmp_path, driver):
    """As a QEMU in the wrong role does it, and whoever cleans up."""
    path = str(tmp_path / "s")
    glend.rpc("port.add", port="sw0:p", driver=driver, path=path,
              access="0606")
    os.unlink(path)
    with listen_at(path):
        wait_until(lambda: "server=on" in problem(glend, "sw0:p"),
                   what="it is told")
        uptime = glend.rpc("status")["uptime_s"]
        wait_until(lambda: glend.rpc("status")["uptime_s"] > uptime + 2,
                   what="a while")
        assert glend.log_text().count("server=on") == 1
        # Who lives there has not been touched.
        assert can_connect(path)
    # What is left is a stale file.
    wait_until(lambda: can_connect(path), what="it is made anew")
    wait_until(lambda: not problem(glend, "sw0:p"), what="all is well")
    assert os.stat(path).st_mode & 0o777 == 0o606
    count = len(os.listdir(f"/proc/{glend.pid}/fd"))
    os.unlink(path)
    wait_until(lambda: can_connect(path), what="it is made again")
    wait_until(lambda: len(os.listdir(f"/proc/{glend.pid}/fd")) <= count,
               what="the old one is closed")
    glend.rpc("port.del", port="sw0:p")
    assert not os.path.exists(path)


def test_a_datagram_socket_that_was_removed_is_told(glend, tmp_path):
    path = str(tmp_path / "s")
    glend.rpc("port.add", port="sw0:p", driver="dgram", path=path,
              peer=path + "-peer")
    assert not problem(glend, "sw0:p")
    os.unlink(path)
    wait_until(lambda: "socket was removed" in problem(glend, "sw0:p"),
               what="it is told")
    assert glend.log_text().count("socket was removed") == 1
    glend.rpc("port.del", port="sw0:p")


@pytest.mark.parametrize("driver", ["vhost-user", "stream"])
def test_who_hangs_up_at_once_is_left_in_peace(glend, tmp_path, driver):
    path = str(tmp_path / "s")
    with listen_at(path) as listener:
        start = time.monotonic()
        glend.rpc("port.add", port="sw0:p", driver=driver, path=path,
                  mode="client")
        for _ in range(8):
            listener.accept()[0].close()
        # It takes half a second if it keeps trying as at first.
        assert time.monotonic() - start > 1.2


def test_a_front_end_that_says_nothing_is_a_problem(glend, tmp_path):
    """As a QEMU that another port has got."""
    path = str(tmp_path / "s")
    with listen_at(path):
        glend.rpc("port.add", port="sw0:p", driver="vhost-user", path=path,
                  mode="client")
        wait_until(lambda: glend.rpc("port.show", port="sw0:p")["vhost"][
            "connected"], what="it is connected")
        wait_until(lambda: "has not sent one message" in
                   problem(glend, "sw0:p"), 30, "it is told")


def test_a_storm_silences_no_other_port(glend, tmp_path):
    """Each port may say so much; how much more there was is told."""
    noisy, quiet = str(tmp_path / "noisy"), str(tmp_path / "quiet")
    for path in (noisy, quiet):
        glend.rpc("port.add", port="sw0:" + os.path.basename(path),
                  driver="vhost-user", path=path)
    for n in range(1, 51):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(noisy)
        wait_until(lambda n=n: glend.rpc("port.show", port="sw0:noisy")[
            "vhost"]["connections"] == n, what="it was noticed")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(quiet)
        wait_until(lambda: "port sw0:quiet: process" in glend.log_text(),
                   what="the other port is heard")

    def told():
        text = glend.log_text()
        left_out = re.findall(r"noisy: (\d+) more messages were left", text)
        return left_out and text.count("port sw0:noisy: ") - len(
            left_out) + sum(map(int, left_out)) == 100

    # Also when no more comes.
    wait_until(told, 30, "what was left out is counted")


@pytest.mark.parametrize("kind", ["stream-unix", "dgram-unix", "stream-tcp"])
def test_a_wire_between_two_switches_of_one_glend(glend, tmp_path, kind):
    """As a cable would: nothing is wrong with that."""
    ends = WIRES[kind](str(tmp_path))
    for sw, end in zip(("sw0", "sw1"), ends):
        glend.rpc("port.add", port=f"{sw}:wire", **end)

    def shown(sw):
        return glend.rpc("port.show", port=f"{sw}:wire")

    wait_until(lambda: shown("sw0")["connected"] and shown("sw1")["connected"],
               what="they meet")
    with Gen(glend, "recv", "sw1:end", "--until-end",
             "--expect-lossless") as gen:
        gen_run(glend, "send", "sw0:end", "--count", PACKETS, "--rate", "20k")
        assert gen.report()["received"]["packets"] == PACKETS
    assert "problem" not in shown("sw0") and "problem" not in shown("sw1")
    if kind == "stream-unix":
        assert shown("sw1")["peer"] == "port sw0:wire of this glend"


@pytest.mark.parametrize("kind", ["stream-unix", "dgram-unix"])
def test_a_wire_within_one_switch_is_told(glend, tmp_path, kind):
    """It may be meant, with a module such as static; mostly it is not."""
    glend.rpc("switch.add", switch="sw0", module="static")
    ends = WIRES[kind](str(tmp_path))
    for name, end in zip("ab", ends):
        glend.rpc("port.add", port=f"sw0:{name}", **end)
    wait_until(lambda: "goes round in circles" in glend.rpc(
        "port.show", port="sw0:b").get("problem", ""), what="it is told")
    assert "goes round in circles" in glend.ctl("port", "show",
                                                "sw0:b").stdout


@pytest.mark.parametrize("driver", ["vhost-user", "stream"])
@pytest.mark.parametrize("alias", [False, True])
def test_own_virtual_machine_port_is_no_peer(glend, tmp_path, driver, alias):
    """Two back ends have nothing to say; and the port is left in peace."""
    path, link = tmp_path / "vm", tmp_path / "link"
    link.symlink_to(path)
    glend.rpc("port.add", port="sw0:vm", driver="vhost-user", path=str(path))
    glend.rpc("port.add", port="sw1:out", driver=driver, mode="client",
              path=str(link if alias else path))

    def told():
        shown = glend.rpc("port.show", port="sw1:out")
        own = shown.get("vhost", shown)
        return own.get("problem", own.get("last_error", ""))

    wait_until(lambda: "this glend's own port sw0:vm" in told(),
               what="it is told")
    assert not glend.rpc("port.show", port="sw1:out")["link"]
    assert glend.rpc("port.show", port="sw0:vm")["vhost"]["connections"] == 0
    # Once somebody else is there, it goes on.
    glend.rpc("port.del", port="sw0:vm")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.accept()[0].close()


def test_nobody_there_and_the_place_is_taken(glend, tmp_path):
    path = str(tmp_path / "s")
    glend.rpc("port.add", port="sw0:out", driver="stream", path=path,
              mode="client")
    wait_until(lambda: "nobody listens" in glend.rpc(
        "port.show", port="sw0:out").get("last_error", ""),
        what="it says that nobody listens")
    glend.rpc("port.add", port="sw0:in", driver="stream", path=path)
    wait_until(lambda: glend.rpc("port.show", port="sw0:out")["connected"],
               what="the two meet")
    with pytest.raises(RpcError) as refused:
        glend.rpc("port.add", port="sw0:too", driver="stream", path=path)
    assert refused.value.errno_name == "EADDRINUSE"
    # What it advises names the process.
    assert path in refused.value.message
    assert '"ss -xap"' in refused.value.message
    listed = subprocess.run(["ss", "-xap"], text=True, check=True,
                            stdout=subprocess.PIPE).stdout
    assert any(f" {path} " in line and f"pid={glend.pid}," in line
               for line in listed.splitlines()), listed
    glend.rpc("port.del", port="sw0:in")
    assert not os.path.exists(path)
    wait_until(lambda: not glend.rpc("port.show", port="sw0:out")["link"],
               what="the link goes down")


def resident_kb(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def test_many_connections_leave_no_trace(glend, scaled, tmp_path):
    """Peers that come, send a part of a frame, and go; descriptors, memory."""
    path = str(tmp_path / "s")
    glend.rpc("port.add", port="sw0:s", driver="stream", path=path)

    def visit(first, last):
        for i in range(first, last):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(path)
                peer.sendall(bytes(i % 100))
        wait_until(lambda: shown("connections") + shown("refused") == last and
                   not shown("connected"), what="all of them are seen")

    def shown(key):
        return glend.rpc("port.show", port="sw0:s")[key]

    n = scaled(10000, least=300)
    visit(0, n // 10)
    before = (len(os.listdir(f"/proc/{glend.pid}/fd")), resident_kb(glend.pid))
    visit(n // 10, n)
    after = (len(os.listdir(f"/proc/{glend.pid}/fd")), resident_kb(glend.pid))
    assert after[0] == before[0]
    # A sanitizer keeps freed memory for a while.
    assert after[1] < before[1] + (1 << 20 if os.environ.get("SANITIZED") else 1024)
    glend.check_identity()


needs_passt = pytest.mark.skipif(
    bool(glen.why_no_root() or glen.why_missing("passt", "setpriv")),
    reason=str(glen.why_no_root() or glen.why_missing("passt", "setpriv")))
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


class Passt:
    """passt in a namespace that has an address and a default route."""

    def __init__(self, ns, path, prefix=(), options=("--runas", "0")):
        ns.run("ip link set lo up")
        ns.run("ip tuntap add up0 mode tap")
        ns.run("ip addr add 192.0.2.1/24 dev up0")
        ns.run("ip link set up0 up")
        ns.run("ip route add default via 192.0.2.254")
        self.ns = ns
        self.path = path
        self.prefix = prefix
        self.options = options
        self.log = path + ".log"
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = self.ns.popen(
                [*self.prefix, "passt", "--foreground", "--stderr",
                 *self.options, "--socket", self.path, "--address",
                 "10.0.2.15", "--netmask", "24", "--gateway", UPLINK],
                stdout=log, stderr=log)
        wait_until(lambda: os.path.exists(self.path) or
                   self.process.poll() is not None, what="passt's socket")
        if self.process.poll() is not None:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                pytest.fail("passt ended:\n" + log.read())

    def kill(self):
        self.process.kill()
        self.process.wait()
        os.unlink(self.path)


def transfer(guest, host, port):
    """A TCP connection from the guest to the host; data both ways."""
    data = os.urandom(1 << 20)
    with host.call(lambda: socket.create_server(("127.0.0.1", port))) as srv:
        out = guest.call(
            lambda: socket.create_connection((UPLINK, port), 30))
        srv.settimeout(30)
        into, _ = srv.accept()
    with out, into:
        for one, other in ((out, into), (into, out)):
            one.settimeout(30)
            other.settimeout(30)
            child = os.fork()
            if child == 0:
                one.sendall(data)
                os._exit(0)
            got = hashlib.sha256()
            left = len(data)
            while left:
                part = other.recv(left)
                assert part, "the connection ended early"
                got.update(part)
                left -= len(part)
            assert os.waitpid(child, 0)[1] == 0
            assert got.digest() == hashlib.sha256(data).digest()


@needs_passt
def test_an_uplink_through_passt(glend, netns, tmp_path):
    host, guest = netns(), netns().no_ipv6()
    passt = Passt(host, str(tmp_path / "passt"))
    passt.start()
    glend.rpc("port.add", port="sw0:uplink", driver="stream", mode="client",
              path=passt.path)
    glend.rpc("port.add", port="sw0:guest", driver="tap", netns=guest.name,
              ifname="eth0", address="10.0.2.15/24")
    guest.run(f"ip route add default via {UPLINK}")
    wait_until(lambda: glend.rpc("port.show", port="sw0:uplink")["connected"],
               what="passt is reached")
    transfer(guest, host, 8080)
    passt.kill()
    wait_until(lambda: not glend.rpc("port.show", port="sw0:uplink")["link"],
               what="passt is missed")
    passt.start()
    wait_until(lambda: glend.rpc("port.show", port="sw0:uplink")["connected"],
               what="passt is reached again")
    transfer(guest, host, 8081)
    glend.check_identity()


class Guest:
    """One end of a stream, by hand."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.settimeout(30)

    def send(self, packet):
        frame = raw(packet)
        self.sock.sendall(struct.pack(">I", len(frame)) + frame)

    def take(self, n):
        data = b""
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            assert part, "the stream ended"
            data += part
        return data

    def recv(self, layer):
        """The next frame that has this layer."""
        while True:
            frame = Ether(self.take(struct.unpack(">I", self.take(4))[0]))
            if layer in frame:
                return frame


def link_up(glend, port):
    wait_until(lambda: glend.rpc("port.show", port=port)["link"],
               what=f"{port} is up")


@needs_passt
def test_an_uplink_without_root(netns):
    """glend and passt as nobody; the guest gets its address by DHCP."""
    mac = "52:54:00:00:00:01"
    with Glend(prefix=NOBODY, start=False) as glend:
        os.chown(glend.dir, 65534, 65534)
        glend.start()
        path, far = (os.path.join(glend.dir, x) for x in ("guest", "passt"))
        Passt(netns(), far, NOBODY, ()).start()
        glend.rpc("port.add", port="sw0:guest", driver="stream", path=path)
        glend.rpc("port.add", port="sw0:uplink", driver="stream",
                  mode="client", path=far)
        guest = Guest(path)
        link_up(glend, "sw0:guest")
        link_up(glend, "sw0:uplink")
        guest.send(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") /
                   IP(src="0.0.0.0", dst="255.255.255.255") /
                   UDP(sport=68, dport=67) /
                   BOOTP(chaddr=bytes.fromhex(mac.replace(":", "")), xid=7) /
                   DHCP(options=[("message-type", "discover"), "end"]))
        offer = guest.recv(DHCP)
        assert offer.dst == mac and offer[BOOTP].xid == 7
        assert offer[BOOTP].yiaddr == "10.0.2.15"
        assert ("router", UPLINK) in offer[DHCP].options
        guest.sock.close()
        glend.check_identity()
