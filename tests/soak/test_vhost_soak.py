# SPDX-License-Identifier: BSD-2-Clause
# test_vhost_soak.py - 10^8 packets between vhost-user ports, each one checked.
"""
Front ends of our own (tests/peer/vhost_peer.c) exchange packets of all lengths
over split and packed virtqueues, 10^8 in all, every byte compared, there and
back. DPDK's virtio-user does the same with a hundredth of that, since on a
machine with two processors testpmd, which polls, has to share.

There are never more packets under way than a window, so nothing may be lost
however busy the machine is.

GLEN_SOAK is the number of packets (default 10^8 times GLEN_SCALE).
"""
import json
import os
import subprocess

import pytest

from glen import Glend, binary, die_with_parent, wait_until
from peers import Peer, assert_intact
from relay import CLIENTS, PORTS, Relay
from testpmd import why_not

PACKETS = int(float(os.environ.get("GLEN_SOAK", "0")))
WINDOW = 256
SIZE = 1024     # after a pause the peer goes beyond the window, bit by bit


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("options", [
    [], ["--event-idx", "--indirect"], ["--packed"],
    ["--packed", "--event-idx"]],
    ids=["split", "split-indirect", "packed", "packed-event-idx"])
def test_front_ends(options, scaled):
    # A round trip is two packets through the switch, and there are two
    # variants of each kind of virtqueue.
    trips = (PACKETS or scaled(10**8, least=10**5)) // 4
    with Glend() as glend:
        paths = [os.path.join(glend.dir, name) for name in "ab"]
        for name, path in zip("ab", paths):
            glend.rpc("port.add", port=f"sw0:{name}", driver="vhost-user",
                      path=path)
        with subprocess.Popen(
                [binary("vhost_peer"), "--count", str(trips), "--window",
                 str(WINDOW), "--size", str(SIZE), *options, "check", *paths], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, preexec_fn=die_with_parent) as peer:
            # It would end early with its standard input.
            out, err = peer.stdout.read(), peer.stderr.read()
        drops = [glend.drops(f"sw0:{name}") for name in "ab"]
        assert peer.returncode == 0, f"{out}{err}{drops}"
        ready, report = out.splitlines()
        report = json.loads(report)
        stats = glend.check_identity()
    assert ready == "ready"
    assert report["sent"] == trips
    for end in ("left", "right"):
        assert report[end]["received"] == trips, report
        assert not any(report[end][wrong] for wrong in
                       ("lost", "doubled", "corrupt", "error")), report
    for ways in drops:
        assert ways == {"in": {}, "out": {}}, drops
    assert stats["switches"][0]["in_packets"] >= 2 * trips


@pytest.mark.timeout(3600)
@pytest.mark.skipif(bool(why_not()), reason=why_not() or "")
@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_virtio_user(packed, scaled):
    packets = (PACKETS or scaled(10**8, least=10**5)) // 200
    with Glend() as glend, Relay(glend, packed=packed) as relay:
        relay.start()
        with Peer(glend, "check", *CLIENTS, window=WINDOW,
                  len_max=1514) as traffic:
            wait_until(lambda: relay.packets(PORTS[0], "in") >= packets, 3000,
                       f"{packets} packets there and back")
            assert_intact(traffic.stop())
        glend.check_identity()
        stats = relay.pmd.stop()
        assert not any(port["dropped"] for port in stats.values()), stats
        assert stats[1]["tx"] >= packets
