# SPDX-License-Identifier: BSD-2-Clause
# test_nic.py - interfaces by name: NIC rings, host rings, and on a switch.
"""
glend and the programs run in a namespace with a pair of interfaces; nic.c says
what it looks like. Its points run one after the other and leave the interface
as it was.
"""
import pytest

import glen
from programs import Daemon, cases, check_point


@pytest.fixture(scope="module")
def machine():
    """(Daemon, namespace)"""
    reason = glen.why_no_root()
    if reason:
        pytest.skip(reason)
    ns = glen.Netns().no_ipv6()
    ns.run("ip link add nm0 address 02:00:00:00:77:01 numtxqueues 2 "
           "numrxqueues 2 type veth peer name nm1 numtxqueues 2 "
           "numrxqueues 2 address 02:00:00:00:77:02")
    ns.run("ip addr add 10.77.0.1/24 dev nm0")
    ns.run("ip link set nm0 up")
    ns.run("ip link set nm1 up")
    ns.run("ip neigh add 10.77.0.2 lladdr 02:00:00:00:77:02 dev nm0")
    made = Daemon(workers=1, prefix=ns.argv([]))
    yield made, ns
    made.close()
    ns.close()


@pytest.mark.parametrize("way,point", cases("nic"))
def test_rule(machine, way, point):
    made, ns = machine
    check_point(made.get(), "nic", way, point, prefix=ns.argv([]))
