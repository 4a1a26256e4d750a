# SPDX-License-Identifier: BSD-2-Clause
# test_traffic.py - what two guests on one switch send each other.
"""
Every test here runs with three pairs of guests:

  split   as QEMU makes them if nothing is said
  packed  packed rings and two queue pairs in each guest
  bare    the second guest has no offloads, no mergeable buffers, no indirect
          descriptors and no event index: glend has to do all of it
"""
import pytest

from glen import wait_until
from vm import Rig

BYTES = 4 << 20
BARE = {name: False for name in (
    "csum", "gso", "host_tso4", "host_tso6", "host_ecn", "host_ufo",
    "guest_csum", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo",
    "mrg_rxbuf", "indirect_desc", "event_idx")}
PACKED = {"queues": 2, "smp": 2, "nic": {"packed": True}}
PAIRS = {"split": ({}, {}), "packed": (PACKED, PACKED),
         "bare": ({}, {"nic": BARE})}
OFFLOADS = ("tx", "sg", "tso", "gso", "gro")


class Pair:
    def __init__(self, kind):
        self.kind = kind
        self.rig = Rig(workers=2 if kind == "packed" else 1)
        self.a, self.b = self.both = [
            self.rig.guest(i + 1, **PAIRS[kind][i]) for i in range(2)]
        for guest in self.both:
            guest.up()

    def set(self, value, guest):
        """Turns a guest's offloads on or off, as far as it has them."""
        bare = self.kind == "bare" and guest is self.b
        guest.offload(value, *(OFFLOADS[-1:] if bare else OFFLOADS))

    def streams(self, size=BYTES):
        """A checked stream each way, over IPv4 and IPv6."""
        self.a.stream_to(self.b, self.b.ip, size)
        self.b.stream_to(self.a, self.a.ip6, size)

    def mean_length(self, guest, work):
        """Mean length of the packets that a guest sends during work()."""
        before = self.rig.stats(guest.number)["in"]
        work()
        after = self.rig.stats(guest.number)["in"]
        return ((after["bytes"] - before["bytes"]) /
                (after["packets"] - before["packets"]))


@pytest.fixture(scope="module", params=PAIRS)
def pair(request):
    made = Pair(request.param)
    yield made
    made.rig.close()


def test_ping(pair):
    for one, other in (pair.both, pair.both[::-1]):
        assert one.ping(other.ip) == 0
        assert one.ping(other.ip6) == 0
        assert one.ping(other.ip, size=1472) == 0
        # Fragments, three to a packet.
        assert one.ping(other.ip, size=4000) == 0
        assert one.ping(other.ip6, size=4000) == 0


def test_tcp_with_offloads(pair):
    mean = pair.mean_length(pair.a, pair.streams)
    # Packets beyond the MTU came into the switch: the guest segmented nothing.
    assert mean > 1514, mean


def test_tcp_without_offloads(pair):
    for guest in pair.both:
        pair.set("off", guest)
    assert pair.mean_length(pair.a, pair.streams) <= 1514
    assert pair.mean_length(pair.b, pair.streams) <= 1514
    # One end that offloads and one that does not.
    pair.set("on", pair.a)
    pair.streams()
    pair.set("on", pair.b)


def test_mtu_9000(pair):
    for guest in pair.both:
        guest.run("ip link set eth0 mtu 9000")
    try:
        if pair.kind == "bare":
            # Nothing larger than its buffers can reach the second guest; that
            # is counted, and the next packets pass.
            before = pair.rig.stats(2)["out"]["drops"]
            assert pair.a.ping(pair.b.ip, count=3, size=8000, wait=1) == 3
            assert pair.rig.stats(2)["out"]["drops"] != before
        else:
            for address in (pair.b.ip, pair.b.ip6):
                assert pair.a.ping(address, size=8900) == 0
            pair.set("off", pair.a)
            mean = pair.mean_length(
                pair.a, lambda: pair.a.stream_to(pair.b, pair.b.ip, BYTES))
            assert 1514 < mean <= 9014, mean
            pair.set("on", pair.a)
            pair.streams()
    finally:
        for guest in pair.both:
            guest.run("ip link set eth0 mtu 1500")
    assert pair.a.ping(pair.b.ip) == 0


def test_vlans(pair):
    for guest, other in zip(pair.both, (103, 104)):
        for vlan in (100, other):
            guest.run(f"ip link add link eth0 name v{vlan} type vlan "
                      f"id {vlan} && ip link set v{vlan} up")
        guest.run(f"ip addr add 10.8.0.{guest.number}/24 dev v100 && "
                  f"ip addr add fd08::{guest.number}/64 dev v100 && "
                  f"ip addr add 10.7.0.{guest.number}/24 dev v{other}")
    assert pair.a.ping("10.8.0.2") == 0
    assert pair.b.ping("10.8.0.1", size=1472) == 0
    # The two are on different VLANs.
    assert pair.a.ping("10.7.0.2", count=2, wait=1) == 2
    pair.a.stream_to(pair.b, "10.8.0.2", BYTES)
    pair.b.stream_to(pair.a, "fd08::1", BYTES)
    for guest in pair.both:
        guest.run("ip link del v100")


def test_queue_pairs(pair):
    if pair.kind != "packed":
        assert pair.a.run("guest channels eth0").startswith("1 ")
        return
    for guest in pair.both:
        assert guest.run("guest channels eth0") == "2 of 2\n"

    def used(way):
        """Which rings of the second guest have carried much."""
        return [ring[way]["packets"] > 100
                for ring in pair.rig.stats(2, rings=True)["rings"]]

    def many_streams():
        """Streams spread by what their ports hash to."""
        sinks = [pair.b.start(f"guest sink {p}") for p in range(6000, 6008)]
        sends = [pair.a.start(f"guest send {pair.b.ip} {p} {BYTES // 4}")
                 for p in range(6000, 6008)]
        assert [int(x.wait()) for x in sinks + sends] == [BYTES // 4] * 16
        return all(used("in")[:2]) and all(used("out")[:2])

    wait_until(many_streams, 60, "traffic on both queue pairs")
    # Fewer and more while it runs.
    for n in ("1 of 2\n", "2 of 2\n"):
        assert pair.a.run(f"guest channels eth0 {n[0]}") == n
        assert pair.a.ping(pair.b.ip) == 0
        pair.streams(BYTES // 4)


def test_everything_is_accounted_for(pair):
    """The last one: after all that, the sums agree and no ring broke."""
    stats = pair.rig.glend.check_identity()
    for port in stats["ports"]:
        assert port["in"]["packets"] > 1000, port
    for guest in pair.both:
        assert pair.rig.show(guest.number)["link"]
