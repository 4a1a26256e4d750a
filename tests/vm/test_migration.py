# SPDX-License-Identifier: BSD-2-Clause
# test_migration.py - a guest moves to another QEMU while it is being sent to.
"""
While QEMU copies a guest's memory, glend writes packets into it, and only
glend's dirty log tells QEMU which pages to copy once more. So the guest is
sent a stream whose receiver reads nothing until it has moved: until then the
bytes lie where glend wrote them. They are sent when all of the memory has been
copied once already, and looked at in the migrated guest, each of them. In one
case glend is killed in the middle of that: the next one goes on with the log.
"""
import pytest

import vm
from glen import wait_until
from vm import Rig

GO, STOP = "/tmp/go", "/tmp/stop"
QUEUED = 8 << 20
# Under TCG, QEMU before 9.0 forgets what the guest itself writes to a block of
# memory of whole 256 KiB, after it has looked once: a quicker way through the
# bitmap that leaves the TLB as it is. 8 KiB more, and it goes the other way.
MEMORY = 128 + 1 / 128
PINGS_LOST = 5          # at 0.1 s
# With this downtime limit a migration ends when less than bandwidth times 1 ms
# is left: at the last of these rates, when nothing is left at all, and a guest
# that communicates always dirties something. {remaining share: bytes/s}
RATES = {0.25: 32 << 20, 0.05: 16 << 20, 0: 4 << 20}
ENDLESS = {"downtime_limit": 1}
FAST = {"max_bandwidth": 1 << 30, "downtime_limit": 300}


def state(source):
    info = source.qmp("query-migrate")
    assert info.get("status") not in ("failed", "cancelled"), info
    return info


def copied_once(source):
    """True once QEMU has begun to copy what became dirty; slows it down."""
    ram = state(source).get("ram")
    if not ram:
        return False
    share = ram["remaining"] / ram["total"]
    rate = next(rate for least, rate in RATES.items() if share >= least)
    source.qmp("migrate-set-parameters", max_bandwidth=rate)
    return ram["dirty-sync-count"] >= 2


def migrate(source, target, meanwhile):
    """Moves a guest; meanwhile() runs in the middle of it."""
    address = f"unix:{target.dir}/migration"
    target.qmp("migrate-incoming", uri=address)
    source.qmp("migrate-set-parameters", **ENDLESS)
    source.qmp("migrate", uri=address)
    wait_until(lambda: copied_once(source), 120, "a copy of all memory")
    meanwhile()
    assert state(source)["status"] == "active"
    source.qmp("migrate-set-parameters", **FAST)
    wait_until(lambda: state(source)["status"] == "completed", 120,
               "the migration")


def restart(rig):
    """glend dies by SIGKILL and comes back; then the guests are back, too."""
    rig.glend.restart()
    rig.link(1, True)
    rig.link(2, True)
    wait_until(lambda: rig.show(3)["vhost"]["connected"], 30, "the target")


@pytest.mark.parametrize("packed, dies", [
    (False, False), (True, False), (True, True)],
    ids=["split", "packed", "glend-dies"])
def test_migration(packed, dies):
    nic = {"packed": packed}
    mode = "client" if dies else "server"
    with Rig() as rig:
        source = rig.guest(1, mode, memory=MEMORY, nic=nic)
        peer = rig.guest(2, mode)
        source.up()
        peer.up()
        target = rig.guest(1, mode, port=3, memory=MEMORY, nic=nic,
                           incoming=True)
        # The queue must not hit the limit for all connections of a guest.
        source.run("echo 65536 65536 65536 >/proc/sys/net/ipv4/tcp_mem")
        # From the guest a stream that goes on all the time, checked as well.
        sink = peer.start("guest sink 7000")
        send = source.start(f"guest send {peer.ip} 7000 {1 << 40} {STOP}")
        late = source.start(f"guest sink 8000 {GO}")
        pings = peer.start(f"ping -q -i 0.1 {source.ip}")

        def fill():
            fill.send = peer.start(f"guest send {source.ip} 8000 {QUEUED}")
            if dies:
                wait_until(lambda: int(source.run("guest queued 8000")) > 0,
                           120, "the beginning of the queue")
                restart(rig)
            wait_until(lambda: int(source.run("guest queued 8000")) >= QUEUED,
                       120, "the queue")

        migrate(source, target, fill)
        rig.link(3, True)
        # It is the guest that went on there, not one that booted.
        assert target.run("cat /proc/uptime") and target.status == 0
        assert target.ping(peer.ip) == 0
        peer.run("killall -INT ping")
        lost = vm.lost(pings.wait(check=False))
        assert dies or lost <= PINGS_LOST, f"{lost} pings lost"
        source.close()
        rig.link(1, False)
        target.run(f"touch {GO} {STOP}")
        assert int(late.wait(target)) == QUEUED
        assert int(fill.send.wait()) == QUEUED
        assert int(send.wait(target)) == int(sink.wait()) > QUEUED
        assert peer.ping(target.ip6) == 0
