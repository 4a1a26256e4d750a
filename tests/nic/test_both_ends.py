# SPDX-License-Identifier: BSD-2-Clause
# test_both_ends.py - a veth with a port of glend at either end.
"""
Each end of a cable is a port of a switch of its own, and behind each switch is
a TAP in a namespace: what is sent in one passes one driver on the way out, the
other on the way in, and must be right in the other namespace.

    t 10.9.1.1 -- sw0 -- eth0 ======= far -- sw1 -- t 10.9.1.2
"""
import os
import re

import pytest
from scapy.all import Dot1AD, Dot1Q, Ether, IP, IPv6, Raw, UDP, raw

import glen
import nic
from cable import Cable, add_tap, iperf, mac_of, ping
from gso import NOBODY, big_packet, check_segments
from nic import tcp

REASON = glen.why_no_root() or nic.why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=str(REASON))
TOOLS = glen.why_missing("iperf3", "ss", "ethtool")
DRIVERS = [("xdp", "xdp"), ("xdp", "packet"), ("packet", "packet")]
FOUR = ("10.9.1.1", "10.9.1.2")
SIX = ("fd09:1::1", "fd09:1::2")


@pytest.fixture(params=DRIVERS, ids="-".join)
def drivers(request):
    return request.param


class Line:
    """The cable with its ports, and the namespaces at both ends."""

    def __init__(self, glend, netns, cable, drivers, taps=({}, {}), **options):
        self.glend = glend
        self.ends = []
        for i, (ns, name) in enumerate(((cable.host, "eth0"),
                                        (cable.far, "far"))):
            glend.rpc("port.add", port=f"sw{i}:{name}", driver=drivers[i],
                      netns=ns.name, **options)
            self.ends.append(add_tap(glend, netns, quiet=cable.quiet,
                                     switch=f"sw{i}", address=f"{FOUR[i]}/24",
                                     **taps[i]))
            if not cable.quiet:
                self.ends[i].run(f"ip addr add {SIX[i]}/64 dev t nodad")

    def ways(self):
        """Both directions: sender, receiver, receiver's number."""
        a, b = self.ends
        return ((a, b, 1), (b, a, 0))

    def no_bad_checksum(self):
        for t in self.ends:
            text = t.run("nstat -az TcpInCsumErrors UdpInCsumErrors "
                         "IpInHdrErrors Udp6InCsumErrors")
            assert not re.search(r"Errors\s+[1-9]", text), text
        self.glend.check_identity()


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_traffic(glend, netns, drivers, mtu):
    """Largest packets, TCP whose segments and checksums the host leaves to
    the TAP, over IPv4 and IPv6: what arrives is compared."""
    with Cable(quiet=False, mtu=mtu) as cable:
        line = Line(glend, netns, cable, drivers, ({"mtu": mtu},) * 2)
        for a, b, i in line.ways():
            ping(a, FOUR[i], "-M", "do", "-s", str(mtu - 28))
            ping(a, SIX[i], "-M", "do", "-s", str(mtu - 48))
            tcp(a, b, FOUR[i])
            tcp(a, b, SIX[i])
        line.no_bad_checksum()
        # The TAPs' segments came whole, and were cut for XDP.
        for driver, name in zip(drivers, ("sw0:eth0", "sw1:far")):
            cut = glend.port_stats(name)["out"]["segments"]
            assert (cut > 0) == (driver == "xdp"), (name, cut)


@pytest.mark.parametrize("tags", [
    None, Dot1Q(vlan=5, prio=3), Dot1AD(vlan=7) / Dot1Q(vlan=8)],
    ids=["plain", "q", "ad-q"])
def test_frames_pass_unchanged(glend, netns, cable, drivers, tags):
    """UDP over IPv4 and IPv6, to nobody, tags or not."""
    line = Line(glend, netns, cable, drivers)
    for a, b, _ in line.ways():
        for ip in (IP(src="1.2.3.4", dst="5.6.7.8"),
                   IPv6(src="fd00::1", dst="fd00::2")):
            packet = Ether(src=mac_of(a, "t"), dst=NOBODY)
            packet = packet / tags if tags else packet
            sent = raw(packet / ip / UDP(sport=1, dport=2) /
                       Raw(os.urandom(333)))
            with a.wire("t") as out, b.wire("t") as into:
                out.send(sent)
                assert into.recv_n(1, want=lambda f, s=sent: f == s) == [sent]
    line.no_bad_checksum()


@pytest.mark.parametrize("tags", [None, Dot1Q(vlan=9)], ids=["plain", "vlan"])
@pytest.mark.parametrize("kind", ["tcp4", "tcp6", "udp"])
@pytest.mark.parametrize("drivers", [
    ("xdp", "xdp"), ("xdp", "packet"), ("packet", "xdp")], ids="-".join)
def test_segments(glend, netns, cable, drivers, kind, tags):
    """A packet that is to be cut every 1000 bytes, since XDP cannot take it
    whole; to a TAP that wants checksums."""
    line = Line(glend, netns, cable, drivers, ({}, {"offloads": False}))
    a, b = line.ends
    payload = os.urandom(4321)
    hdr, big = big_packet(mac_of(a, "t"), kind, payload, tags)
    with a.wire("t", vnet=True) as out, b.wire("t") as into:
        out.send(big, hdr)
        got = into.recv_n(5, want=lambda f: f[:6] == big[:6])
    check_segments([Ether(f) for f in got], kind, payload, tags)
    line.no_bad_checksum()


@pytest.mark.skipif(bool(TOOLS), reason=str(TOOLS))
def test_queues(netns, drivers):
    """Four queues at both ends, two workers: several are used."""
    with glen.Glend(workers=2) as glend, Cable(queues=4) as cable:
        for ns, name in ((cable.host, "eth0"), (cable.far, "far")):
            ns.run(f"ethtool -L {name} rx 4 tx 4")
        line = Line(glend, netns, cable, drivers, queues=4)
        a, b = line.ends
        report = iperf(b, a, FOUR[1], "-P", "16")
        assert report["end"]["sum_received"]["bytes"] > 1 << 20
        rings = glend.rpc("stats", port="sw1:far", rings=True)["ports"][0][
            "rings"]
        assert len([r for r in rings if r["in"]["packets"] > 10]) > 1, rings
        line.no_bad_checksum()
