# SPDX-License-Identifier: BSD-2-Clause
# test_offloads.py - what a guest leaves to be done is done as scapy would.
"""
    guest, all offloads ---> port without offloads

The guest sends packets of 64 KiB to be cut, and packets without a checksum.
What comes out at ports of every kind is compared, byte for byte, with what
scapy makes of the same description: lengths, identification, sequence numbers,
flags, checksums. Fragments are put together, and the datagram is compared.
"""
import contextlib
import functools
import os
import struct

import pytest
from scapy.all import (Dot1AD, Dot1Q, Ether, IP, IPOption_LSRR, IPOption_NOP,
                       IPOption_RR, IPOption_Router_Alert, IPv6,
                       IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrHopByHop, IPv6ExtHdrRouting,
                       IPv6ExtHdrSegmentRouting, PadN, Raw, RouterAlert, TCP,
                       UDP, checksum, raw)

import glen
from frames import Client, Dgram, Guest, Interface, Stream
from glen import wait_until

SENDER, TARGET = "52:54:00:00:00:01", "52:54:00:00:00:02"
NEEDS_CSUM = 1
TCPV4, UFO, TCPV6, USO, ECN = 1, 3, 4, 5, 0x80
MTU = 9000
needs_root = pytest.mark.skipif(bool(glen.why_no_root()),
                                reason=str(glen.why_no_root()))

TAGS = {
    "plain": lambda: (),
    "vlan": lambda: (Dot1Q(vlan=5, prio=3),),
    "qinq": lambda: (Dot1AD(vlan=7), Dot1Q(vlan=4000, prio=1)),
}


def ipv4(**fields):
    # The identification wraps on the way.
    return IP(**{"src": "10.9.0.1", "dst": "10.9.0.2", "id": 0xfff8, "ttl": 9,
                 "tos": 2, **fields})


def ipv6(*headers):
    packet = IPv6(src="fd09::1", dst="fd09::2", tc=3, fl=0x12345, hlim=9)
    for header in headers:
        packet /= header
    return packet


LAYER3 = {
    "v4": lambda: ipv4(flags="DF"),
    # The second one is for all fragments, the first is not.
    "v4-options": lambda: ipv4(options=[
        IPOption_RR(routers=["0.0.0.0", "0.0.0.0"]), IPOption_NOP(),
        IPOption_Router_Alert()]),
    "v4-route": lambda: ipv4(options=[
        IPOption_NOP(), IPOption_LSRR(routers=["10.9.1.1", "10.9.1.2"])]),
    "v6": ipv6,
    "v6-options": lambda: ipv6(
        IPv6ExtHdrHopByHop(options=[RouterAlert(value=1)]),
        IPv6ExtHdrDestOpt(options=[PadN(optdata=b"glen")])),
    "v6-route": lambda: ipv6(
        IPv6ExtHdrHopByHop(options=[RouterAlert(value=1)]),
        IPv6ExtHdrRouting(addresses=["fd09:1::1"], segleft=1)),
    "v6-segments": lambda: ipv6(
        IPv6ExtHdrSegmentRouting(addresses=["fd09:1::2", "fd09:1::1"],
                                 segleft=1)),
}


def tcp(flags="A", options=()):
    return TCP(sport=4000, dport=5000, seq=0xffffff00, ack=77, flags=flags,
               window=1234, urgptr=3, options=list(options))


STAMPS = (("NOP", None), ("NOP", None), ("Timestamp", (1, 2)))


def udp():
    return UDP(sport=4000, dport=5000)


# All headers are to end within 128 bytes, see core/offload.h.
# name: layer 4, gso_type, gso_size, length of the payload
WORK = {
    "tso": (lambda: tcp("FPAUEC"), TCPV4, 1448, 5 * 1448 + 5),
    "tso-ecn": (lambda: tcp("PAC"), TCPV4 | ECN, 1448, 2 * 1448),
    "tso-stamps": (lambda: tcp("PA", STAMPS), TCPV4, 1448, 3000),
    "tso-tiny": (tcp, TCPV4, 7, 69),
    "tso-large": (tcp, TCPV4, 8900, 2 * 8900),
    "tso-one": (lambda: tcp("FPAC"), TCPV4, 1448, 1447),
    "tso-alone": (lambda: tcp("FPA"), TCPV4, 1448, 0),
    "uso": (udp, USO, 1471, 10000),
    "uso-one": (udp, USO, 1472, 11),
    "ufo": (udp, UFO, 1480, 10001),
    "ufo-odd": (udp, UFO, 1007, 65001),
    "ufo-one": (udp, UFO, 1480, 1000),
    "tcp": (tcp, 0, 0, 1401),
    "tcp-empty": (tcp, 0, 0, 0),
    "udp": (udp, 0, 0, 1400),
    "udp-zero": (udp, 0, 0, 400),
}
# Once for each layer 3.
WHOLE = {"tso-whole": (lambda: tcp("FPAUEC"), TCPV4, 536, 65000),
         "uso-whole": (udp, USO, 1472, 65000)}


class Case:
    """One packet of a sender and what is to become of it."""

    def __init__(self, tags, layer3, work):
        self.name = f"{tags}-{layer3}-{work}"
        self.tags, self.layer3 = TAGS[tags], LAYER3[layer3]
        self.layer4, self.gso_type, self.gso_size, size = {
            **WORK, **WHOLE}[work]
        if self.gso_type & ~ECN == TCPV4 and layer3.startswith("v6"):
            self.gso_type += TCPV6 - TCPV4
        # A sequence in which every piece differs from every other one.
        self.payload = b"".join(struct.pack(">H", i * 40503 % 65536)
                                for i in range(size // 2 + 1))[:size]
        if work == "udp-zero":
            self.sum_up_to_zero()

    def build(self, payload, change=lambda packet: None):
        """A complete packet; change() may set what differs."""
        packet = Ether(src=SENDER, dst=TARGET)
        for layer in (*self.tags(), self.layer3(), self.layer4()):
            packet /= layer
        packet /= Raw(payload)
        change(packet)
        return raw(packet)

    def sum_up_to_zero(self):
        """The checksum becomes 0, which UDP writes as 0xffff."""
        self.payload = bytes(2) + self.payload[2:]
        csum = self.build(self.payload)[-len(self.payload) - 2:]
        self.payload = csum[:2] + self.payload[2:]
        whole = self.build(self.payload)
        assert whole[-len(self.payload) - 2:][:2] == b"\xff\xff"

    def sent(self):
        """(frame, header): its checksum field has the pseudo header's sum."""
        whole = self.build(self.payload)
        start = len(whole) - len(self.payload) - len(raw(self.layer4()))
        offset = 16 if self.layer4 is not udp else 6
        at = start + offset
        # Sums of 16 bits: what is missing in that of the rest.
        rest = checksum(whole[start:at] + bytes(2) + whole[at + 2:])
        final, = struct.unpack(">H", whole[at:at + 2])
        partial = (final ^ 0xffff) + rest
        partial = (partial & 0xffff) + (partial >> 16)
        frame = whole[:at] + struct.pack(">H", partial) + whole[at + 2:]
        hdr = struct.pack("<BBHHHHH", NEEDS_CSUM, self.gso_type,
                          start if self.gso_type else 0, self.gso_size, start,
                          offset, 0)
        return frame, hdr

    def expected(self):
        """The frames, unless they are fragments."""
        if self.gso_type == 0:
            return [self.build(self.payload)]
        size = self.gso_size
        cuts = range(0, len(self.payload), size) or [0]
        return [self.build(self.payload[at:at + size],
                           functools.partial(self.piece, k, at))
                for k, at in enumerate(cuts)]

    def piece(self, k, at, packet):
        if IP in packet:
            packet[IP].id = (packet[IP].id + k) % 65536
        if TCP in packet:
            segment = packet[TCP]
            segment.seq = (segment.seq + at) % (1 << 32)
            if at > 0:
                segment.flags.C = False
            if at + self.gso_size < len(self.payload):
                segment.flags.F = segment.flags.P = False


def cases():
    for tags in TAGS:
        for layer3 in LAYER3:
            for work in WHOLE if tags == "vlan" else WORK:
                if (layer3, work) != ("v6-segments", "tso-stamps"):
                    yield Case(tags, layer3, work)


@functools.cache
def script():
    """[(case, (frame, header), expected frames; None: fragments)], once."""
    return [(case, case.sent(), None if case.gso_type == UFO else
             case.expected()) for case in cases()]


# Fragments

def split_ipv4(frame):
    """(what is before the data, offset, whether more follow, data)"""
    packet = Ether(frame)
    ip = packet[IP]
    at = len(frame) - len(raw(ip)) + ip.ihl * 4
    assert ip.len == len(frame) - at + ip.ihl * 4
    again = ip.copy()
    del again.chksum
    assert raw(again) == raw(ip)
    return ip, ip.frag * 8, bool(ip.flags.MF), frame[at:]


def rejoin_ipv4(case, frames, whole):
    data = b""
    for frame in frames:
        ip, offset, more, part = split_ipv4(frame)
        original = Ether(whole)[IP]
        assert (offset, more) == (len(data), frame is not frames[-1])
        assert (ip.id, ip.tos, ip.ttl, ip.src, ip.dst, ip.proto) == tuple(
            getattr(original, name)
            for name in ("id", "tos", "ttl", "src", "dst", "proto"))
        assert len(part) <= case.gso_size
        kinds = [type(option) for option in ip.options]
        assert (IPOption_Router_Alert in kinds, IPOption_LSRR in kinds) == (
            IPOption_Router_Alert in map(type, original.options),
            IPOption_LSRR in map(type, original.options))
        assert offset == 0 or IPOption_RR not in kinds
        data += part
    at = len(whole) - len(Ether(whole)[IP].payload)
    assert frames[0][:at - Ether(whole)[IP].ihl * 4] == \
        whole[:at - Ether(whole)[IP].ihl * 4]
    assert data == whole[at:]
    return []


def rejoin_ipv6(case, frames, whole):
    data, ident = b"", None
    for frame in frames:
        packet = Ether(frame)
        fragment = packet[IPv6ExtHdrFragment]
        at = len(frame) - len(fragment)
        part = frame[at + 8:]
        assert packet[IPv6].plen == len(packet[IPv6].payload)
        assert (fragment.offset * 8, bool(fragment.m)) == (
            len(data), frame is not frames[-1])
        assert fragment.id == (ident or fragment.id)
        assert len(part) <= case.gso_size
        # Without the fragment header: what was there before.
        before = fragment.underlayer
        before.nh = fragment.nh
        before.payload = Raw(b"")
        before.remove_payload()
        packet[IPv6].plen = Ether(whole)[IPv6].plen
        assert raw(packet) == whole[:at]
        ident = fragment.id
        data += part
    assert data == whole[at:]
    return [ident]


def check_fragments(case, recv):
    """
    Takes frames as long as they say that more follow. Returns a list: the
    number that they share, if it is glend's.
    """
    whole = case.build(case.payload)
    frames = [recv()]
    if frames == [whole]:
        assert len(case.payload) + 8 <= case.gso_size
        return []
    version = 4 if IP in Ether(whole) else 6

    def more(frame):
        packet = Ether(frame)
        return (packet[IP].flags.MF if version == 4 else
                packet[IPv6ExtHdrFragment].m)

    while more(frames[-1]):
        frames.append(recv())
    rejoin = rejoin_ipv4 if version == 4 else rejoin_ipv6
    return rejoin(case, frames, whole)


# Ports

@contextlib.contextmanager
def open_tap(glend):
    with glen.Netns() as netns:
        netns.no_ipv6()
        glend.rpc("port.add", port="s:tap", driver="tap", netns=netns.name,
                  ifname="tap0", mtu=MTU, offloads=False)
        netns.run("ip link set tap0 up")
        wait_until(lambda: glend.rpc("port.show", port="s:tap")["link"],
                   what="the interface is up")
        with Interface(netns, "tap0", SENDER) as port:
            yield port


@contextlib.contextmanager
def open_stream(glend):
    path = os.path.join(glend.dir, "stream")
    glend.rpc("port.add", port="s:stream", driver="stream", path=path)
    with Stream(path) as port:
        wait_until(lambda: glend.rpc("port.show", port="s:stream")["link"],
                   what="the stream is connected")
        yield port


@contextlib.contextmanager
def open_dgram(glend):
    path, peer = (os.path.join(glend.dir, name) for name in ("dgram", "peer"))
    with Dgram(peer) as port:
        glend.rpc("port.add", port="s:dgram", driver="dgram", path=path,
                  peer=peer)
        yield port


def open_shm(glend):
    return Client(glend, "s:shm")


@contextlib.contextmanager
def open_guest(glend, name, *words):
    path = os.path.join(glend.dir, name)
    glend.rpc("port.add", port=f"s:{name}", driver="vhost-user", path=path)
    with Guest(path, *words) as guest:
        wait_until(lambda: glend.rpc("port.show", port=f"s:{name}")["link"],
                   what=f"{name} is attached")
        yield guest


def open_plain(glend):
    return open_guest(glend, "plain")


def open_bare(glend):
    return open_guest(glend, "bare", "bare", "packed")


# name: who receives, words for the guest that sends
WAYS = {
    "tap": (open_tap, ()),
    "stream": (open_stream, ("scattered",)),
    "dgram": (open_dgram, ("packed",)),
    "shm": (open_shm, ()),
    "plain": (open_plain, ("packed", "scattered")),
    "bare": (open_bare, ()),
}


def play(sender, ports, scenes):
    """Sends packets and looks at what comes out at each of the ports."""
    idents = []     # of IPv6 fragments
    for case, sent, expected in scenes:
        sender.send(*sent)
        for port in ports:
            print(case.name, type(port).__name__)
            if expected is None:
                idents += check_fragments(case, port.recv)
                continue
            for frame in expected:
                assert port.recv() == frame
    # None is used again.
    assert len(set(idents)) == len(idents)


@pytest.mark.parametrize("way", [
    pytest.param(way, marks=[needs_root] if way == "tap" else [])
    for way in WAYS])
def test_unfinished_packets_to_one_port(glend, way):
    open_port, words = WAYS[way]
    with contextlib.ExitStack() as stack:
        guest = stack.enter_context(
            open_guest(glend, "guest", "offloads", *words))
        port = stack.enter_context(open_port(glend))
        play(guest, [port], script())
    glend.check_identity()


@needs_root
def test_unfinished_packets_to_all_ports(glend):
    """They are flooded; a guest that takes everything gets them as sent."""
    with contextlib.ExitStack() as stack:
        guest = stack.enter_context(open_guest(glend, "guest", "offloads"))
        ports = [stack.enter_context(open_port(glend))
                 for open_port, _ in WAYS.values()]
        other = stack.enter_context(open_guest(glend, "other", "offloads"))
        scenes = [scene for scene in script() if "qinq" in scene[0].name]
        play(guest, ports, scenes)
        for case, (frame, hdr), _ in scenes:
            got_hdr, got = other.recv_hdr()
            assert got == frame, case.name
            assert (got_hdr[:2], got_hdr[4:10]) == (hdr[:2], hdr[4:10])
    glend.check_identity()
