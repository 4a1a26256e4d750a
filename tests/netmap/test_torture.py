# SPDX-License-Identifier: BSD-2-Clause
# test_torture.py - descriptors that wander; programs that lie, die, come again.
"""
The rules are points in torture_*.c, as in test_api.py; the tests below run
roles of the same program beside each other.
"""
import os
import random
import time

import pytest

import glen
from programs import cases, check_point, descriptors, pending, start

PROGRAM = "netmap_torture_raw"


@pytest.mark.parametrize("way,point", cases("torture"))
def test_rule(daemon, way, point):
    check_point(daemon, "torture", way, point)


@pytest.fixture
def built(request):
    """A test that runs roles is skipped while its part is to come."""
    reason = pending("roles", request.node.name)
    if reason:
        pytest.skip(reason)


def no_ports(daemon):
    glen.wait_until(lambda: not daemon.rpc("stats")["ports"], 20,
                    "all ports are gone")


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def inventory(daemon):
    """What must be the same before and after."""
    no_ports(daemon)
    status = daemon.rpc("status")
    return {"descriptors": glen.wait_until(
                lambda: descriptors(daemon.pid), 5),
            "regions": len(daemon.rpc("region.list")),
            "switches": status["switches"]}


def role(daemon, name, count, seed=1, **kwargs):
    env = {**daemon.env, "NMT_COUNT": str(count), "NMT_SEED": str(seed)}
    return start_with(daemon, env, name, **kwargs)


def start_with(daemon, env, name, **kwargs):
    saved, daemon.env = daemon.env, env
    try:
        return start(daemon, PROGRAM, name, **kwargs)
    finally:
        daemon.env = saved


def ended(process, timeout=150):
    text, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, (
        f"{process.args} ended with {process.returncode}:\n{text}")


def test_ten_thousand_cycles(built, daemon, scaled):
    """
    Ports of all kinds, registered by processes that exit, crash or are killed,
    wherever they are. Afterwards glend has what it had before.
    """
    ended(role(daemon, "role_cycles", scaled(1000, 200), seed=7))
    before = inventory(daemon)
    memory = rss_kib(daemon.pid)
    ended(role(daemon, "role_cycles", scaled(10000, 500), seed=1000))
    assert daemon.process.poll() is None
    assert inventory(daemon) == before
    if not os.environ.get("SANITIZED"):
        assert rss_kib(daemon.pid) < memory + (16 << 10)
    daemon.check_identity()


def test_killed_at_random_points(built, daemon, scaled):
    """SIGKILL somewhere in a loop of REGISTER and close."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    dice = random.Random(seed)
    no_ports(daemon)
    before = inventory(daemon)
    for _ in range(scaled(60, 10)):
        process = role(daemon, "role_cycle", 1000000, dice.randrange(1 << 30))
        time.sleep(dice.random() * 0.06)
        process.kill()
        process.communicate()
    assert daemon.process.poll() is None
    assert inventory(daemon) == before
    # Nothing is wedged.
    ended(role(daemon, "role_cycle", 100))


@pytest.mark.parametrize("liar,victims", [
    ("role_corrupt_rings", "role_victims"),
    ("role_corrupt_window", "role_victims"),
    ("role_corrupt_rings", "role_pipe_ball"),
    ("role_corrupt_pipe", "role_pipe_victim"),
    ("role_corrupt_pipe_window", "role_pipe_victim")])
def test_liar_harms_nobody(built, daemon, scaled, liar, victims):
    """A program spoils everything in its reach while others run."""
    pid = daemon.pid
    others = role(daemon, victims, scaled(100000, 1000))
    ways = 0
    while others.poll() is None:
        process = role(daemon, liar, 200000, seed=ways + 1)
        try:
            process.wait(5)
        except Exception:    # it may hang: by its own doing
            process.kill()
        process.communicate()
        ways += 1
    ended(others)
    assert ways
    assert daemon.pid == pid and daemon.process.poll() is None
    no_ports(daemon)
    daemon.check_identity()
