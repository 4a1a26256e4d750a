# SPDX-License-Identifier: BSD-2-Clause
# test_region.py - AF_XDP ports whose frames are buffers of a shared region.
import os
import random
import socket
import time

import pytest

import glen
import nic
from glen import RpcError, wait_until
from nic import Bed
from peers import Peer

REASON = glen.why_no_root() or nic.why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=str(REASON))

TOKEN = "00112233445566778899aabbccddeeff"
REGION = {"region": "nf", "region_token": TOKEN}


@pytest.fixture
def bed(glend, netns):
    glend.rpc("switch.add", switch="sw0", module="static")
    return Bed(glend, netns)


def wire(bed, **options):
    """A station whose frames a program on the same switch gets."""
    a = bed.station()
    bed.port(a, **REGION, **options)
    # Whatever offloads the sender leaves to the veth is copied: none here.
    a.run("ethtool -K eth tx off tso off gso off")
    return a


def join(bed, a, offsets):
    peer = Peer(bed.glend, "bounce", "sw0:p", **REGION, offsets=int(offsets))
    bed.glend.rpc("module.set", switch="sw0", module="static",
                  options={"map": {a.far: "p", "p": a.far}})
    return peer


def echo(a, n, seed=1):
    """Frames from the station come back whole."""
    rand = random.Random(seed)

    def open_socket():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                             socket.htons(0x88b5))
        sock.bind(("eth", 0x88b5))
        sock.settimeout(10)
        return sock

    sock = a.call(open_socket)
    head = bytes.fromhex("020000000099 0200000000aa 88b5".replace(" ", ""))
    for _ in range(n):
        frame = head + rand.randbytes(rand.randrange(46, 1501))
        sock.send(frame)
        while True:
            got, where = sock.recvfrom(2048)
            if where[2] != socket.PACKET_OUTGOING:
                break
        assert got == frame
    sock.close()


def exchanged(bed, port):
    return bed.glend.port_stats(f"sw0:{port}")["out"]["exchanged"]


def buffers(bed):
    (region,) = bed.glend.rpc("region.list")
    return region


@pytest.mark.parametrize("mode", ["native", "generic"])
@pytest.mark.parametrize("offsets", [False, True])
def test_frames_move_by_reference(bed, mode, offsets):
    """To the program if it takes packets behind XDP's headroom, and from it
    if that was asked for."""
    swap = mode == "native" or offsets
    a = wire(bed, mode=mode, swap=swap)
    free = buffers(bed)["free"]
    with join(bed, a, offsets) as peer:
        taken = free - buffers(bed)["free"]
        assert taken == 2 * 1024
        echo(a, 5000)
        assert exchanged(bed, "p") == (5000 if offsets else 0)
        assert exchanged(bed, a.far) == (5000 if swap else 0)
        assert bed.glend.drops("sw0:p") == {"in": {}, "out": {}}
    assert peer.report["packets"] == 5000
    wait_until(lambda: buffers(bed)["free"] == free, what="buffers come back")
    assert buffers(bed)["ports"] == [f"sw0:{a.far}"]
    bed.glend.check_identity()


def test_the_interface_comes_and_goes(bed):
    a = wire(bed)
    with join(bed, a, True):
        free = buffers(bed)["free"]
        for n in range(5):
            echo(a, 200, n)
            bed.sw.run(f"ip link set dev {a.far} down")
            wait_until(lambda: not bed.show(a)["link"], what="link down")
            bed.sw.run(f"ip link set dev {a.far} up")
            wait_until(lambda: bed.show(a)["link"], what="link up")
        echo(a, 200, 9)
        # What was in the program's hands may be in either port's.
        assert buffers(bed)["free"] == free


@pytest.mark.parametrize("offsets", [False, True])
def test_glend_is_killed(bed, offsets):
    """The port waits for the program, which has the region's memory."""
    a = wire(bed)
    with join(bed, a, offsets):
        echo(a, 500)
        for n in range(3):
            # Noted once a second: whether others are in the region.
            time.sleep(2.5)
            bed.glend.kill9()
            bed.glend.start()
            wait_until(lambda: bed.show(a)["link"] and
                       bed.glend.rpc("port.show", port="sw0:p")["attached"],
                       what="both are back", timeout=30)
            echo(a, 500, n)
        assert bed.glend.drops(f"sw0:{a.far}")["out"] == {}
        assert set(buffers(bed)["ports"]) == {"sw0:p", f"sw0:{a.far}"}


def test_refusals(bed):
    a = bed.station()
    with pytest.raises(RpcError, match="region_token is missing"):
        bed.port(a, region="nf")
    with pytest.raises(RpcError, match="without region=NAME"):
        bed.port(a, region_token=TOKEN)
    with pytest.raises(RpcError, match="without region=NAME"):
        bed.port(a, swap=True)
    with pytest.raises(RpcError, match="many|free|needed"):
        bed.port(a, **REGION, region_bufs=1000)
    bed.port(a, **REGION)
    with pytest.raises(RuntimeError, match="region_token must be"):
        Peer(bed.glend, "bounce", "sw0:p", region="nf", region_token="0" * 32)
    assert os.path.exists(bed.glend.socket)
