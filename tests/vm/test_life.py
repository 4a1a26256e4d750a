# SPDX-License-Identifier: BSD-2-Clause
# test_life.py - guests that reboot, die, lose their interface or grow.
import contextlib
import shlex

import pytest

import vm
from glen import wait_until
from peers import Peer, assert_intact
from vm import Rig

BYTES = 4 << 20
DIMM = 128 << 20
STOP, POOL = "/tmp/stop", "/tmp/pool"
POOL_PAGES = (16 << 20) // 4096


class Two:
    """Guest 1, to which things happen, and guest 2, which must not notice."""

    # QEMU's arguments of the first, whenever it starts.
    VICTIM = {"slots": 2, "reboots": True}

    def __init__(self):
        self.rig = Rig()
        self.a = self.rig.guest(1, **self.VICTIM)
        self.b = self.rig.guest(2)
        self.a.up()
        self.b.up()

    @contextlib.contextmanager
    def neighbours(self):
        """Checked traffic between two others, which must lose nothing."""
        with Peer(self.rig.glend, "check", "sw0:x", "sw0:y") as traffic:
            yield
            assert_intact(traffic.stop())

    def works(self):
        assert self.a.ping(self.b.ip) == 0
        self.b.stream_to(self.a, self.a.ip, BYTES)
        self.a.stream_to(self.b, self.b.ip, BYTES)

    @contextlib.contextmanager
    def flood(self):
        """Both send to the other all the time, until something happens."""
        sinks = [g.start("guest sink 7000") for g in (self.b, self.a)]
        for guest, other in ((self.a, self.b), (self.b, self.a)):
            guest.run(f"rm -f {STOP}")
        sends = [g.start(f"guest send {o.ip} 7000 {1 << 40} {STOP}")
                 for g, o in ((self.a, self.b), (self.b, self.a))]
        before = self.rig.stats(2)
        wait_until(lambda: self.moved(before, 1000), 60, "a flood")
        yield sinks, sends
        # What waits for a peer that is gone would wait for minutes.
        self.b.run("killall guest", check=False)

    @contextlib.contextmanager
    def stream(self, pool=""):
        """From the first to the second; all of it arrives."""
        sink = self.b.start("guest sink 7000")
        self.a.run(f"rm -f {STOP}")
        send = self.a.start(
            f"guest send {self.b.ip} 7000 {1 << 40} {STOP} {pool}")
        self.goes_on()
        yield
        self.goes_on()
        self.a.run(f"touch {STOP}")
        assert int(send.wait()) == int(sink.wait()) > 0

    def goes_on(self):
        before = self.rig.stats(2)
        wait_until(lambda: self.moved(before, 300), 60, "the stream goes on")

    def plug(self, name, how):
        """A DIMM; its memory is brought online as how says."""
        regions = self.memory()
        self.a.qmp("object-add", qom_type="memory-backend-memfd",
                   id=f"{name}-memory", size=DIMM, share=True)
        self.a.qmp("device_add", driver="pc-dimm", id=name,
                   memdev=f"{name}-memory")
        wait_until(lambda: len(self.memory()) > len(regions), 60,
                   "one more region")
        self.a.wait_for("grep -l offline /sys/devices/system/memory/*/state")
        self.a.run("for m in $(grep -l offline "
                   "/sys/devices/system/memory/*/state); do "
                   f"echo {how} >$m || exit 1; done")

    def unplug(self, name):
        self.a.qmp("device_del", id=name)
        self.a.qmp.wait("DEVICE_DELETED", device=name)
        self.a.qmp("object-del", id=f"{name}-memory")

    def memory(self):
        return self.rig.show(1)["vhost"]["memory"]

    def movable_in_use(self):
        """Pages of the guest's zone for what can be moved."""
        words = self.a.run("grep -A 9 'zone *Movable' /proc/zoneinfo").split()
        return (int(words[words.index("managed") + 1]) -
                int(words[words.index("free") + 1]))

    def moved(self, before, packets):
        now = self.rig.stats(2)
        return all(now[way]["packets"] > before[way]["packets"] + packets
                   for way in ("in", "out"))


@pytest.fixture(scope="module")
def two():
    made = Two()
    yield made
    made.rig.close()


def test_reset_under_traffic(two):
    with two.neighbours():
        with two.flood():
            two.a.reset()
        two.a.configure()
        two.works()


def test_reboot(two):
    with two.neighbours():
        two.a.reboot()
        two.a.configure()
        two.works()


def test_driver_taken_out_and_back(two):
    """Any number of times: a reset of the device each."""
    device = "/sys/bus/virtio/drivers/virtio_net"
    name = two.a.run(f"cd {device} && ls -d virtio*").strip()
    with two.neighbours():
        for _ in range(5):
            two.a.run(f"echo {name} >{device}/unbind")
            two.rig.link(1, False)
            two.a.run(f"echo {name} >{device}/bind")
            two.a.configure()
            assert two.a.ping(two.b.ip) == 0
        two.works()


def test_unplugged_and_plugged_in(two):
    qmp = two.a.qmp
    with two.neighbours():
        with two.flood():
            qmp("device_del", id="nic0")
            qmp.wait("DEVICE_DELETED", device="nic0")
        qmp("netdev_del", id="n0")      # c0 goes with it
        two.rig.link(1, False)
        two.a.wait_for("! test -e /sys/class/net/eth0")
        qmp("chardev-add", id="c0", backend={"type": "socket", "data": {
            "addr": {"type": "unix", "data": {"path": two.rig.path(1)}},
            "server": False, "reconnect": 1}})
        qmp("netdev_add", type="vhost-user", id="n0", chardev="c0")
        qmp("device_add", driver="virtio-net-pci", id="nic0", netdev="n0",
            mac=two.a.mac, bus="rp0", vectors=0)
        two.a.wait_for("test -e /sys/class/net/eth0")
        two.a.configure()
        two.rig.link(1, True)
        two.works()


def test_memory_plugged_in(two):
    """While traffic runs; then packets come to lie in the new memory."""
    with two.neighbours():
        with two.stream():
            # Brought online for the kernel it is what it takes first: it lies
            # in a better zone than that below 4 GiB.
            two.plug("dimm0", "online_kernel")
        two.works()


def test_memory_taken_out(two):
    """While packets are sent out of it, which the guest then moves."""
    before = two.memory()
    with two.neighbours():
        two.plug("dimm1", "online_movable")
        assert len(two.memory()) == len(before) + 1
        # A file is what a kernel puts there.
        with two.stream(POOL):
            wait_until(lambda: two.movable_in_use() >= POOL_PAGES, 60,
                       "the file is full")
            two.unplug("dimm1")
            assert two.memory() == before
        assert two.a.run(f"stat -c %s {POOL}") == f"{POOL_PAGES * 4096}\n"
        two.a.run(f"rm {POOL}")
        two.works()


def test_killed_under_traffic(two):
    with two.neighbours():
        with two.flood():
            two.a.kill9()
            two.rig.link(1, False)
        assert two.b.run("echo alive") == "alive\n"
        two.a = two.rig.again(1, **two.VICTIM)
        two.a.up()
        two.rig.link(1, True)
        two.works()
    two.rig.glend.check_identity()


def test_memory_not_shared(two):
    """The silent failure of share=off: seen, and the cure named."""
    with two.rig.guest(3, shared=False) as guest:
        guest.up()
        # The guest sends, to nobody who could hear it.
        assert guest.ping(two.b.ip, count=2, wait=1) == 2
        show = wait_until(
            lambda: two.rig.show(3)["vhost"].get("problem"), 30,
            "the problem in port.show")
        assert "share=on" in show, show
        text = two.rig.glend.ctl("port", "show", "sw0:vm3").stdout
        assert "share=on" in text, text
    two.works()


def test_printed_arguments_boot_a_guest(two):
    """What --show qemu prints is all that a guest needs."""
    text = two.rig.glend.ctl("port", "add", "sw0:vm4", "vhost-user",
                             f"path={two.rig.path(4)}", "--show", "qemu",
                             "--memory", "96M").stdout
    args = shlex.split(text)
    device = args.index("-device") + 1
    args[device] += "," + vm.NO_MSIX
    guest = two.rig.start(4, lambda number: args, shared=None)
    guest.up()
    two.rig.link(4, True)
    assert guest.ping(two.b.ip) == 0
    guest.stream_to(two.b, two.b.ip6, BYTES)
    guest.close()
