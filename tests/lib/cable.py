# SPDX-License-Identifier: BSD-2-Clause
# cable.py - a host with an interface and what is at the other end of its cable.
import json
import subprocess

from glen import Netns, wait_until

HOST4, FAR4, HOST6, FAR6 = "10.9.0.1", "10.9.0.2", "fd09::1", "fd09::2"


class Cable:
    """
    Namespaces host and far, joined by a veth pair: eth0 in host, far in far.
    With quiet nothing is sent unasked (no IPv6).
    """

    def __init__(self, quiet=True, mtu=1500, queues=1):
        self.host, self.far = Netns(), Netns()
        if quiet:
            self.host.no_ipv6()
            self.far.no_ipv6()
        self.quiet = quiet
        self.make(mtu, queues)

    def make(self, mtu=1500, queues=1):
        """The pair, with addresses; also after it was deleted."""
        many = f"numtxqueues {queues} numrxqueues {queues}"
        self.host.run(f"ip link add eth0 mtu {mtu} {many} type veth peer name "
                      f"far mtu {mtu} {many} netns {self.far.name}")
        for ns, name, four, six in ((self.host, "eth0", HOST4, HOST6),
                                    (self.far, "far", FAR4, FAR6)):
            ns.run(f"ip addr add {four}/24 dev {name}")
            if not self.quiet:
                ns.run(f"ip addr add {six}/64 dev {name} nodad")
            ns.run(f"ip link set {name} up")
        wait_until(lambda: self.host.links()["eth0"]["operstate"] == "UP",
                   what="carrier")

    @property
    def host_mac(self):
        return self.host.links()["eth0"]["address"]

    @property
    def far_mac(self):
        return self.far.links()["far"]["address"]

    def close(self):
        self.host.close()
        self.far.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def add_tap(glend, netns, quiet=True, switch="sw0", **options):
    """Another port of the switch: interface t in a namespace."""
    ns = netns()
    if quiet:
        ns.no_ipv6()
    glend.rpc("port.add", port=f"{switch}:t", driver="tap", netns=ns.name,
              **options)
    return ns


def mac_of(ns, ifname):
    return ns.links()[ifname]["address"]


def ping(ns, address, *args, count=3):
    """
    Every packet is answered. One after the other: of several, ping(8) waits
    for the last ones no longer than the first ones took.
    """
    ns.run(["sh", "-c", 'for i in $(seq "$0"); do ping -c 1 -W 20 "$@" || '
            'exit 1; done', str(count), *args, address], timeout=120)


def ping_anew(ns, address):
    """As ping(), by somebody who forgets that nobody answered before, once
    the kernel has taken a dead glend's programs off."""
    ns.run("ip neigh flush all")
    wait_until(lambda: " 0% packet loss" in ns.run(
        ["ping", "-c", "1", "-W", "1", address], check=False), what="a ping")
    ping(ns, address)


def counters(ns, ifname):
    """(received, sent) packets of an interface, as the kernel counts them."""
    link = json.loads(ns.run(f"ip -j -s link show {ifname}"))[0]["stats64"]
    return link["rx"]["packets"], link["tx"]["packets"]


def leftovers(ns, ifname="eth0"):
    """
    What glend would have to undo on an interface: programs and filters of tc,
    its qdiscs, promiscuous mode, helpers. Programs of bpf links do not show in
    tc: those end the host's traffic, which tests see otherwise.
    """
    links = ns.links()
    found = [name for name in links if name.startswith("glenh")]
    if ifname in links:
        for where in ("ingress", "egress"):
            text = ns.run(f"tc filter show dev {ifname} {where}", check=False)
            found += [line for line in text.splitlines() if "glen" in line]
        text = ns.run(f"tc qdisc show dev {ifname}")
        found += [line for line in text.splitlines() if "clsact" in line]
        if links[ifname].get("promiscuity"):
            found.append("promiscuous")
        if "xdp" in links[ifname]:
            found.append("xdp")
    return found


def iperf(server, client, address, *args):
    """Runs iperf3 for a second; returns its report."""
    process = server.popen("iperf3 -s -1", stdout=subprocess.DEVNULL)
    wait_until(lambda: ":5201" in server.run("ss -Hltn"), what="iperf3")
    try:
        return json.loads(client.run(
            ["iperf3", "-c", address, "-t", "1", "-J", *args]))
    finally:
        process.wait(60)
