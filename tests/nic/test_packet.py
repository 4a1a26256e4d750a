# SPDX-License-Identifier: BSD-2-Clause
# test_packet.py - ports that are interfaces of the host, by AF_PACKET.
import os
import re
import signal
import subprocess
import sys

import pytest
from scapy.all import Dot1AD, Dot1Q, Ether, IP, UDP, Raw, raw, rdpcap

import glen
from glen import Glend, RpcError, wait_until
from gso import NOBODY, big_packet, check_segments, checksums_hold
from cable import (FAR4, FAR6, Cable, add_tap, counters, iperf, leftovers,
                   mac_of, ping, ping_anew)

pytestmark = pytest.mark.skipif(bool(glen.why_no_root()),
                                reason=str(glen.why_no_root()))
TOOLS = glen.why_missing("iperf3", "ss", "tc", "ethtool")


def add_nic(glend, cable, **options):
    return glend.rpc("port.add", port="sw0:eth0", driver="packet",
                     netns=cable.host.name, **options)


def frame(src, dst=NOBODY):
    return raw(Ether(src=src, dst=dst, type=0x88b5))


# Plain traffic

def test_ping(glend, netns):
    with Cable(quiet=False) as cable:
        add_nic(glend, cable)
        t = add_tap(glend, netns, quiet=False,
                    address="10.9.0.3/24,fd09::3/64")
        wait_until(lambda: "tentative" not in t.run("ip -6 addr"),
                   what="duplicate address detection")
        ping(t, FAR4)
        ping(cable.far, "10.9.0.3", "-s", "1400")
        ping(t, FAR6)
        ping(cable.far, "fd09::3")
        glend.check_identity()


@pytest.mark.parametrize("size", [14, 59, 60, 64, 65, 128, 1514])
def test_sizes_pass_unchanged(glend, cable, netns, size):
    add_nic(glend, cable)
    t = add_tap(glend, netns)
    there = (frame(mac_of(t, "t")) + os.urandom(1500))[:size]
    back = (frame(cable.far_mac) + os.urandom(1500))[:size]
    with t.wire("t") as a, cable.far.wire("far") as b:
        a.send(there)
        assert b.recv_n(1, want=lambda f: f == there) == [there]
        b.send(back)
        assert a.recv_n(1, want=lambda f: f == back) == [back]
    glend.check_identity()


@pytest.mark.parametrize("tags", [
    Dot1Q(vlan=5, prio=3), Dot1Q(vlan=4095, id=1),
    Dot1AD(vlan=7) / Dot1Q(vlan=8)], ids=["q", "dei", "ad-q"])
def test_vlan_tags_pass(glend, cable, netns, tags):
    add_nic(glend, cable)
    t = add_tap(glend, netns)
    rest = (IP(src="1.2.3.4", dst="5.6.7.8") / UDP(sport=1, dport=2) /
            Raw(bytes(range(64))))
    there = raw(Ether(src=mac_of(t, "t"), dst=NOBODY) / tags / rest)
    back = raw(Ether(src=cable.far_mac, dst=NOBODY) / tags / rest)
    with t.wire("t") as a, cable.far.wire("far") as b:
        a.send(there)
        assert b.recv_n(1, want=lambda f: f == there) == [there]
        b.send(back)
        assert a.recv_n(1, want=lambda f: f == back) == [back]
    glend.check_identity()


@pytest.mark.parametrize("mtu", [9000, 65000])
def test_jumbo(glend, netns, mtu):
    """The first fit a slot of the kernel's ring, the second do not."""
    with Cable(mtu=mtu) as cable:
        add_nic(glend, cable)
        t = add_tap(glend, netns, mtu=mtu, address="10.9.0.3/24")
        ping(t, FAR4, "-M", "do", "-s", str(mtu - 28))
        ping(cable.far, "10.9.0.3", "-M", "do", "-s", str(mtu - 28))
        glend.check_identity()


def test_longer_than_the_interface_takes(glend, cable, netns):
    add_nic(glend, cable)
    t = add_tap(glend, netns, mtu=9000)
    with t.wire("t") as out, cable.far.wire("far") as into:
        out.send(frame(mac_of(t, "t")) + bytes(1501 + 4))
        out.send(frame(mac_of(t, "t")) + bytes(1500))
        assert [len(f) for f in into.recv_n(1)] == [1514]
    assert glend.drops("sw0:eth0")["out"] == {"out_oversize": 1}
    glend.check_identity()


# Offloads

@pytest.mark.parametrize("tags", [None, Dot1Q(vlan=9)], ids=["plain", "vlan"])
@pytest.mark.parametrize("kind", ["tcp4", "tcp6", "udp"])
class TestSegments:
    def to_the_wire(self, glend, cable, netns, kind, tags):
        offloads = add_nic(glend, cable)["offloads"]
        if kind == "udp" and "uso" not in offloads:
            pytest.skip("this kernel has no UDP segmentation there")
        t = add_tap(glend, netns)
        payload = os.urandom(4321)
        hdr, big = big_packet(mac_of(t, "t"), kind, payload, tags)
        return t, payload, hdr, big

    def test_pass_whole(self, glend, cable, netns, kind, tags):
        t, payload, hdr, big = self.to_the_wire(glend, cable, netns, kind,
                                                tags)
        with t.wire("t", vnet=True) as out, \
                cable.far.wire("far", vnet=True) as into:
            out.send(big, hdr)
            got = into.recv_n(1, want=lambda x: len(x[1]) == len(big))
        assert len(got) == 1 and got[0][1] == big
        assert got[0][0][1] == hdr[1] and got[0][0][4:6] == hdr[4:6]
        glend.check_identity()

    def test_cut_by_the_kernel(self, glend, cable, netns, kind, tags):
        """The interface can do nothing by itself: real bytes on the wire."""
        if TOOLS:
            pytest.skip(TOOLS)
        cable.host.run("ethtool -K eth0 tx off tso off gso off "
                       "tx-udp-segmentation off txvlan off")
        t, payload, hdr, big = self.to_the_wire(glend, cable, netns, kind,
                                                tags)
        with t.wire("t", vnet=True) as out, \
                cable.far.wire("far") as into:
            out.send(big, hdr)
            got = into.recv_n(5, want=lambda f: f[:6] == big[:6])
        check_segments([Ether(f) for f in got], kind, payload, tags)
        glend.check_identity()

    def test_from_the_wire(self, glend, cable, netns, tmp_path, kind, tags):
        """One big packet, to a port that takes it whole and one that does
        not."""
        add_nic(glend, cable)
        t = add_tap(glend, netns)
        path = tmp_path / "out.pcap"
        glend.rpc("port.add", port="sw0:file", driver="pcap", write=str(path))
        payload = os.urandom(4321)
        hdr, big = big_packet(cable.far_mac, kind, payload, tags)
        with cable.far.wire("far", vnet=True) as out, \
                t.wire("t", vnet=True) as into:
            out.send(big, hdr)
            got = into.recv_n(1, want=lambda x: len(x[1]) == len(big))
        assert len(got) == 1 and got[0][1] == big
        glend.check_identity()
        glend.rpc("port.del", port="sw0:file")
        check_segments([p for p in rdpcap(str(path)) if p.dst == NOBODY],
                       kind, payload, tags)


@pytest.mark.skipif(bool(TOOLS), reason=str(TOOLS))
class TestTcp:
    @pytest.mark.parametrize("args", [[], ["-R"], ["-R", "-P", "4"]],
                             ids=["out", "in", "in-4"])
    def test_large_segments(self, glend, cable, netns, args):
        add_nic(glend, cable)
        t = add_tap(glend, netns, address="10.9.0.3/24")
        report = iperf(cable.far, t, FAR4, *args)
        assert report["end"]["sum_received"]["bytes"] > 1 << 20
        stats = {p["port"]: p for p in glend.check_identity()["ports"]}
        way = stats["sw0:eth0"]["in" if args else "out"]
        assert way["bytes"] / way["packets"] > 3000
        assert stats["sw0:eth0"]["out"]["segments"] == 0

    def test_wire_without_offloads(self, glend, cable, netns):
        """Checksums that the far side really verifies, both ways."""
        for ns, name in ((cable.host, "eth0"), (cable.far, "far")):
            ns.run(f"ethtool -K {name} tx off tso off gso off gro off")
        add_nic(glend, cable)
        t = add_tap(glend, netns, address="10.9.0.3/24")
        for args in ([], ["-R"]):
            report = iperf(cable.far, t, FAR4, *args)
            assert report["end"]["sum_received"]["bytes"] > 1 << 20
        for ns in (cable.far, t):
            bad = ns.run("nstat -az TcpInCsumErrors IpInHdrErrors")
            assert re.search(r"TcpInCsumErrors\s+0\s", bad), bad
        glend.check_identity()

    def test_without_the_qdisc(self, glend, cable, netns):
        shown = add_nic(glend, cable, qdisc=False)
        assert shown["offloads"] == []
        cable.host.run("ethtool -K eth0 tx off tso off gso off")
        t = add_tap(glend, netns, address="10.9.0.3/24")
        report = iperf(cable.far, t, FAR4)
        assert report["end"]["sum_received"]["bytes"] > 1 << 20
        assert glend.port_stats("sw0:eth0")["out"]["segments"] > 100
        glend.check_identity()

    @pytest.mark.parametrize("workers", [1, 2])
    def test_queues(self, netns, workers):
        with Glend(workers=workers) as glend, Cable() as cable:
            shown = add_nic(glend, cable, queues=4)
            assert (shown["in_rings"], shown["out_rings"]) == (4, 4)
            t = add_tap(glend, netns, address="10.9.0.3/24")
            report = iperf(cable.far, t, FAR4, "-P", "16", "-R")
            assert report["end"]["sum_received"]["bytes"] > 1 << 20
            rings = glend.rpc("stats", port="sw0:eth0", rings=True)[
                "ports"][0]["rings"]
            used = [r for r in rings if r["in"]["packets"]]
            assert len(used) > 1, rings
            ping(t, FAR4)
            glend.check_identity()


def test_queues_neither_repeat_nor_reorder(netns, scaled):
    """Numbered packets of many flows through a group of four sockets."""
    flows, each = 16, scaled(40)
    with Glend(workers=2) as glend, Cable() as cable:
        add_nic(glend, cable, queues=4)
        t = add_tap(glend, netns)
        with cable.far.wire("far") as out, t.wire("t") as into:
            for n in range(each):
                for flow in range(flows):
                    out.send(raw(Ether(src=cable.far_mac, dst=NOBODY) /
                                 IP(src="10.0.0.1", dst="10.0.0.2") /
                                 UDP(sport=flow, dport=9) /
                                 Raw(n.to_bytes(4, "big"))))
            got = into.recv_n(flows * each, 20,
                              want=lambda f: len(f) == 46)
            assert into.recv_n(1, 0.2, want=lambda f: len(f) == 46) == []
        seen = {flow: [] for flow in range(flows)}
        for f in got:
            seen[f[35]].append(int.from_bytes(f[42:46], "big"))
        assert all(seen[f] == list(range(each)) for f in seen), seen
        glend.check_identity()


# The host's stack

def test_exclusive(glend, cable, netns):
    """Nothing that arrives is the host's any more, until the port goes."""
    ping(cable.far, "10.9.0.1")
    shown = add_nic(glend, cable)
    assert shown["exclusive"] and shown["promisc"]
    assert cable.host.links()["eth0"]["promiscuity"] == 1
    t = add_tap(glend, netns, address="10.9.0.3/24")
    text = cable.far.run("ping -c 3 -i 0.1 -W 1 10.9.0.1", check=False)
    assert "100% packet loss" in text
    ping(t, FAR4)
    glend.rpc("port.del", port="sw0:eth0")
    ping_anew(cable.far, "10.9.0.1")
    assert not leftovers(cable.host)


def test_not_exclusive(glend, cable, netns):
    """Host and switch both receive; neither receives what it sent."""
    add_nic(glend, cable, exclusive=False, promisc=False)
    assert not cable.host.links()["eth0"]["promiscuity"]
    t = add_tap(glend, netns, address="10.9.0.3/24")
    ping(cable.far, "10.9.0.1")
    ping(t, FAR4)
    before = glend.port_stats("sw0:eth0")["in"]["packets"]
    with cable.host.wire("eth0") as own, t.wire("t") as into:
        own.send(frame(cable.host_mac))
        ping(cable.far, "10.9.0.1", count=1)
        assert into.recv_n(1, 0.3, want=lambda f: f[12:14] == b"\x88\xb5") \
            == []
    assert glend.port_stats("sw0:eth0")["in"]["packets"] > before


@pytest.mark.parametrize("env", [{}, {"GLEN_NO_TCX": "1"}],
                         ids=["tcx", "tc"])
def test_sigkill_leaves_nothing(cable, netns, env):
    with Glend(env=env) as glend:
        add_nic(glend, cable)
        text = cable.far.run("ping -c 1 -W 1 10.9.0.1", check=False)
        assert "100% packet loss" in text
        guards = glend.rpc("status")["guards"]
        glend.kill9()
        wait_until(lambda: not leftovers(cable.host), what="undone")
        ping_anew(cable.far, "10.9.0.1")
        wait_until(lambda: not any(os.path.exists(f"/proc/{p}")
                                   for p in guards), what="guards end")


def test_restart_goes_on(cable, netns):
    """The next glend takes the interface again, and undoes it at its end."""
    with Glend(env={"GLEN_NO_TCX": "1"}) as glend:
        add_nic(glend, cable)
        t = add_tap(glend, netns, address="10.9.0.3/24")
        for _ in range(3):
            glend.restart()
            t.run("ip addr replace 10.9.0.3/24 dev t")
            ping(t, FAR4)
            assert "glen" in cable.host.run("tc filter show dev eth0 ingress")
        glend.rpc("port.del", port="sw0:eth0")
        assert not leftovers(cable.host)
        ping_anew(cable.far, "10.9.0.1")


def test_filters_of_others_stay(cable, netns):
    """A clsact qdisc with a filter of somebody else's is left alone."""
    if TOOLS:
        pytest.skip(TOOLS)
    with Glend(env={"GLEN_NO_TCX": "1"}) as glend:
        for they_first in (True, False):
            if they_first:
                cable.host.run("tc qdisc add dev eth0 clsact")
            else:
                add_nic(glend, cable)
            cable.host.run("tc filter add dev eth0 egress prio 7 u32 match "
                           "u32 0 0 flowid 1:1")
            if they_first:
                add_nic(glend, cable)
            assert "glen" in cable.host.run("tc filter show dev eth0 ingress")
            if they_first:
                glend.rpc("port.del", port="sw0:eth0")
            else:
                glend.kill9()
            wait_until(lambda: "glen" not in cable.host.run(
                "tc filter show dev eth0 ingress"), what="undone")
            assert "u32" in cable.host.run("tc filter show dev eth0 egress")
            cable.host.run("tc qdisc del dev eth0 clsact")
        glend.start()


@pytest.mark.parametrize("which", [0, 1])
def test_killed_guard(cable, which):
    """A guard that is killed is replaced, and its successor knows all."""
    with Glend(env={"GLEN_NO_TCX": "1"}) as glend:
        add_nic(glend, cable)
        for _ in range(3):
            guards = glend.rpc("status")["guards"]
            assert len(guards) == 2
            os.kill(guards[which], signal.SIGKILL)
            wait_until(lambda: guards[which] not in glend.rpc("status")[
                "guards"], what="the guard is replaced")
        # Only the last successor is left to do it.
        survivor = [p for p in glend.rpc("status")["guards"]
                    if p != guards[not which]]
        os.kill(glend.pid, signal.SIGSTOP)
        os.kill(guards[not which], signal.SIGKILL)
        glend.kill9()
        wait_until(lambda: not leftovers(cable.host), what="undone")
        ping_anew(cable.far, "10.9.0.1")
        assert len(survivor) == 1
        assert "was replaced" in glend.log_text()


def test_both_guards_killed(cable, netns):
    """glend starts others, which are small and know what is to be undone."""
    with Glend(env={"GLEN_NO_TCX": "1"}) as glend:
        add_nic(glend, cable)
        add_tap(glend, netns)
        for _ in range(3):
            guards = glend.rpc("status")["guards"]
            os.kill(glend.pid, signal.SIGSTOP)
            for pid in guards:
                os.kill(pid, signal.SIGKILL)
            os.kill(glend.pid, signal.SIGCONT)
            wait_until(lambda: len(set(glend.rpc("status")["guards"]) -
                                   set(guards)) == 2, what="new guards")
        assert "were started again" in glend.log_text()
        for pid in glend.rpc("status")["guards"]:
            assert len(os.listdir(f"/proc/{pid}/fd")) == 5 + 2
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                status = dict(line.split(":\t", 1) for line in file)
            assert int(status["CapEff"], 16) == 1 << 12     # CAP_NET_ADMIN
            with open(f"/proc/{pid}/maps", encoding="ascii") as file:
                shared = [line for line in file if line.split()[1][3] == "s"]
            assert not shared or os.environ.get("SANITIZED"), shared
        glend.kill9()
        wait_until(lambda: not leftovers(cable.host), what="undone")
        ping_anew(cable.far, "10.9.0.1")


# Trouble

def test_kernel_drops_are_counted(glend, cable):
    """glend does not look for a while: the books balance all the same."""
    add_nic(glend, cable)
    sent = 3000
    with cable.far.wire("far") as out:
        glend.check_identity()
        before = glend.port_stats("sw0:eth0")["in"]["packets"]
        os.kill(glend.pid, signal.SIGSTOP)
        try:
            for _ in range(sent):
                out.send(frame(cable.far_mac) + bytes(46))
        finally:
            os.kill(glend.pid, signal.SIGCONT)
    wait_until(lambda: glend.port_stats("sw0:eth0")["in"]["packets"] - before
               == sent, what="all packets are accounted for")
    drops = glend.drops("sw0:eth0")["in"]
    assert drops["in_kernel_full"] > sent // 4
    glend.check_identity()


def test_down_and_up(glend, cable, netns):
    add_nic(glend, cable)
    t = add_tap(glend, netns, address="10.9.0.3/24")
    ping(t, FAR4)
    cable.host.run("ip link set eth0 down")
    wait_until(lambda: not glend.rpc("port.show", port="sw0:eth0")["link"],
               what="link goes down")
    before = glend.drops("sw0:eth0")["out"].get("out_link_down", 0)
    with t.wire("t") as out:
        for _ in range(10):
            out.send(frame(mac_of(t, "t")) + bytes(46))
    glend.check_identity()
    after = glend.drops("sw0:eth0")["out"]["out_link_down"]
    assert after >= before + 10
    cable.host.run("ip link set eth0 up")
    wait_until(lambda: glend.rpc("port.show", port="sw0:eth0")["link"],
               what="link comes up")
    ping(t, FAR4)
    glend.check_identity()


@pytest.mark.parametrize("how", ["link", "netns"])
def test_deleted_under_traffic(glend, cable, netns, how):
    add_nic(glend, cable, queues=2)
    t = add_tap(glend, netns, address="10.9.0.3/24")
    flood = t.popen(["ping", "-f", "-q", FAR4], stdout=subprocess.DEVNULL)
    wait_until(lambda: glend.port_stats("sw0:eth0")["in"]["packets"] > 100,
               what="traffic")
    if how == "link":
        cable.host.run("ip link del eth0")
        why = "its interface was deleted"
    else:
        # The sockets keep the namespace alive; its name is what counts.
        subprocess.run(["ip", "netns", "del", cable.host.name],
                            check=True)
        why = "its network namespace was deleted"
    wait_until(lambda: glend.rpc("status")["broken_ports"], what="it breaks")
    flood.kill()
    broken = glend.rpc("status")["broken_ports"]
    assert [(b["port"], b["reason"]) for b in broken] == [("sw0:eth0", why)]
    glend.check_identity()
    if how == "link":
        cable.make()
        add_nic(glend, cable)
        ping_anew(t, FAR4)


def test_renamed(glend, cable, netns):
    add_nic(glend, cable)
    t = add_tap(glend, netns, address="10.9.0.3/24")
    cable.host.run("ip link set eth0 name wan0")
    ping(t, FAR4)
    assert glend.rpc("port.show", port="sw0:eth0")["ifname"] == "wan0"
    glend.rpc("port.del", port="sw0:eth0")
    assert not leftovers(cable.host, "wan0")
    ping_anew(cable.far, "10.9.0.1")


@pytest.mark.parametrize("options, text", [
    ({"ifname": "none7"}, "there is no interface none7"),
    ({"ifname": "lo"}, "lo is no Ethernet interface"),
    ({"ifname": "a/b"}, "letters, digits"),
    ({"ifname": "x" * 16}, "more than 15"),
    ({"queues": 17}, "queues"),
    ({"host": True, "exclusive": False}, "needs exclusive"),
    ({"mac": "02:00:00:00:00:07"}, "its interface's MAC"),
    ({"colour": "red"}, "colour"),
])
def test_refusals(glend, cable, options, text):
    with pytest.raises(RpcError, match=text):
        add_nic(glend, cable, **options)
    assert not leftovers(cable.host)
    ping(cable.far, "10.9.0.1")


def test_refuses_what_is_down(glend, cable):
    cable.host.run("ip link set eth0 down")
    with pytest.raises(RpcError, match="ip link set eth0 up"):
        add_nic(glend, cable)


def test_set(glend, cable):
    add_nic(glend, cable, queues=2)
    glend.rpc("port.set", port="sw0:eth0", queues=2, mtu=1400)
    for options in ({"queues": 3}, {"ifname": "eth1"},
                    {"mac": "02:00:00:00:00:07"}):
        with pytest.raises(RpcError):
            glend.rpc("port.set", port="sw0:eth0", **options)
    shown = glend.rpc("port.show", port="sw0:eth0")
    assert (shown["queues"], shown["mtu"]) == (2, 1400)


def test_without_privileges(cable):
    reason = glen.why_missing("setpriv")
    if reason:
        pytest.skip(reason)
    glend = Glend(start=False, prefix=[
        "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])
    os.chown(glend.dir, 65534, 65534)
    with glend:
        glend.start()
        assert glend.rpc("status")["guards"] == []
        with pytest.raises(RpcError, match="CAP_|no interface"):
            glend.rpc("port.add", port="sw0:x", driver="packet", ifname="eth0")
        with pytest.raises(RpcError, match="CAP_SYS_ADMIN"):
            add_nic(glend, cable)


def test_descriptors_come_back(glend, cable, scaled):
    add_nic(glend, cable, queues=3)
    glend.rpc("port.del", port="sw0:eth0")
    fds = len(os.listdir(f"/proc/{glend.pid}/fd"))
    for _ in range(scaled(30)):
        add_nic(glend, cable, queues=3)
        glend.rpc("port.del", port="sw0:eth0")
    assert len(os.listdir(f"/proc/{glend.pid}/fd")) == fds


def test_checksum_of_a_small_packet(glend, cable, netns, tmp_path):
    """What the far side leaves to its NIC is finished for a file."""
    add_nic(glend, cable)
    path = tmp_path / "out.pcap"
    glend.rpc("port.add", port="sw0:file", driver="pcap", write=str(path))
    cable.far.run(f"ip neigh add 10.9.0.9 lladdr {NOBODY} dev far")
    cable.far.run([sys.executable, "-c",
                   "import socket; s = socket.socket(socket.AF_INET, "
                   "socket.SOCK_DGRAM); s.sendto(b'x' * 777, "
                   "('10.9.0.9', 99))"])
    wait_until(lambda: glend.port_stats("sw0:file")["out"]["packets"],
               what="the packet")
    received = counters(cable.host, "eth0")[0]
    assert glend.port_stats("sw0:eth0")["in"]["packets"] <= received
    glend.rpc("port.del", port="sw0:file")
    packets = [p for p in rdpcap(str(path)) if UDP in p]
    assert len(packets) == 1 and checksums_hold(packets[0])
