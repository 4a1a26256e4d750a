# SPDX-License-Identifier: BSD-2-Clause
# test_testpmd.py - vhost-user ports against DPDK's virtio-user ports.
"""
The traffic goes through both ports of a testpmd, which sends on what it gets
(tests/lib/relay.py). Each variant of the virtqueues carries two kinds:

  an exchange, never more than a window ahead, of frames of all lengths; each
  byte is compared. Nothing may be lost, whatever the machine does meanwhile.

  a flood as fast as it can be sent, with numbers and CRC32C. What does not
  arrive must have been counted as dropped, because a ring was full.
"""

import contextlib
import os

import pytest

from daemon import n_fds, settled_fds
from gen import Gen, gen_run
from glen import Glend, Stopwatch, wait_until
from peers import Peer, assert_intact
from relay import CLIENTS, PORTS, Relay
from testpmd import why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "")

WINDOW = 200
FLOWS = 64
END_MARKERS = 3         # per flow, that glen-gen sends
NEVER = ("reordered", "duplicated", "stale", "truncated", "corrupted",
         "foreign")

VARIANTS = {
    "split": {},
    "split-client": {"mode": "client"},
    "split-not-mergeable": {"mergeable": False},
    "split-in-order": {"in_order": True},
    "split-in-order-not-mergeable": {"in_order": True, "mergeable": False},
    "split-small": {"size": 64},
    "split-jumbo": {"jumbo": 9018},
    "split-2-queues": {"queues": 2},
    "split-4-queues": {"queues": 4, "mode": "client"},
    "packed": {"packed": True},
    "packed-client": {"packed": True, "mode": "client"},
    "packed-not-mergeable": {"packed": True, "mergeable": False},
    "packed-in-order": {"packed": True, "in_order": True},
    "packed-small": {"packed": True, "size": 64},
    "packed-jumbo": {"packed": True, "jumbo": 9018},
    "packed-4-queues": {"packed": True, "queues": 4},
}


def exchange(relay, packets, len_max=1514):
    """Sends so many there and back; none may be lost or changed."""
    glend = relay.glend
    already = relay.packets(PORTS[0], "in")
    # A quarter of a ring, since testpmd is slow to give buffers back.
    window = min(WINDOW, relay.guest.get("size", 1024) // 4)
    with Peer(glend, "check", *CLIENTS, window=window,
              len_max=len_max) as traffic:
        wait_until(lambda: relay.packets(PORTS[0], "in") - already >= packets,
                   120, f"{packets} packets there and back")
        assert_intact(traffic.stop())


def counts(relay):
    """
    Packets that went into testpmd, came out of it, reached whoever was the
    receiver then, and were dropped on the way there.
    """
    there = relay.packets(PORTS[0], "out")
    back = relay.packets(PORTS[1], "in")
    # The sums of a switch remember ports that are gone.
    switch = relay.glend.rpc("stats", switch="back")["switches"][0]
    reached = switch["out_packets"] - relay.packets(PORTS[1], "out")
    return there, back, reached, switch["drops"]


def flood(relay, packets, sizes):
    """Sends so many at once; what is missing was counted as dropped."""
    glend = relay.glend
    before = counts(relay)
    with Gen(glend, "recv", CLIENTS[1], "--until-end", "--idle", 5,
             "--slots", 4096) as receiver:
        sent = gen_run(glend, "send", CLIENTS[0], "--count", packets,
                       "--flows", FLOWS, "--size", sizes, "--slots", 4096)
        got = receiver.report()
    glend.check_identity()
    check, received = got["check"], got["received"]["packets"]
    assert not any(check[name] for name in NEVER), got
    assert sent["sent"]["packets"] == packets
    there, back, reached, dropped = (
        now - then for now, then in zip(counts(relay), before))
    # Nothing is lost in virtqueues.
    assert there == back == reached + dropped
    # All that it was given, but for end markers (it leaves after the first
    # ones) the receiver has seen.
    assert 0 < received <= reached <= received + END_MARKERS * FLOWS
    print(f"{packets} sent, {received} received, "
          f"{got['received']['pps'] / 1e6:.2f} Mpps")


def used_queues(glend, port, way):
    rings = glend.rpc("stats", port=port, rings=True)["ports"][0]["rings"]
    return [ring["ring"] for ring in rings if ring[way]["packets"]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_traffic(variant, scaled):
    options = VARIANTS[variant]
    queues = options.get("queues", 1)
    longest = 9000 if "jumbo" in options else 1514
    with Glend(workers=queues) as glend, Relay(glend, **options) as relay:
        relay.start()
        exchange(relay, scaled(20000, 2000), longest)
        flood(relay, scaled(200000, 20000), f"60-{longest}")
        flood(relay, scaled(200000, 20000), "60")
        # What floods take; the way back has one flow only.
        assert used_queues(glend, PORTS[0], "out") == list(range(queues))
        assert used_queues(glend, PORTS[1], "in") == list(range(queues))
        stats = relay.pmd.stop()
        assert not any(port["dropped"] for port in stats.values()), stats


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_driver_restarts(glend, packed, scaled):
    """The guest resets its card and sets it up anew, as in a reboot."""
    def started():
        show = glend.rpc("port.show", port=PORTS[0])["vhost"]
        return [queue["starts"] for queue in show["queues"]]

    with Relay(glend, packed=packed) as relay:
        relay.start()
        checksums = "off"
        for _ in range(3):
            exchange(relay, scaled(3000, 500))
            before = started()
            relay.pmd.stop()
            relay.pmd.command("port stop all")
            # testpmd resets the cards only if they are to have other features.
            checksums = "off" if checksums == "on" else "on"
            for port in range(2):
                relay.pmd.command(
                    f"port config {port} rx_offload tcp_cksum {checksums}")
            relay.pmd.command("port start all")
            relay.wait(True)
            relay.pmd.command("start")
            assert all(now > then for now, then in zip(started(), before))
        exchange(relay, scaled(3000, 500))


def guest_memory(glend):
    """Mappings of testpmd's memory in glend."""
    with open(f"/proc/{glend.pid}/maps", encoding="utf-8") as maps:
        return [line for line in maps if "nohuge" in line]


def has_new_ports(glend):
    """A port of a process has more descriptors in its first seconds."""
    folder = f"/proc/{glend.pid}/fd"
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"{folder}/{fd}").startswith("/memfd:glen-"):
                return True
    return False


@pytest.mark.parametrize("mode", ["server", "client"])
def test_testpmd_killed(mode, scaled):
    """
    It dies in the middle of traffic, and another one comes. Nothing is left
    of it in glend, and others on the same worker notice nothing.
    """
    with Glend() as glend, Relay(glend, mode) as relay, \
            Peer(glend, "check", "s:a", "s:b", window=WINDOW) as others:
        for port in CLIENTS:    # their descriptors would come and go
            glend.rpc("port.add", port=port, driver="shm")
        wait_until(lambda: not has_new_ports(glend), 60, "old ports")
        fds = n_fds(glend)
        for _ in range(scaled(5, 2)):
            relay.start()
            assert guest_memory(glend)
            with Gen(glend, "recv", CLIENTS[1], "--every", "0.05"), \
                    Gen(glend, "send", CLIENTS[0]):
                start = relay.packets(PORTS[1], "in")
                wait_until(lambda: relay.packets(PORTS[1], "in")
                           > start + 1000, 60, "traffic")
                relay.kill9()
                relay.wait(False)
            assert not guest_memory(glend)
            settled_fds(glend, fds)
        relay.start()
        exchange(relay, scaled(3000, 500))
        assert_intact(others.stop())


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_glend_killed(packed, scaled):
    """
    glend dies in the middle of traffic; the new one connects to testpmd by
    itself. What was under way may come twice (split: nothing else is lost than
    what found a port not there yet), and what lay in packed virtqueues is lost,
    because DPDK empties them when the other side comes back.
    """
    deaths = scaled(5, 2)
    with Glend() as glend, Relay(glend, "client", packed=packed) as relay:
        relay.start()
        with Peer(glend, "check", *CLIENTS, window=WINDOW) as traffic:
            for _ in range(deaths):
                wait_until(lambda: relay.packets(PORTS[0], "in") > 1000, 60,
                           "traffic")
                glend.kill9()
                watch = Stopwatch(traffic.pid, relay.pmd.pid)
                glend.start()
                wait_until(lambda: relay.packets(PORTS[0], "in") > 0, 60,
                           "traffic after a new start")
                print(f"traffic back {watch.seconds() * 1e3:.0f} ms after "
                      f"SIGKILL")
            wait_until(lambda: relay.packets(PORTS[0], "in") > 1000, 60,
                       "traffic")
            report = traffic.stop()
    assert report["sent"] > 1000 * deaths, report
    for end in ("left", "right"):
        assert report[end]["corrupt"] == 0, report
        assert not report[end]["error"], report
        assert report[end]["lost"] <= deaths * 2 * WINDOW, report
        assert report[end]["reconnects"] == deaths, report


def test_glend_killed_listening(scaled):
    """
    Where glend listens, DPDK does not connect a second time: a new testpmd
    finds the socket, which the new glend has made anew.
    """
    with Glend() as glend, Relay(glend) as relay:
        for _ in range(scaled(3, 2)):
            relay.start()
            exchange(relay, scaled(3000, 500))
            # Else the new glend would wait for the clients, which have gone.
            wait_until(lambda: len(glend.rpc("port.list")) == len(PORTS))
            glend.kill9()
            glend.start()
            assert not glend.rpc("port.show", port=PORTS[0])["link"]
            relay.kill9()
        relay.start()
        exchange(relay, scaled(3000, 500))
