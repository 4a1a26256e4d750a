# SPDX-License-Identifier: BSD-2-Clause
# test_vhost_fe.py - our vhost-user front end against somebody else's back end.
"""
tests/lib/vhost_fe.c stands in for guests in other tests. Here it is proved
against DPDK's vhost library, which is not ours: testpmd forwards between two
of its ports, and the front ends at both check every byte.
"""
import os
import subprocess
import tempfile

import pytest

import glen
from peers import VhostPeer, assert_intact

REASON = glen.why_missing("dpdk-testpmd")
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

WAYS = [
    {},
    {"kind": "qemu10", "event_idx": True, "indirect": True},
    {"kind": "dpdk", "split_header": True},
    {"kind": "cloud", "no_mergeable": True, "size": 1024, "window": 400},
    {"packed": True},
    {"packed": True, "kind": "dpdk", "event_idx": True, "indirect": True},
    {"buf_size": 256, "size": 1024},
    {"buf_size": 256, "size": 1024, "packed": True, "split_header": True},
    {"no_mergeable": True, "rx_chain": 4, "buf_size": 512, "size": 1024},
    {"restarts": 3, "event_idx": True},
    {"restarts": 3, "packed": True},
    {"reconnects": 3},
]


@pytest.fixture(scope="module")
def sockets():
    """Two sockets of a testpmd that forwards between them."""
    with tempfile.TemporaryDirectory(prefix="glen-vhost-") as folder:
        paths = [os.path.join(folder, name) for name in ("s0", "s1")]
        argv = ["dpdk-testpmd", "-l", "0-1", "--no-huge", "-m", "256",
                "--no-pci", "--no-telemetry",
                f"--file-prefix=glen{os.getpid()}"]
        for i, path in enumerate(paths):
            argv += ["--vdev", f"net_vhost{i},iface={path},queues=1"]
        argv += ["--", "-i", "--auto-start", "--total-num-mbufs=8192"]
        with open(os.path.join(folder, "log"), "w+b") as log:
            process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=log, stderr=log,
                preexec_fn=glen.die_with_parent)
            try:
                glen.wait_until(
                    lambda: process.poll() is not None or
                    b"testpmd>" in os.pread(log.fileno(), 1 << 20, 0),
                    60, "testpmd starts")
                said = os.pread(log.fileno(), 1 << 20, 0).decode()
                assert process.poll() is None, said
                yield paths
            finally:
                process.kill()
                process.wait()
                process.stdin.close()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(
    name if value is True else f"{name}={value}"
    for name, value in way.items()) or "plain")
def test_exchange(sockets, scaled, way):
    with VhostPeer(*sockets, count=scaled(10_000, 1000),
                   **way) as peer:
        peer.process.wait(60)
    assert_intact(peer.report)
