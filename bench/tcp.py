# SPDX-License-Identifier: BSD-2-Clause
# tcp.py - TCP between two namespaces: glen's TAP ports or Linux' own bridge.
"""
iperf3 runs one second over glen, one second over bridge and veth, and so on;
both stay set up. Four namespaces: a and b are joined by glen, c and d by a
bridge in a fifth.
"""
import contextlib
import json

from glen import Netns, wait_until, why_missing, why_no_root
from pairs import Ratio
from scenes import Result, Skip, private_glend, scene

SECONDS = 1


def glen_join(glend, a, b):
    """TAP ports of one switch in both namespaces."""
    for ns, port, addr in ((a, "a", "10.77.0.1"), (b, "b", "10.77.0.2")):
        glend.rpc("port.add", port=f"tcp:{port}", driver="tap", netns=ns.name,
                  ifname="eth0")
        ns.run(f"ip addr add {addr}/24 dev eth0")
        ns.run("ip link set eth0 up")


def bridge_join(mid, a, b):
    """Linux' bridge in mid, veth pairs to a and b."""
    mid.run("ip link add br0 type bridge")
    mid.run("ip link set br0 up")
    for ns, port, addr in ((a, "toa", "10.78.0.1"), (b, "tob", "10.78.0.2")):
        mid.run(f"ip link add {port} type veth peer name eth0 "
                f"netns {ns.name}")
        mid.run(f"ip link set {port} master br0 up")
        ns.run(f"ip addr add {addr}/24 dev eth0")
        ns.run("ip link set eth0 up")


def iperf_once(ns, addr):
    """(bit/s that arrived, retransmissions) of one run."""
    text = ns.run(f"iperf3 -J -t {SECONDS} -c {addr}", check=False)
    report = json.loads(text)
    if "error" in report:
        raise RuntimeError(f"iperf3: {report['error']}")
    end = report["end"]
    return (end["sum_received"]["bits_per_second"],
            end["sum_sent"]["retransmits"])


@scene("tap-tcp")
def tap_tcp(options):
    why = why_no_root() or why_missing("iperf3")
    if why:
        raise Skip(why)
    pairs, lost, lost_there = [], 0, 0
    with contextlib.ExitStack() as stack:
        a, b, c, d, mid = (stack.enter_context(
            contextlib.closing(Netns().no_ipv6())) for _ in range(5))
        glend = stack.enter_context(private_glend())
        glen_join(glend, a, b)
        bridge_join(mid, c, d)
        for ns in (b, d):
            ns.popen("iperf3 -s", stdout=-3)
        for ns, addr in ((a, "10.77.0.2"), (c, "10.78.0.2")):
            wait_until(lambda n=ns, x=addr: "0% packet loss" in n.run(
                f"ping -c 1 -W 1 {x}", check=False), what="ping")
        for _ in range(max(options.pairs // 5, 5)):
            ours, n = iperf_once(a, "10.77.0.2")
            theirs, m = iperf_once(c, "10.78.0.2")
            pairs.append((ours / 1e9, theirs / 1e9))
            lost, lost_there = lost + n, lost_there + m
    yield Result("tap-tcp", Ratio(pairs), "iperf3 over two TAP ports",
                 "Linux bridge + veth", 0.5, 0.65, unit="Gbit/s",
                 invert=False, slice_ms=SECONDS * 1000,
                 note=f"retransmissions: {lost}, over the bridge "
                      f"{lost_there}")
