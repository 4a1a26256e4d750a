# SPDX-License-Identifier: BSD-2-Clause
# nic.py - forwarding between two veths: glend, Linux' bridge, testpmd.
"""
Three namespaces in a row, joined by veths. A sender in the first keeps its
interface busy, what arrives in the last is counted (veth_party.c), and in the
middle somebody forwards. Every forwarder has a row of its own, all alike.

    eth ---- x1  forwarder  x2 ---- eth
"""
import contextlib
import tempfile

from glen import Netns, binary, why_missing, why_no_root
from pairs import Play, compare, favour, promote
from scenes import Result, Skip, private_glend, scene
from vhost_sides import Testpmd

NEAR, FAR = "x1", "x2"      # the forwarder's interfaces


class Row:
    """The namespaces of one forwarder."""

    def __init__(self, stack):
        self.first, self.middle, self.last = (
            stack.enter_context(contextlib.closing(Netns().no_ipv6()))
            for _ in range(3))
        one = "numtxqueues 1 numrxqueues 1"
        for name, end in ((NEAR, self.first), (FAR, self.last)):
            self.middle.run(f"ip link add {name} {one} type veth peer name "
                            f"eth {one} netns {end.name}")
            self.middle.run(f"ip link set dev {name} up")
            self.middle.run(f"ethtool -K {name} gro on")
            end.run("ip link set dev eth up")

    def party(self, play, side, frame, pid=None):
        play.start(binary("veth_party"), play.share, side, frame,
                   self.first.path, self.last.path, *([pid] if pid else []))


def glen_row(stack, driver):
    row = Row(stack)
    glend = stack.enter_context(private_glend())
    favour(glend.pid)
    for name in (NEAR, FAR):
        glend.rpc("port.add", port=f"nic:{name}", driver=driver,
                  netns=row.middle.name)
    return row


def bridge_row(stack):
    row = Row(stack)
    row.middle.run("ip link add br0 type bridge")
    row.middle.run("ip link set dev br0 up")
    for name in (NEAR, FAR):
        row.middle.run(f"ip link set dev {name} master br0")
    return row


def testpmd_row(stack):
    """The row, and testpmd, which polls: it is to be stopped at times."""
    row = Row(stack)
    folder = stack.enter_context(
        tempfile.TemporaryDirectory(prefix="glen-bench-"))
    testpmd = stack.enter_context(contextlib.closing(Testpmd(
        folder, "afxdp", 1, [f"net_af_xdp{i},iface={name}"
                             for i, name in enumerate((NEAR, FAR))],
        ["--forward-mode=io"], 2,
        prefix=["nsenter", f"--net={row.middle.path}"])))
    testpmd.start_ports()
    testpmd.command("start")
    promote(testpmd.pid)
    return row, testpmd


def veth_scene(name, frame):
    @scene(name)
    def run(options):
        why = why_no_root() or why_missing("dpdk-testpmd", "ethtool",
                                                "nsenter")
        if why:
            raise Skip(why)
        with contextlib.ExitStack() as stack:
            rows = [glen_row(stack, "xdp"), bridge_row(stack)]
            row, testpmd = testpmd_row(stack)
            rows += [row, glen_row(stack, "packet")]
            play = stack.enter_context(Play(options.slice_ms))
            for i, row in enumerate(rows):
                row.party(play, i, frame, testpmd.pid if i == 2 else None)
            slices = play.run(len(rows), options.pairs)

        def result(suffix, side, other, what, to):
            return Result(name + suffix, compare(slices, side, other),
                          f"{what}, {frame} B", to)

        yield result("", 0, 1, "veth to veth, two AF_XDP ports",
                     "Linux' bridge")
        yield result("-testpmd", 0, 2, "veth to veth, two AF_XDP ports",
                     "testpmd io, net_af_xdp")
        yield result("-packet", 3, 1, "veth to veth, two packet ports",
                     "Linux' bridge")


veth_scene("xdp-veth", 60)
veth_scene("xdp-veth-1514", 1514)
