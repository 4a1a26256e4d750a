# SPDX-License-Identifier: BSD-2-Clause
# test_data.py - rings, wake-ups, switches, pipes, headers and monitors.
"""
The rules are points in data_*.c, as in test_api.py.
"""
import contextlib
import subprocess

import pytest

import glen
from programs import argv, cases, check_point


@pytest.mark.parametrize("way,point", cases("data"))
def test_rule(daemon, way, point):
    check_point(daemon, "data", way, point)


@contextlib.contextmanager
def role(daemon, name):
    """A role_ of the program, in switch vale1000; it must end well."""
    process = subprocess.Popen(
        argv("netmap_data_raw", f"role_{name}"), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**daemon.env, "NMT_SELF": "1"}, preexec_fn=glen.die_with_parent)
    try:
        yield process
        text, _ = process.communicate("\n", timeout=60)
        assert not process.returncode, text
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_destination_override_to_nobody(daemon):
    with role(daemon, "destination_override_to_nobody") as sender:
        assert sender.stdout.readline() == "sent\n"
        assert daemon.drops("vale1000:a")["in"]["in_no_port"] == 10
        assert daemon.drops("vale1000:b")["in"]["in_same_port"] == 6


def test_destination_override_forbidden(daemon):
    with role(daemon, "destination_override_forbidden") as sender:
        assert sender.stdout.readline() == "up\n"
        daemon.ctl("switch", "set", "vale1000", "named_ports=false")


def test_vnet_header_behind_a_tag(daemon):
    with role(daemon, "vnet_header_behind_a_tag") as sender:
        assert sender.stdout.readline() == "up\n"
        daemon.ctl("port", "set", "vale1000:a", "learn.mode=access",
                   "learn.vlan=5")
        daemon.ctl("port", "set", "vale1000:b", "learn.mode=trunk",
                   "learn.allowed=5")


def test_nothing_is_left(daemon):
    glen.wait_until(lambda: not daemon.rpc("stats")["ports"], 10,
                    "all ports are gone")
    daemon.check_identity()
