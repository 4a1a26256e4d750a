# SPDX-License-Identifier: BSD-2-Clause
# test_host.py - an interface and the host's side of it on one switch.
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from scapy.all import ICMP, IP, Dot1AD, Dot1Q, Ether, raw

import glen
from glen import Glend, RpcError, wait_until
from gso import NOBODY, big_packet, check_segments
from cable import (FAR4, FAR6, HOST4, HOST6, Cable, add_tap, counters, iperf,
                   leftovers, mac_of, ping, ping_anew)

pytestmark = pytest.mark.skipif(bool(glen.why_no_root()),
                                reason=str(glen.why_no_root()))
TOOLS = glen.why_missing("iperf3", "ss", "tc", "ethtool")
DRIVERS = ["packet", "xdp"]


@pytest.fixture(params=DRIVERS)
def driver(request):
    return request.param


def add_pair(glend, cable, driver="packet", **options):
    return glend.rpc("port.add", port="sw0:eth0", driver=driver, host=True,
                     netns=cable.host.name, **options)


def ports(glend):
    return {p["port"]: p for p in glend.rpc("port.list")}


# Traffic

def test_ping_all_ways(glend, netns, driver):
    with Cable(quiet=False) as cable:
        ping(cable.far, HOST4)      # neighbours that stay
        wait_until(lambda: "tentative" not in cable.host.run("ip -6 addr"),
                   what="duplicate address detection")
        addresses = cable.host.run("ip addr show eth0")
        routes = cable.host.run("ip route")
        neighbour = cable.host.run(f"ip neigh show {FAR4}").split()[4]
        add_pair(glend, cable, driver)
        t = add_tap(glend, netns, quiet=False,
                    address="10.9.0.3/24,fd09::3/64")
        wait_until(lambda: "tentative" not in t.run("ip -6 addr"),
                   what="duplicate address detection")
        for ns, others in ((cable.host, (FAR4, FAR6, "10.9.0.3", "fd09::3")),
                           (cable.far, (HOST4, HOST6, "10.9.0.3", "fd09::3")),
                           (t, (HOST4, HOST6, FAR4, FAR6))):
            for address in others:
                ping(ns, address)
        now = cable.host.run("ip addr show eth0")
        assert re.sub(r"PROMISC,|xdp/id:\d+ ", "", now) == addresses
        assert cable.host.run("ip route") == routes
        assert neighbour in cable.host.run(f"ip neigh show {FAR4}")
        glend.check_identity()


def test_counters(glend, cable, netns, driver):
    """The interface counts its wire, each packet once; the helper counts the
    host."""
    add_pair(glend, cable, driver)
    t = add_tap(glend, netns, address="10.9.0.3/24")
    for ns, address in ((cable.host, FAR4), (cable.host, "10.9.0.3"),
                        (t, FAR4)):
        ping(ns, address)           # who is where is learned now
    helper = glend.rpc("port.show", port="sw0:eth0^")["helper"]

    def delta(ns, address, *args):
        glend.check_identity()
        names = ((cable.host, "eth0"), (cable.host, helper),
                 (cable.far, "far"))
        before = [counters(*name) for name in names]
        ping(ns, address, "-q", *args, count=40)
        glend.check_identity()
        after = [counters(*name) for name in names]
        # ARP asks again now and then.
        return [tuple((y - x) // 40 for x, y in zip(b, a))
                for b, a in zip(before, after)]

    #                                     eth0    helper  far
    assert delta(cable.host, FAR4) == [(1, 1), (1, 1), (1, 1)]
    assert delta(cable.far, HOST4) == [(1, 1), (1, 1), (1, 1)]
    assert delta(cable.host, "10.9.0.3") == [(0, 0), (1, 1), (0, 0)]
    assert delta(t, FAR4) == [(1, 1), (0, 0), (1, 1)]


@pytest.mark.parametrize("tags", [
    Dot1Q(vlan=5, prio=3), Dot1AD(vlan=7) / Dot1Q(vlan=8)], ids=["q", "ad-q"])
def test_vlan_tags_pass(glend, cable, netns, driver, tags):
    """What a VLAN interface of the host would send and receive."""
    add_pair(glend, cable, driver)
    t = add_tap(glend, netns)
    there = raw(Ether(src=cable.host_mac, dst=NOBODY) / tags / ("x" * 60))
    back = raw(Ether(src=cable.far_mac, dst=cable.host_mac) / tags /
               ("y" * 60))
    local = raw(Ether(src=mac_of(t, "t"), dst=cable.host_mac) / tags /
                ("z" * 60))
    with cable.host.wire("eth0") as a, cable.far.wire("far") as b, \
            t.wire("t") as c:
        a.send(there)
        for other in (b, c):
            assert other.recv_n(1, want=lambda f: f == there) == [there]
        b.send(back)
        # Twice: as it arrives, and as the host gets it from the switch.
        want = 2 if driver == "packet" else 1
        assert a.recv_n(want, want=lambda f: f == back) == [back] * want
        c.send(local)
        assert a.recv_n(1, want=lambda f: f == local) == [local]
    glend.check_identity()


def test_only_the_switch_decides(glend, cable, netns, driver):
    """Packets that the switch has no use for do not reach the host."""
    add_pair(glend, cable, driver)
    ping(cable.far, HOST4)
    glend.rpc("port.set", port="sw0:eth0", isolated=True)
    glend.rpc("port.set", port="sw0:eth0^", isolated=True)
    text = cable.far.run(f"ping -c 3 -i 0.1 -W 1 {HOST4}", check=False)
    assert "100% packet loss" in text
    text = cable.host.run(f"ping -c 3 -i 0.1 -W 1 {FAR4}", check=False)
    assert "100% packet loss" in text
    for port in ("sw0:eth0", "sw0:eth0^"):
        assert glend.drops(port)["in"]["in_isolated"] > 0


def test_the_helper_says_nothing(glend, driver):
    """No address, no packet of its own: all that comes in is eth0's."""
    with Cable(quiet=False) as cable:
        add_pair(glend, cable, driver)
        helper = glend.rpc("port.show", port="sw0:eth0^")["helper"]
        mac = mac_of(cable.host, helper)
        with cable.far.wire("far") as into:
            got = into.recv_n(1, 3, want=lambda f: f[6:12] == bytes.fromhex(
                mac.replace(":", "")))
        assert got == []
        assert "inet" not in cable.host.run(f"ip addr show {helper}")


@pytest.mark.skipif(bool(TOOLS), reason=str(TOOLS))
class TestTcp:
    @pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
    @pytest.mark.parametrize("args", [[], ["-R"]], ids=["out", "in"])
    def test_large_segments(self, glend, netns, driver, six, args):
        with Cable(quiet=False) as cable:
            add_pair(glend, cable, driver)
            report = iperf(cable.far, cable.host, FAR6 if six else FAR4,
                           *args)
            assert report["end"]["sum_received"]["bytes"] > 1 << 20
            stats = {p["port"]: p for p in glend.check_identity()["ports"]}
            way = stats["sw0:eth0^"]["out" if args else "in"]
            # Native XDP makes the wire's other end cut what it sends.
            whole = driver == "packet" or not args
            assert (way["bytes"] / way["packets"] > 3000) == whole
            bad = cable.host.run("nstat -az TcpInCsumErrors")
            assert re.search(r"TcpInCsumErrors\s+0\s", bad), bad

    def test_to_another_port(self, glend, cable, netns, driver):
        add_pair(glend, cable, driver)
        t = add_tap(glend, netns, address="10.9.0.3/24")
        for args in ([], ["-R"]):
            report = iperf(t, cable.host, "10.9.0.3", *args)
            assert report["end"]["sum_received"]["bytes"] > 1 << 20
        for port in glend.check_identity()["ports"]:
            assert not port["in"]["drops"].get("in_bad_offload")
            assert not port["out"]["drops"].get("out_bad_offload")

    def test_wire_without_offloads(self, glend, cable, driver):
        """The host's checksums and segments are finished before the wire."""
        for ns, name in ((cable.host, "eth0"), (cable.far, "far")):
            ns.run(f"ethtool -K {name} tx off tso off gso off gro off")
        add_pair(glend, cable, driver)
        for args in ([], ["-R"]):
            report = iperf(cable.far, cable.host, FAR4, *args)
            assert report["end"]["sum_received"]["bytes"] > 1 << 20
        for ns in (cable.far, cable.host):
            bad = ns.run("nstat -az TcpInCsumErrors")
            assert re.search(r"TcpInCsumErrors\s+0\s", bad), bad

    def test_queues(self, netns, driver):
        with Glend(workers=2) as glend, Cable(queues=4) as cable:
            add_pair(glend, cable, driver, queues=4)
            shown = glend.rpc("port.show", port="sw0:eth0^")
            assert (shown["in_rings"], shown["out_rings"]) == (4, 4)
            report = iperf(cable.far, cable.host, FAR4, "-P", "8")
            assert report["end"]["sum_received"]["bytes"] > 1 << 20
            glend.check_identity()


@pytest.mark.parametrize("kind", ["tcp4", "tcp6"])
def test_segments_of_the_host(glend, cable, driver, kind):
    """The host's TCP segments come whole to the switch and are cut for the
    wire, with right checksums."""
    if TOOLS:
        pytest.skip(TOOLS)
    add_pair(glend, cable, driver)
    cable.host.run("ethtool -K eth0 tx off tso off gso off")
    payload = os.urandom(4321)
    hdr, big = big_packet(cable.host_mac, kind, payload)
    with cable.host.wire("eth0", vnet=True) as out, \
            cable.far.wire("far") as into:
        out.send(big, hdr)
        got = into.recv_n(5, want=lambda f: f[:6] == big[:6])
    check_segments([Ether(f) for f in got], kind, payload, None)
    longest = glend.port_stats("sw0:eth0^")["in"]
    assert longest["packets"] == 1 and longest["bytes"] == len(big)


@pytest.mark.skipif(bool(TOOLS), reason=str(TOOLS))
def test_generic_xdp(glend, netns):
    """The program lets pass what the host gets from the switch, and what is
    not for the host's MAC is not for the host."""
    with Cable(quiet=False) as cable:
        cable.far.run("ethtool -K far tso off gso off")
        shown = add_pair(glend, cable, "xdp", mode="generic")
        assert (shown["mode"], shown["host"]) == ("generic", True)
        t = add_tap(glend, netns, address="10.9.0.3/24")
        for ns, others in ((cable.host, (FAR4, FAR6, "10.9.0.3")),
                           (cable.far, (HOST4, HOST6)), (t, (HOST4, FAR4))):
            for address in others:
                ping(ns, address)
        before = glend.port_stats("sw0:eth0")["in"]["packets"]
        ping(cable.far, HOST4, count=40)
        came = glend.port_stats("sw0:eth0")["in"]["packets"] - before
        assert 40 <= came < 60, came
        for args in ([], ["-R"]):
            report = iperf(cable.far, cable.host, FAR4, *args)
            assert report["end"]["sum_received"]["bytes"] > 1 << 20
        for ns in (cable.far, cable.host):
            bad = ns.run("nstat -az TcpInCsumErrors")
            assert re.search(r"TcpInCsumErrors\s+0\s", bad), bad
        asks = IP(src="10.9.0.3", dst=HOST4) / ICMP() / b"whose?"
        with t.wire("t") as out:
            for mac, answers in ((cable.host_mac, 1), (NOBODY, 0)):
                out.send(raw(Ether(src=mac_of(t, "t"), dst=mac) / asks))
                got = out.recv_n(1, 1, want=lambda f: b"whose?" in f and
                                 f[34:35] == b"\0")
                assert len(got) == answers
        glend.check_identity()
        glend.kill9()
        wait_until(lambda: not leftovers(cable.host), what="undone")
        ping_anew(cable.far, HOST4)


# Life

def test_both_come_and_go_together(glend, cable, netns, driver):
    for name in ("sw0:eth0", "sw0:eth0^"):
        add_pair(glend, cable, driver)
        shown = ports(glend)
        assert shown["sw0:eth0^"]["driver"] == "host"
        assert shown["sw0:eth0"]["configured"]
        assert list(glend.rpc("config.get")["switches"]["sw0"]["ports"]) == [
            "eth0"]
        ping(cable.far, HOST4)
        glend.rpc("port.del", port=name)
        assert not ports(glend)
        assert not leftovers(cable.host)
        ping(cable.far, HOST4)
    assert glend.rpc("config.get")["switches"] == {}


def test_topology(glend, cable, driver):
    add_pair(glend, cable, driver)
    config = glend.rpc("config.get")
    glend.rpc("config.apply", config=config)
    assert glend.rpc("config.apply", config=config)["changes"] == []
    glend.rpc("config.apply", config={"switches": {}})
    assert not ports(glend) and not leftovers(cable.host)
    ping(cable.far, HOST4)
    glend.rpc("config.apply", config=config)
    assert sorted(ports(glend)) == ["sw0:eth0", "sw0:eth0^"]
    ping(cable.far, HOST4)


@pytest.mark.parametrize("env", [{}, {"GLEN_NO_TCX": "1"}],
                         ids=["tcx", "tc"])
def test_sigkill_leaves_nothing(cable, driver, env):
    with Glend(env=env) as glend:
        for _ in range(5):
            add_pair(glend, cable, driver)
            ping(cable.far, HOST4)
            assert leftovers(cable.host)
            glend.kill9()
            wait_until(lambda: not leftovers(cable.host), what="undone")
            ping_anew(cable.far, HOST4)
            ping_anew(cable.host, FAR4)
            glend.start()
            wait_until(lambda: len(ports(glend)) == 2, what="restored")
            ping_anew(cable.far, HOST4)
            glend.rpc("port.del", port="sw0:eth0")
            assert not leftovers(cable.host)


def test_frozen_guards_hold_up_the_next_glend(cable, driver):
    """What is still to be undone must not be taken for how things were."""
    with Glend(env={"GLEN_NO_TCX": "1"}) as glend:
        add_pair(glend, cable, driver)
        guards = glend.rpc("status")["guards"]
        for pid in guards:
            os.kill(pid, signal.SIGSTOP)
        glend.kill9()
        seen = []

        def go_on():
            time.sleep(0.3)
            with contextlib.suppress(OSError):
                glend.connect().close()
                seen.append("a glend that listens")
            seen.extend(leftovers(cable.host))
            for pid in guards:
                os.kill(pid, signal.SIGCONT)

        helper = threading.Thread(target=go_on)
        helper.start()
        glend.start()
        helper.join()
        assert len(seen) > 1 and "a glend that listens" not in seen
        assert len(ports(glend)) == 2
        ping_anew(cable.far, HOST4)
        glend.rpc("port.del", port="sw0:eth0")
        assert not leftovers(cable.host)


@pytest.mark.parametrize("how", ["interface", "helper", "netns"])
def test_deleted_under_traffic(glend, cable, netns, driver, how):
    add_pair(glend, cable, driver)
    add_tap(glend, netns, address="10.9.0.3/24")
    helper = glend.rpc("port.show", port="sw0:eth0^")["helper"]
    flood = cable.far.popen(["ping", "-f", "-q", HOST4],
                            stdout=subprocess.DEVNULL)
    wait_until(lambda: glend.port_stats("sw0:eth0")["in"]["packets"] > 100,
               what="traffic")
    if how == "netns":
        subprocess.run(["ip", "netns", "del", cable.host.name], check=True)
    else:
        name = helper if how == "helper" else "eth0"
        cable.host.run(f"ip link del {name}")
    wait_until(lambda: list(ports(glend)) == ["sw0:t"], what="both are gone")
    flood.kill()
    glend.check_identity()
    if how == "helper":
        ping_anew(cable.far, HOST4)
        assert not leftovers(cable.host)


def test_refusals(glend, cable, driver):
    for name, options, text in (
            ("sw0:x^", {"driver": "tap"}, "ends with"),
            ("sw0:h^", {"driver": "host"}, "needs ifname"),
            ("sw0:h^", {"driver": "host", "ifname": "lo"}, "Ethernet"),
            ("sw0:" + "x" * 31, {"driver": driver, "host": True,
                                 "ifname": "eth0"}, "too long")):
        with pytest.raises(RpcError, match=text):
            glend.rpc("port.add", port=name, netns=cable.host.name, **options)
        assert not leftovers(cable.host) and not ports(glend)
    add_pair(glend, cable, driver)
    with pytest.raises(RpcError, match="host side of eth0"):
        glend.rpc("port.add", port="sw1:h", driver="host", ifname="eth0",
                  netns=cable.host.name)
    with pytest.raises(RpcError):
        glend.rpc("port.set", port="sw0:eth0", host=False)
    ping(cable.far, HOST4)


class Transfer:
    """
    A TCP transfer from the host to the far side that goes on until stop():
    a counted pattern, each byte of which the receiver checks.
    """

    RECEIVER = """
import socket, sys
s = socket.create_server(("0.0.0.0", 5999))
print("ready", flush=True)
c = s.accept()[0]
pattern = bytes(i * 7 % 251 for i in range(251)) * 1000
at = total = 0
while True:
    data = c.recv(1 << 16)
    if not data:
        break
    assert pattern[at:at + len(data)] == data, "spoiled at %d" % total
    total += len(data)
    at = total % 251
    c.send(total.to_bytes(8, "big"))
print("total", total, flush=True)
"""

    def __init__(self, sender, receiver, address):
        self.receiver = receiver.popen([sys.executable, "-c", self.RECEIVER],
                                       stdout=subprocess.PIPE, text=True)
        assert self.receiver.stdout.readline() == "ready\n"
        self.sock = sender.call(
            lambda: socket.create_connection((address, 5999), 10))
        self.sock.settimeout(60)
        self.sent = self.acked = 0
        self.gap = 0.0              # the longest time without progress
        self.resent = 0             # segments
        self.ending = False
        self.threads = [threading.Thread(target=f)
                        for f in (self.send, self.read)]
        for thread in self.threads:
            thread.start()

    def send(self):
        pattern = bytes(i * 7 % 251 for i in range(251)) * 1000
        while not self.ending:
            at = self.sent % 251
            self.sent += self.sock.send(pattern[at:at + 20000])
        self.sock.shutdown(socket.SHUT_WR)

    def read(self):
        last = time.monotonic()
        data = b""
        while True:
            got = self.sock.recv(1 << 16)
            now = time.monotonic()
            self.gap, last = max(self.gap, now - last), now
            if not got:
                break
            data += got
            whole = len(data) // 8 * 8
            if whole:
                self.acked = int.from_bytes(data[whole - 8:whole], "big")
                data = data[whole:]

    def wait_progress(self, n_bytes=200000):
        goal = self.acked + n_bytes
        wait_until(lambda: self.acked >= goal, 30, "the transfer goes on")

    def stop(self):
        self.ending = True
        for thread in self.threads:
            thread.join(60)
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        self.resent = int.from_bytes(info[100:104], sys.byteorder)
        self.sock.close()
        line = self.receiver.communicate(timeout=60)[0]
        assert line == f"total {self.sent}\n", line


@pytest.mark.parametrize("env", [{}, {"GLEN_NO_TCX": "1"}],
                         ids=["tcx", "tc"])
def test_attached_100_times_under_tcp(cable, driver, scaled, env):
    """Connections, both ways, of a host whose interface comes and goes."""
    with Glend(env=env) as glend, contextlib.ExitStack() as ends:
        transfers = [Transfer(cable.host, cable.far, FAR4),
                     Transfer(cable.far, cable.host, HOST4)]
        for transfer in transfers:
            ends.callback(transfer.stop)

        def both_go_on():
            for transfer in transfers:
                transfer.wait_progress()

        def is_used():
            stats = glend.port_stats("sw0:eth0^")
            return stats["in"]["packets"] and stats["out"]["packets"]

        for _ in range(scaled(100 if not env else 20, 3)):
            assert glend.rpc("status")["ports"] == 0
            add_pair(glend, cable, driver)
            both_go_on()
            wait_until(is_used, what="packets by the switch")
            glend.rpc("port.del", port="sw0:eth0")
            both_go_on()
        ends.close()
        for transfer in transfers:
            print(f"longest time without progress: "
                  f"{transfer.gap * 1000:.0f} ms, {transfer.sent} bytes, "
                  f"{transfer.resent} segments resent")
        assert not leftovers(cable.host)
