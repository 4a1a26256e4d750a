# SPDX-License-Identifier: BSD-2-Clause
# test_programs.py - whole programs with libnetmap and nm_open() under glen-run.
"""
    generator (tx) ---> bridge ---> generator (rx)

netmap_generator uses libnetmap, netmap_bridge uses nm_open(); both sleep in
poll(). On a switch a slow receiver costs packets, in pipes none.
"""
import re
import signal

import pytest

import programs
from programs import pending, start


@pytest.fixture(autouse=True)
def built(request):
    reason = pending("programs", request.node.name.split("[")[0])
    if reason:
        pytest.skip(reason)


class Program:
    """A program that runs; its output is read when it has begun, and ended."""

    def __init__(self, daemon, name, *args, ready="region"):
        self.process = start(daemon, f"netmap_{name}", *args)
        self.text = ""
        while ready and ready not in self.text:
            line = self.process.stdout.readline()
            self.text += line
            assert line, f"netmap_{name} {args} ended:\n{self.text}"

    def end(self, timeout=120, number=None):
        """Waits, or sends a signal first; the last line's numbers."""
        if number:
            self.process.send_signal(number)
        text, _ = self.process.communicate(timeout=timeout)
        self.text += text
        assert self.process.returncode == 0, self.text
        last = self.text.strip().splitlines()[-1]
        return {key: int(value) for key, value in
                re.findall(r"(\w+) (\d+)", last)}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def test_generators_on_a_switch(daemon, scaled):
    n = scaled(1000000, 20000)
    with Program(daemon, "generator", "-i", "valeg:b", "-f", "rx", "-w",
                 "2000") as rx, \
            Program(daemon, "generator", "-i", "valeg:a", "-n", n) as tx:
        assert tx.end()["sent"] == n
        got = rx.end()
        assert got["bad"] == 0
        assert 0 < got["received"] <= n
        assert got["received"] + got["lost"] <= n
    daemon.check_identity()


@pytest.mark.parametrize("batch", [1, 7, 1024])
def test_generators_in_a_pipe(daemon, scaled, batch):
    n = scaled(500000, 20000)
    with Program(daemon, "generator", "-i", "netmap:pg}1", "-f", "rx", "-n",
                 n) as rx, \
            Program(daemon, "generator", "-i", "netmap:pg{1", "-n", n, "-b",
                    batch) as tx:
        assert rx.end() == {"received": n, "lost": 0, "bad": 0}
        assert tx.end()["sent"] == n


def test_bridge_of_two_pipes_swaps(daemon, scaled):
    n = scaled(300000, 20000)
    with Program(daemon, "bridge", "netmap:pb}1", "netmap:pb{2", ready="") \
            as bridge, \
            Program(daemon, "generator", "-i", "netmap:pb}2", "-f", "rx",
                    "-n", n) as rx, \
            Program(daemon, "generator", "-i", "netmap:pb{1", "-n", n) as tx:
        assert rx.end() == {"received": n, "lost": 0, "bad": 0}
        assert tx.end()["sent"] == n
        done = bridge.end(number=signal.SIGINT)
        assert done["forwarded"] == n and done["swapped"] == n


def test_bridge_of_two_switches(daemon, scaled):
    n = scaled(300000, 20000)
    with Program(daemon, "bridge", "valeg1:x", "valeg2:x", ready="") \
            as bridge, \
            Program(daemon, "generator", "-i", "valeg2:rx", "-f", "rx", "-w",
                    "2000") as rx:
        programs.wait_ports(daemon, 3)
        with Program(daemon, "generator", "-i", "valeg1:tx", "-n", n) as tx:
            assert tx.end()["sent"] == n
            got = rx.end()
            done = bridge.end(number=signal.SIGINT)
        assert got["bad"] == 0
        assert 0 < got["received"] <= done["forwarded"] <= n
    daemon.check_identity()


def test_rings_and_memory_by_name(daemon):
    """What libnetmap's names can say."""
    with Program(daemon, "generator", "-i",
                 "valeg:r@conf:rings=2,slots=256", "-f", "rx") as rx:
        assert "2 TX and 2 RX rings of 256 and 256 slots" in rx.text
        region = re.search(r"region (\d+)", rx.text)[1]
        with Program(daemon, "generator", "-i", "valeg:s@share:valeg:r",
                     "-f", "rx") as same, \
                Program(daemon, "generator", "-i", f"valeg:t@{region}",
                        "-f", "rx") as too, \
                Program(daemon, "generator", "-i", "valeg:u", "-f",
                        "rx") as other:
            assert re.search(r"region (\d+)", same.text)[1] == region
            assert re.search(r"region (\d+)", too.text)[1] == region
            assert re.search(r"region (\d+)", other.text)[1] != region
