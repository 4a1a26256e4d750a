# SPDX-License-Identifier: BSD-2-Clause
# gso.py - packets that are still to be cut, and what must become of them.
import struct

from scapy.all import Ether, IP, IPv6, TCP, UDP, Dot1Q, raw

NEEDS_CSUM, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 = 1, 1, 4, 5
NOBODY = "02:00:00:00:00:99"    # an address that no port has


def vnet_hdr(gso_type, gso_size, csum_start, csum_offset, hdr_len):
    return struct.pack("<BBHHHH", NEEDS_CSUM, gso_type, hdr_len, gso_size,
                       csum_start, csum_offset)


def pseudo_sum(ip, proto, length):
    """What the sender of an unfinished checksum leaves in its place."""
    if ip.version == 4:
        data = raw(ip)[12:20] + struct.pack(">HH", proto, length)
    else:
        data = raw(ip)[8:40] + struct.pack(">II", length, proto)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def big_packet(src, kind, payload, tags=None):
    """(vnet header, frame) of a packet that is to be cut every 1000 bytes."""
    ether = Ether(src=src, dst=NOBODY)
    if tags:
        ether = ether / tags
    six = kind == "tcp6"
    l4 = UDP(sport=1000, dport=2000) if kind == "udp" else TCP(
        sport=1000, dport=2000, seq=0xfffffff0, ack=7, flags="PFA",
        options=[("Timestamp", (1, 2))])
    l4_len = len(l4) + len(payload)
    if kind == "udp":
        l4.len = l4_len
    ip = (IPv6(src="fd00::1", dst="fd00::2", nh=6, plen=l4_len) if six else
          IP(src="10.0.0.1", dst="10.0.0.2", id=77, flags="DF",
             proto=17 if kind == "udp" else 6, len=20 + l4_len))
    ip = ip.__class__(raw(ip))
    l4.chksum = pseudo_sum(ip, 17 if kind == "udp" else 6, l4_len)
    frame_bytes = raw(ether / ip / l4) + payload
    start = len(ether) + len(ip)
    gso = {"tcp4": GSO_TCPV4, "tcp6": GSO_TCPV6, "udp": GSO_UDP_L4}[kind]
    return (vnet_hdr(gso, 1000, start, 6 if kind == "udp" else 16,
                     start + len(l4)), frame_bytes)


def checksums_hold(packet):
    """Rebuilds the packet with fresh checksums and compares."""
    fresh = packet.__class__(raw(packet))
    for layer in (IP, TCP, UDP):
        if layer in fresh:
            del fresh[layer].chksum
    return raw(fresh) == raw(packet)


def check_segments(packets, kind, payload, tags):
    proto = UDP if kind == "udp" else TCP
    assert [len(p[proto].payload) for p in packets] == [1000] * 4 + [321]
    assert b"".join(raw(p[proto].payload) for p in packets) == payload
    for i, packet in enumerate(packets):
        assert checksums_hold(packet), packet.show(dump=True)
        assert (Dot1Q in packet) == bool(tags)
        if IP in packet:
            assert packet[IP].id == 77 + i
            assert packet[IP].len == len(packet[IP])
        if proto is TCP:
            assert packet[TCP].seq == (0xfffffff0 + 1000 * i) % (1 << 32)
            assert str(packet[TCP].flags) == ("FPA" if i == 4 else "A")
            assert packet[TCP].options[0] == ("Timestamp", (1, 2))
        else:
            assert packet[UDP].len == 8 + len(packet[UDP].payload)
