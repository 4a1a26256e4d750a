# SPDX-License-Identifier: BSD-2-Clause
# test_order.py - segments out of order outlive the slots they arrived in.
import pytest
from scapy.all import ARP, Ether, IP, TCP, raw

from frames import Client
from httpd import ADDRESS, Httpd, pattern

PEER, MAC, PORT = "10.0.0.9", "02:00:00:00:00:09", 5000
ALL = "ff:ff:ff:ff:ff:ff"
SLOTS = 1024


class Peer:
    """A TCP of a few lines with one connection to glen-httpd."""

    def __init__(self, client):
        self.client = client
        self.mac = self.ask()
        self.ack = 0
        self.send("S", 99)
        reply = self.recv(lambda p: TCP in p and p[TCP].flags == "SA")
        self.ack = reply[TCP].seq + 1
        self.send("A", 100)

    def packet(self, flags, seq, data=b"", **fields):
        return (Ether(src=MAC, dst=self.mac) / IP(src=PEER, dst=ADDRESS) /
                TCP(sport=PORT, dport=80, flags=flags, seq=seq, ack=self.ack,
                    window=60000, **fields) / data)

    def send(self, flags, seq, data=b"", **fields):
        self.client.send(raw(self.packet(flags, seq, data, **fields)))

    def recv(self, want):
        while True:
            packet = Ether(self.client.recv())
            if want(packet):
                return packet

    def flood(self, n, size):
        """Packets that the stack throws away: TCP's checksum is wrong."""
        wrong = raw(self.packet("A", 100, b"X" * size, chksum=1))
        for i in range(n):
            self.client.send(wrong)
            if i % 200 == 199:
                self.ask()

    def ask(self):
        """Asks for the address: the answer comes after all that was sent."""
        self.client.send(raw(Ether(src=MAC, dst=ALL) /
                             ARP(hwsrc=MAC, psrc=PEER, pdst=ADDRESS)))
        return self.recv(lambda p: ARP in p and p[ARP].op == 2).src


@pytest.mark.parametrize("n", [1, 40])
def test_out_of_order(switch, n):
    first = b"GET /bytes/100 HTTP/1.1\r\n"
    rest = [b"A: %050d\r\n" % i for i in range(n)]
    rest[-1] += b"Host: x\r\nConnection: close\r\n\r\n"
    with Httpd(switch, "s:www"), \
            Client(switch, "s:peer", f"tcp/{PORT}/{PEER}") as client:
        peer = Peer(client)
        at = 100 + len(first)
        for piece in rest:
            peer.send("A", at, piece)
            at += len(piece)
        peer.ask()
        # Over all slots, twice: whatever lies in one of them is gone.
        peer.flood(2 * SLOTS + 100, len(rest[0]))
        peer.send("PA", 100, first)
        data = peer.recv(lambda p: TCP in p and len(p[TCP].payload))
        reply = raw(data[TCP].payload)
        assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
        assert reply.endswith(b"\r\n\r\n" + pattern(100))
