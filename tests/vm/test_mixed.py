# SPDX-License-Identifier: BSD-2-Clause
# test_mixed.py - every way for a guest to attach, on one switch.
import itertools
import os
import re
import subprocess

import pytest
from scapy.all import IP, IPv6, TCP, UDP, raw

import glen
import vm
from frames import Recorder, finished
from glen import BUILD, Netns, wait_until
from vm import Rig

BYTES = 1 << 20
CUT = 256 << 10
NAMESPACE = 4


class Mixed:
    """
    Guest 1 has an e1000 on a stream, which is recorded, 2 a vmxnet3 on
    datagrams, 3 virtio-net on vhost-user; where we are root there is a
    namespace with a TAP, too.
    """

    def __init__(self):
        self.rig = Rig()
        self.far = self.rig.path(2) + ".qemu"
        self.port(1, "stream", path=self.rig.path(1))
        self.port(2, "dgram", path=self.rig.path(2), peer=self.far)
        self.recorder = Recorder(self.rig.path(1))
        self.guests = [self.e1000(), self.vmxnet3()]
        for guest in self.guests:
            guest.up()
        self.guests.append(self.rig.guest(3))
        self.guests[2].up()
        self.space = None if glen.why_no_root() else self.namespace()

    def e1000(self):
        return self.rig.start(1, vm.stream(self.recorder.path, "e1000"),
                              kernel="generic", memory=192)

    def vmxnet3(self):
        return self.rig.start(2, vm.dgram(self.far, self.rig.path(2),
                                          "vmxnet3"))

    def port(self, number, driver, **params):
        return self.rig.glend.rpc("port.add", port=f"sw0:vm{number}",
                                  driver=driver, **params)

    def namespace(self):
        space = Netns()
        self.port(NAMESPACE, "tap", netns=space.name, ifname="eth0",
                  address=[f"10.9.0.{NAMESPACE}/24", f"fd09::{NAMESPACE}/64"])
        space.run("sysctl -qw net.ipv6.conf.eth0.accept_dad=0")
        wait_until(lambda: "tentative" not in
                        space.run("ip -6 addr show dev eth0"), what="IPv6")
        return space

    def close(self):
        if self.space:
            self.space.close()
        self.rig.close()
        self.recorder.close()


@pytest.fixture(scope="module")
def mixed():
    made = Mixed()
    yield made
    made.close()


def test_drivers_in_the_guests(mixed):
    """It is these interfaces that they use."""
    for guest, driver in zip(mixed.guests, ("e1000", "vmxnet3", "virtio_net")):
        path = guest.run("readlink -f /sys/class/net/eth0/device/driver")
        assert os.path.basename(path.strip()) == driver


def test_all_pairs_ping(mixed):
    addresses = [(g.ip, g.ip6) for g in mixed.guests]
    if mixed.space:
        addresses.append((f"10.9.0.{NAMESPACE}", f"fd09::{NAMESPACE}"))
    for guest in mixed.guests:
        for ip, ip6 in addresses:
            if ip != guest.ip:
                assert guest.ping(ip, count=3) == 0
                assert guest.ping(ip, count=3, size=1472) == 0
                assert guest.ping(ip6, count=3) == 0
    if mixed.space:
        for ip, ip6 in addresses[:-1]:
            for address in (ip, ip6):
                text = mixed.space.run(f"ping -q -c 3 -i 0.05 -W 10 {address}")
                assert vm.lost(text) == 0


def test_checked_streams(mixed):
    """Those with offloads to those without, and back."""
    for one, other in itertools.permutations(mixed.guests, 2):
        one.stream_to(other, other.ip, BYTES)


def data_of(recorder, port):
    """Frames with TCP data to a port; each is complete, says scapy."""
    packets = [finished(frame) for frame in list(recorder.frames)]
    return [packet for packet in packets if TCP in packet and
            packet[TCP].dport == port]


def payload(packet):
    layer = packet[IP] if IP in packet else packet[IPv6]
    size = layer.len - layer.ihl * 4 if IP in packet else layer.plen
    return raw(packet[TCP])[packet[TCP].dataofs * 4:size]


def covered(packets):
    """
    Bytes from the first one on without a gap. A busy guest may send something
    again, but not something else.
    """
    start, stream = packets[0][TCP].seq, b""
    for packet in packets:
        at = (packet[TCP].seq - start) % (1 << 32)
        data = payload(packet)
        assert at <= len(stream)
        assert stream[at:at + len(data)] == data[:len(stream) - at]
        stream += data[len(stream) - at:]
    return len(stream)


@pytest.mark.parametrize("tags", [(), ("802.1Q 100",),
                                  ("802.1ad 7", "802.1Q 8")],
                         ids=["plain", "vlan", "qinq"])
def test_what_is_cut_for_a_stream(mixed, tags):
    """A guest's TSO and checksums, done by glend and judged by scapy."""
    sender, sink = mixed.guests[2], mixed.guests[0]
    device = "eth0"
    for i, tag in enumerate(tags):
        kind, number = tag.split()
        for guest in (sender, sink):
            guest.run(f"ip link add link {device} name t{i} type vlan "
                      f"protocol {kind} id {number} "
                      f"&& ip link set t{i} up")
        device = f"t{i}"
    addresses = [sink.ip, sink.ip6]
    if tags:
        addresses = ["10.8.0.1", "fd08::1"]
        for guest in (sender, sink):
            guest.run(f"ip addr add 10.8.0.{guest.number}/24 dev {device} && "
                      f"ip addr add fd08::{guest.number}/64 dev {device}")
    before = mixed.rig.stats(3)["in"]
    mixed.recorder.frames.clear()
    for port, address in zip((6004, 6006), addresses):
        sender.stream_to(sink, address, CUT, port)
        # Nobody answers; what counts is the question.
        sender.run(f"timeout 0.2 nslookup glen {address}", check=False)
    after = mixed.rig.stats(3)["in"]
    # On the mean, with all that is short: the guest cut nothing.
    assert (after["bytes"] - before["bytes"]) / (
        after["packets"] - before["packets"]) > 1522
    for port in (6004, 6006):
        packets = data_of(mixed.recorder, port)
        data = [p for p in packets if payload(p)]
        assert len(data) >= CUT // 1460
        assert covered(data) == CUT
        # Each IPv4 packet has the number behind that of the one before, until
        # a connection ends: what confirms that has none.
        if port == 6004:
            first, last = packets.index(data[0]), packets.index(data[-1])
            ids = [p[IP].id for p in packets[first:last + 1]]
            assert all((b - a) % 65536 == 1 for a, b in zip(ids, ids[1:])), ids
    datagrams = [finished(frame) for frame in list(mixed.recorder.frames)]
    assert {p.haslayer(IP) for p in datagrams
            if UDP in p and p[UDP].dport == 53} == {0, 1}
    for guest in (sender, sink) if tags else ():
        guest.run("ip link del t0")


def test_checked_streams_from_and_to_the_host(mixed):
    if not mixed.space:
        pytest.skip(glen.why_no_root())
    helper = os.path.join(BUILD, "guest", "guest")
    for guest in mixed.guests:
        sink = guest.start("guest sink 5002")
        assert int(mixed.space.run([helper, "send", guest.ip, "5002",
                                    str(BYTES)])) == BYTES
        assert int(sink.wait()) == BYTES
        here = mixed.space.popen([helper, "sink", "5003"], text=True,
                                 stdout=subprocess.PIPE)
        assert int(guest.run(f"guest send 10.9.0.{NAMESPACE} 5003 "
                             f"{BYTES}")) == BYTES
        assert re.fullmatch(rf"{BYTES}\n", here.communicate(timeout=60)[0])


def test_a_guest_goes_and_comes(mixed):
    """The ports of stream and datagrams are there for the next QEMU."""
    for i, again in enumerate((mixed.e1000, mixed.vmxnet3)):
        mixed.guests[i].kill9()
        mixed.guests[i] = again()
        mixed.guests[i].up()
        assert mixed.guests[i].ping(mixed.guests[2].ip) == 0
        mixed.guests[i].stream_to(mixed.guests[2], mixed.guests[2].ip, BYTES)


def test_sums(mixed):
    mixed.rig.glend.check_identity()
