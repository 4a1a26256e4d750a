# SPDX-License-Identifier: BSD-2-Clause
# test_mixed.py - every way for a guest to attach, on one switch.
import itertools
import os
import re
import subprocess

import pytest

import glen
import vm
from glen import BUILD, Netns, wait_until
from vm import Rig

BYTES = 1 << 20
NAMESPACE = 4


class Mixed:
    """
    Guest 1 has an e1000 on a stream, 2 a vmxnet3 on datagrams, 3 virtio-net on
    vhost-user; where we are root there is a namespace with a TAP, too.
    """

    def __init__(self):
        self.rig = Rig()
        self.far = self.rig.path(2) + ".qemu"
        self.port(1, "stream", path=self.rig.path(1))
        self.port(2, "dgram", path=self.rig.path(2), peer=self.far)
        self.guests = [self.e1000(), self.vmxnet3()]
        for guest in self.guests:
            guest.up()
        self.guests.append(self.rig.guest(3))
        self.guests[2].up()
        self.space = None if glen.why_no_root() else self.namespace()

    def e1000(self):
        return self.rig.start(1, vm.stream(self.rig.path(1), "e1000"),
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
