# SPDX-License-Identifier: BSD-2-Clause
# test_netmap_rings.py - interfaces of the host, opened by name as netmap ports.
import contextlib
import errno
import os
import subprocess

import pytest

import glen
from cable import FAR4, Cable
from glen import Glend, RpcError, wait_until
from nmraw import ALL_NIC, NIC_SW, ONE_SW, SW, Open, frame

pytestmark = pytest.mark.skipif(bool(glen.why_no_root()),
                                reason=str(glen.why_no_root()))


@pytest.fixture
def host():
    """A glend on the host of a cable, and the cable."""
    with Cable(quiet=False) as cable:
        with Glend(prefix=["ip", "netns", "exec", cable.host.name]) as g:
            yield g, cable


def relay(op, process):
    """NIC rings to host rings and back, as long as the process runs."""
    n_rx, n_tx = op.info["n_rx"], op.info["n_tx"]
    while process.poll() is None:
        for i in range(n_rx + op.info["n_host_rx"]):
            got = op.rx(i).take()
            if got:
                op.tx(n_tx if i < n_rx else 0).send(got[0])


def test_host_and_wire_meet_in_the_program(host):
    glend, cable = host
    with Open(glend.socket) as a:
        info = a.register("eth0", NIC_SW, interface=True)
        assert info["kind"] == "nic" and info["mem_id"] == 1
        assert info["n_host_tx"] == info["n_host_rx"] == 1
        # Nothing passes but through the program.
        assert "100% packet loss" in cable.host.run(
            f"ping -c1 -W1 {FAR4}", check=False)
        with subprocess.Popen(
                ["ip", "netns", "exec", cable.host.name, "ping", "-c", "3",
                 "-i", "0.2", "-W", "5", FAR4], stdout=subprocess.PIPE,
                text=True) as ping:
            relay(a, ping)
            assert " 0% packet loss" in ping.stdout.read()
    wait_until(lambda: not glend.rpc("port.list"), what="the end of it")
    assert glend.rpc("switch.list") == [] and glend.rpc("region.list") == []
    cable.host.run(f"ping -c1 -W5 {FAR4}")


def test_modes_and_who_is_busy(host):
    glend, _ = host
    with Open(glend.socket) as a, Open(glend.socket) as b:
        assert b.register("eth0", SW, interface=True)["tx_first"] > 0
        assert not b.tx(0) and b.tx(b.info["n_tx"])
        a.register("eth0", ONE_SW, ringid=0, interface=True)
        assert a.info["region"] == b.info["region"]
        with Open(glend.socket) as c, pytest.raises(RpcError) as e:
            c.register("eth0", ONE_SW, ringid=1, interface=True)
        assert -e.value.code == errno.EINVAL
        with pytest.raises(RpcError) as e:
            glend.rpc("netmap.vale_attach", name="vale0:eth0", mode=ALL_NIC,
                      interface=True)
        assert -e.value.code == errno.EBUSY
    wait_until(lambda: not glend.rpc("port.list"), what="the end of it")
    glend.rpc("netmap.vale_attach", name="vale0:eth0", mode=NIC_SW,
              interface=True)
    names = {p["port"] for p in glend.rpc("port.list")}
    assert names == {"vale0:eth0", "vale0:eth0^"}
    for name in ("eth0", "vale0:eth0"):
        with Open(glend.socket) as c, pytest.raises(RpcError) as e:
            c.register(name, interface=True)
        assert -e.value.code == errno.EBUSY
    with Open(glend.socket) as c:
        c.register("vale0:c")
        c.tx().send(frame(9, 1, b"to the wire"))
    poll = {"name": "vale0:eth0", "mode": 1, "num_polling_cpus": 1}
    glend.rpc("netmap.vale_polling", enable=True, **poll)
    for code, call in ((errno.EFAULT, lambda: glend.rpc(
            "netmap.vale_polling", enable=True, **poll)),
            (errno.EBUSY, lambda: glend.rpc("netmap.vale_detach",
                                            name="vale0:eth0"))):
        with pytest.raises(RpcError) as e:
            call()
        assert -e.value.code == code
    glend.rpc("netmap.vale_polling", enable=False, **poll)
    glend.rpc("netmap.vale_detach", name="vale0:eth0")
    wait_until(lambda: not glend.rpc("port.list"), what="the end of it")
    assert glend.rpc("switch.list") == []


def test_interface_that_goes(host):
    glend, cable = host
    before = len(os.listdir(f"/proc/{glend.pid}/fd"))
    with Open(glend.socket) as a:
        a.register("eth0", NIC_SW, interface=True)
        cable.host.run("ip link del eth0")
        # Its descriptor may hang up before that.
        with contextlib.suppress(BrokenPipeError):
            a.tx(0).send(frame(9, 1))
    wait_until(lambda: not glend.rpc("port.list"), what="the end of it")
    wait_until(lambda: len(os.listdir(f"/proc/{glend.pid}/fd")) <= before,
               what="descriptors closed")
