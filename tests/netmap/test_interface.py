# SPDX-License-Identifier: BSD-2-Clause
# test_interface.py - interfaces opened by name, and the host behind them.
import contextlib
import errno
import os
import socket
import subprocess

import pytest

import glen
from cable import FAR4, HOST4, Cable, leftovers, ping, ping_anew
from glen import Glend, RpcError, wait_until
from nmraw import (ALL_NIC, EXCLUSIVE, NIC_SW, ONE_NIC, ONE_SW, SW, Open,
                   frame)
from programs import argv

MON_TX, MON_RX, ZCOPY = 0x100, 0x200, 0x400

pytestmark = pytest.mark.skipif(bool(glen.why_no_root()),
                                reason=str(glen.why_no_root()))


@pytest.fixture
def cable():
    """A host with interface eth0, and what is at the other end of it."""
    with Cable() as made:
        yield made


def inode(ns):
    return os.stat(f"/run/netns/{ns.name}").st_ino


@contextlib.contextmanager
def nic(glend, cable, mode=ALL_NIC, **params):
    """eth0 of the cable's host, as a program there opens it."""
    with Open(glend.socket) as op:
        op.register("eth0", mode, interface=True, netns=inode(cable.host),
                    **params)
        yield op


def gone(glend, cable):
    """All is as it was before anybody opened the interface."""
    wait_until(lambda: not glend.rpc("port.list"), what="ports closed")
    assert glend.rpc("switch.list") == []
    assert glend.rpc("region.list") == []
    wait_until(lambda: not leftovers(cable.host), what="nothing is left")


def sniffer(ns, ifname):
    """A packet socket of what arrives, there."""
    def make():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                             socket.htons(0x88b5))
        sock.bind((ifname, 0))
        sock.settimeout(20)
        return sock

    return ns.call(make)


def taken(ring):
    """The next frame of the tests' own in an RX ring."""
    def look():
        while True:
            got = ring.take()
            if not got or got[0][12:14] == b"\x88\xb5":
                return got

    return wait_until(look, what="a frame")[0]


def pump(pairs):
    """Moves what came in RX rings on to TX rings; how many."""
    n = 0
    for rx, tx in pairs:
        while (got := rx.take()):
            tx.send(got[0])
            n += 1
    return n


def test_nic_rings_are_the_wire(glend, cable):
    with nic(glend, cable) as op, sniffer(cable.far, "far") as far:
        info = op.info
        assert (info["kind"], info["name"], info["mem_id"], info["n_tx"],
                info["n_rx"], info["n_host_tx"], info["n_host_rx"]) == (
                    "nic", "eth0", 1, 1, 1, 1, 1)
        assert op.tx(1) is None and op.rx(1) is None
        for i in range(100):
            op.tx().send(frame(9, 1, b"out %d" % i))
            assert far.recv(2048) == frame(9, 1, b"out %d" % i)
            far.send(frame(1, 9, b"in %d" % i))
            assert taken(op.rx()) == frame(1, 9, b"in %d" % i)
        # The host is cut off: what it sends would be in the host rings.
        done = cable.host.run(["ping", "-c", "1", "-W", "0.3", FAR4],
                              check=False)
        assert " 100% packet loss" in done
        show = glend.rpc("port.show", port="netmap.nic.eth0:rings")
        assert (show["kind"], show["opens"]) == ("nic", 1)
    gone(glend, cable)
    ping_anew(cable.host, FAR4)


def test_program_between_wire_and_host(glend, cable):
    with nic(glend, cable, NIC_SW) as op:
        rx = [op.rx(0), op.rx(1)]
        tx = [op.tx(0), op.tx(1)]
        assert all(rx) and all(tx)
        assert rx[1].ringid == 1 and tx[1].ringid == 1
        process = cable.host.popen(["ping", "-c", "5", "-i", "0.05", "-W",
                                    "20", FAR4], stdout=subprocess.PIPE)
        while process.poll() is None:
            # What the wire brings is the host's, and the other way round.
            pump([(rx[0], tx[1]), (rx[1], tx[0])])
        assert b" 0% packet loss" in process.stdout.read()
    gone(glend, cable)
    ping_anew(cable.host, FAR4)


def test_host_rings_alone_leave_the_wire_to_the_host(glend, cable):
    with nic(glend, cable, SW) as op, nic(glend, cable, ONE_SW) as one:
        assert op.tx(0) is None and op.rx(0) is None
        assert one.rx(1) and one.tx(1)
        with sniffer(cable.far, "far") as far, \
                sniffer(cable.host, "eth0") as host:
            far.send(frame(1, 9, b"from the wire"))
            assert host.recv(2048) == frame(1, 9, b"from the wire")
            host.send(frame(9, 1, b"from the host"))
            assert taken(op.rx(1)) == frame(9, 1, b"from the host")
            op.tx(1).send(frame(1, 9, b"to the host"))
            assert host.recv(2048) == frame(1, 9, b"to the host")
            # NIC rings that come later take the wire.
            with nic(glend, cable) as both:
                far.send(frame(1, 9, b"for the rings"))
                assert taken(both.rx()) == frame(1, 9, b"for the rings")
                both.tx().send(frame(9, 1, b"last"))
            assert far.recv(2048) == frame(9, 1, b"last")

            def back():
                far.send(frame(1, 9, b"the host's again"))
                host.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    return host.recv(2048) == frame(1, 9,
                                                    b"the host's again")

            wait_until(back, what="the wire is the host's again")
    gone(glend, cable)


def test_rings_are_the_queues(glend):
    with Cable(queues=4) as cable:
        cable.host.run("ethtool -L eth0 rx 3 tx 4")
        with nic(glend, cable, NIC_SW, host_tx_rings=2, host_rx_rings=3,
                 tx_slots=256, rx_slots=64) as op:
            info = op.info
            assert [info[k] for k in ("n_tx", "n_rx", "n_host_tx",
                                      "n_host_rx", "tx_slots", "rx_slots")
                    ] == [4, 3, 2, 3, 256, 64]
            assert all(op.tx(i) for i in range(6))
            assert all(op.rx(i) for i in range(6))
            with nic(glend, cable, ONE_NIC, ringid=2) as one:
                assert one.tx(2) and one.rx(2) and not one.tx(1)
                assert one.info["member"] == info["member"]
        gone(glend, cable)


def test_ring_i_is_queue_i(glend):
    """What leaves queue i at one end of a veth pair comes in queue i."""
    n = 4
    with Cable(queues=n) as cable, Open(glend.socket) as far, \
            nic(glend, cable) as near:
        far.register("far", ALL_NIC, interface=True, netns=inode(cable.far))
        for a, b in ((far, near), (near, far)):
            assert a.info["n_tx"] == b.info["n_rx"] == n
            for i in [i % n for i in range(40)]:
                # All are of one flow.
                one = frame(9, 1, b"queue %d" % i)
                a.tx(i).send(one)
                assert taken(b.rx(i)) == one
                for j in range(n):
                    assert b.rx(j).take() is None
    wait_until(lambda: not glend.rpc("port.list"), what="ports closed")


def info_of(glend, cable, **params):
    with glen.Rpc(glend.socket) as rpc:
        return rpc.call("netmap.info", dict(
            name="eth0", interface=True, netns=inode(cable.host), **params))


def test_info_opens_nothing(glend, cable):
    info = info_of(glend, cable)
    assert (info["tx_rings"], info["rx_rings"], info["host_tx_rings"],
            info["mem_id"]) == (1, 1, 1, 1)
    assert glend.rpc("port.list") == [] and not leftovers(cable.host)
    with nic(glend, cable, tx_slots=64):
        assert info_of(glend, cable)["tx_slots"] == 64
    gone(glend, cable)


def refused(code, glend, cable, *args, **params):
    with pytest.raises(RpcError) as e, nic(glend, cable, *args, **params):
        pass
    assert -e.value.code == code, e.value.message
    return e.value.message


def test_exclusive_and_shared_opens(glend, cable):
    with nic(glend, cable, flags=EXCLUSIVE):
        refused(errno.EBUSY, glend, cable)
        with nic(glend, cable, SW):
            refused(errno.EBUSY, glend, cable, SW, flags=EXCLUSIVE)
    gone(glend, cable)


def test_ports_of_switches_are_busy(glend, cable):
    for driver in ("xdp", "packet"):
        glend.rpc("port.add", port="sw0:x", driver=driver, ifname="eth0",
                  netns=cable.host.name)
        assert "sw0:x" in refused(errno.EBUSY, glend, cable)
        glend.rpc("port.del", port="sw0:x")
    with nic(glend, cable):
        pass
    gone(glend, cable)


def test_without_privileges(netns):
    """glend may not take interfaces: it says so, and what would help."""
    reason = glen.why_missing("setpriv")
    if reason:
        pytest.skip(reason)
    ns = netns()
    ns.run("ip link add eth0 type veth peer name far")
    ns.run("ip link set eth0 up")
    daemon = Glend(start=False, prefix=ns.argv([
        "setpriv", "--reuid", "65534", "--regid", "65534",
        "--clear-groups"]))
    os.chmod(daemon.dir, 0o777)
    with daemon:
        daemon.start()
        with Open(daemon.socket) as op:
            for mode in (ALL_NIC, SW):
                with pytest.raises(RpcError, match="CAP_") as e:
                    op.register("eth0", mode, interface=True)
                assert -e.value.code == errno.EPERM
                assert e.value.message in daemon.log_text()
            assert daemon.rpc("port.list") == []
            assert daemon.rpc("switch.list") == []
            # Ports of switches need none.
            op.register("vale0:a")


def test_names_are_of_the_caller_s_namespace(glend, cable):
    with Cable() as other:
        with nic(glend, cable) as a, nic(glend, other) as b:
            assert a.info["offset"] != b.info["offset"]
            for op, where in ((a, cable), (b, other)):
                with sniffer(where.far, "far") as far:
                    op.tx().send(frame(9, 1, where.far.name.encode()))
                    assert far.recv(2048) == frame(
                        9, 1, where.far.name.encode())
        gone(glend, other)
    with Open(glend.socket) as op:
        # This process's own namespace, in which glend is, too.
        with pytest.raises(RpcError) as e:
            op.register("nosuch", interface=True)
        assert -e.value.code == errno.ENXIO
        with pytest.raises(RpcError) as e:
            op.register("eth0", interface=True, netns=1)
        assert -e.value.code == errno.ENXIO
        assert "another network namespace" in e.value.message
    gone(glend, cable)


def hung_up(op):
    try:
        with socket.socket(fileno=os.dup(op.h)) as sock:
            return sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False


def test_interface_is_deleted(glend, cable):
    with nic(glend, cable) as op:
        cable.host.run("ip link del eth0")
        wait_until(lambda: hung_up(op), what="a hang-up")
        wait_until(lambda: not glend.rpc("port.list"), what="ports closed")
        cable.make()
        with nic(glend, cable) as again, sniffer(cable.far, "far") as far:
            again.tx().send(frame(9, 1, b"a new one"))
            assert far.recv(2048) == frame(9, 1, b"a new one")
    gone(glend, cable)


def test_interface_goes_down_and_up(glend, cable):
    with nic(glend, cable) as op, sniffer(cable.far, "far") as far:
        cable.far.run("ip link set far down")
        op.tx().send(frame(9, 1, b"lost"))
        cable.far.run("ip link set far up")

        def through():
            op.tx().send(frame(9, 1, b"found"))
            far.settimeout(0.05)
            with contextlib.suppress(OSError):
                return far.recv(2048) == frame(9, 1, b"found")

        wait_until(through, what="a frame")
        assert not hung_up(op)
    gone(glend, cable)


def test_port_deleted_by_somebody(glend, cable):
    for port in ("wire", "rings", "host-rings", "wire^"):
        with nic(glend, cable, NIC_SW) as op:
            glend.rpc("port.del", port=f"netmap.nic.eth0:{port}")
            wait_until(lambda op=op: hung_up(op), what="a hang-up")
        gone(glend, cable)
    with nic(glend, cable) as op:
        glend.rpc("switch.del", switch="netmap.nic.eth0")
        wait_until(lambda: hung_up(op), what="a hang-up")
    gone(glend, cable)


def test_glend_is_killed(cable):
    with Glend() as glend:
        op = Open(glend.socket)
        op.register("eth0", NIC_SW, interface=True, netns=inode(cable.host))
        glend.kill9()
        wait_until(lambda: not leftovers(cable.host), what="all is undone")
        ping_anew(cable.host, FAR4)
        op.close()


def test_monitors(glend, cable):
    refused(errno.EINVAL, glend, cable, flags=MON_RX)
    with nic(glend, cable, flags=EXCLUSIVE) as op, \
            nic(glend, cable, flags=MON_RX | MON_TX) as both, \
            nic(glend, cable, flags=MON_TX | ZCOPY) as sent, \
            sniffer(cable.far, "far") as far:
        assert [m.info["kind"] for m in (op, both)] == ["nic", "monitor"]
        assert both.info["mem_id"] != 1 and sent.info["mem_id"] == 1
        for i in range(20):
            out, in_ = frame(9, 1, b"out %d" % i), frame(1, 9, b"in %d" % i)
            op.tx().send(out)
            assert far.recv(2048) == out
            far.send(in_)
            assert taken(op.rx()) == in_
            assert [taken(both.rx()) for _ in range(2)] == [out, in_]
            assert taken(sent.rx()) == out
        glend.check_identity()
    gone(glend, cable)


def test_what_was_sent_before_the_close_leaves(glend, cable):
    with sniffer(cable.far, "far") as far:
        for i in range(20):
            with nic(glend, cable) as op:
                for k in range(10):
                    op.tx().put(frame(9, 1, b"%d" % (i * 10 + k)))
                op.tx().publish(op.tx().head)
            for k in range(10):
                assert far.recv(2048) == frame(9, 1, b"%d" % (i * 10 + k))
    gone(glend, cable)


def test_cycles_leave_nothing(glend, cable):
    def files():
        return len(os.listdir(f"/proc/{glend.pid}/fd"))

    with nic(glend, cable):
        pass
    gone(glend, cable)
    before = files()
    for i in range(20):
        with nic(glend, cable, (ALL_NIC, SW, NIC_SW)[i % 3]):
            pass
    gone(glend, cable)
    wait_until(lambda: files() == before, what="descriptors closed")
    ping_anew(cable.host, FAR4)


def test_programs(glend, cable):
    """A generator at one end, a receiver that opens the interface."""
    def program(ns, *args):
        return ns.popen(argv("netmap_generator", *args), env=glend.env,
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                        text=True)

    rx = program(cable.far, "-i", "netmap:far", "-f", "rx", "-n", "1000")
    wait_until(lambda: "netmap.nic.far" in {
        s["switch"] for s in glend.rpc("switch.list")}, what="a receiver")
    tx = program(cable.host, "-i", "netmap:eth0", "-f", "tx", "-n", "1000",
                 "-b", "32")
    try:
        sent = tx.communicate(timeout=60)[0]
        got = rx.communicate(timeout=60)[0]
    finally:
        for process in (rx, tx):
            process.kill()
            process.wait()
    assert sent.splitlines()[-1] == "sent 1000"
    assert got.splitlines()[-1] == "received 1000 lost 0 bad 0"
    gone(glend, cable)
    ping(cable.far, HOST4)
