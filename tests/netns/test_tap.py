# SPDX-License-Identifier: BSD-2-Clause
# test_tap.py - TAP ports between network namespaces, with real traffic.
import json
import os
import re
import struct
import subprocess
import sys
import time

import pytest
from scapy.all import (Dot1AD, Dot1Q, Ether, ICMP, IP, Raw, UDP,
                       raw, rdpcap, wrpcap)

import glen
from glen import Glend, RpcError, wait_until
from gso import NOBODY, big_packet, check_segments, checksums_hold

pytestmark = pytest.mark.skipif(bool(glen.why_no_root()),
                                reason=str(glen.why_no_root()))



def add_tap(glend, ns, port, **options):
    """Adds port sw0:PORT with a TAP of the same name in ns."""
    return glend.rpc("port.add", port=f"sw0:{port}", driver="tap",
                     netns=ns.name, **options)


def mac_of(ns, ifname):
    return ns.links()[ifname]["address"]


def two_taps(glend, netns, quiet=True, **options):
    """Namespaces a and b with interfaces a (10.0.0.1) and b (10.0.0.2)."""
    spaces = []
    for i, name in enumerate("ab"):
        ns = netns()
        if quiet:
            ns.no_ipv6()
        add_tap(glend, ns, name, address=f"10.0.0.{i + 1}/24", **options)
        spaces.append(ns)
    return spaces


def ping(ns, address, *args):
    text = ns.run(["ping", "-c", "3", "-i", "0.01", "-W", "5", *args,
                   address])
    assert re.search(r" 0% packet loss", text), text


def frame(src, dst=NOBODY, **kwargs):
    return Ether(src=src, dst=dst, type=0x88b5, **kwargs)


def tap_drops(ns, ifname):
    """What the kernel dropped because nobody read the TAP fast enough."""
    link = json.loads(ns.run(f"ip -j -s link show {ifname}"))[0]
    return link["stats64"]["tx"]["dropped"]


# Plain traffic

def test_ping_ipv4(glend, netns):
    a, b = two_taps(glend, netns)
    ping(a, "10.0.0.2")
    ping(b, "10.0.0.1", "-s", "1400")
    stats = glend.check_identity()
    for port in stats["ports"]:
        assert port["in"]["packets"] >= 6 and port["out"]["packets"] >= 6
        assert not port["in"]["drops"] and not port["out"]["drops"]


def test_ping_ipv6(glend, netns):
    a, b = netns(), netns()
    add_tap(glend, a, "a", address=["fd00::1/64", "10.0.0.1/24,10.1.0.1/24"])
    add_tap(glend, b, "b", address="fd00::2/64")
    wait_until(lambda: "tentative" not in
               a.run("ip -6 addr") + b.run("ip -6 addr"),
               what="duplicate address detection")
    ping(a, "fd00::2")
    text = a.run("ip -4 addr show a")
    assert "10.0.0.1/24" in text and "10.1.0.1/24" in text
    glend.check_identity()


@pytest.mark.parametrize("tags", [
    Dot1Q(vlan=5, prio=3), Dot1Q(vlan=4095, id=1), Dot1AD(vlan=7) / Dot1Q(
        vlan=8)], ids=["q", "dei", "ad-q"])
def test_vlan_tags_pass(glend, netns, tags):
    a, b = two_taps(glend, netns)
    with a.wire("a") as out, b.wire("b") as into:
        sent = raw(Ether(src=mac_of(a, "a"), dst=NOBODY) / tags /
                   IP(src="1.2.3.4", dst="5.6.7.8") / UDP(sport=1, dport=2) /
                   Raw(bytes(range(64))))
        out.send(sent)
        assert into.recv_n(1, want=lambda f: f == sent) == [sent]
    glend.check_identity()


@pytest.mark.parametrize("size", [14, 15, 59, 60, 63, 64, 65, 127, 128, 1514])
def test_sizes_pass_unchanged(glend, netns, size):
    a, b = two_taps(glend, netns)
    sent = (raw(frame(mac_of(a, "a"))) + os.urandom(1500))[:size]
    with a.wire("a") as out, b.wire("b") as into:
        out.send(sent)
        assert into.recv_n(1, want=lambda f: f == sent) == [sent]
    assert glend.port_stats("sw0:b")["out"]["bytes"] >= size
    glend.check_identity()


# MTU, MAC, state

def test_jumbo_frames(glend, netns):
    a, b = two_taps(glend, netns, mtu=9000)
    assert a.links()["a"]["mtu"] == 9000
    ping(a, "10.0.0.2", "-M", "do", "-s", str(9000 - 28))
    glend.rpc("port.set", port="sw0:a", mtu=4000)
    assert a.links()["a"]["mtu"] == 4000
    glend.rpc("port.set", port="sw0:a", mtu=9000)
    glend.check_identity()


def test_longer_than_the_destination_mtu(glend, netns):
    a, b = netns().no_ipv6(), netns().no_ipv6()
    add_tap(glend, a, "a", mtu=9000)
    add_tap(glend, b, "b", mtu=1500)
    head = raw(frame(mac_of(a, "a")))
    tagged = raw(Ether(src=mac_of(a, "a"), dst=NOBODY) / Dot1Q(
        vlan=5, type=0x88b5))
    with a.wire("a") as out, b.wire("b") as into:
        out.send(head + bytes(1501))
        out.send(head + bytes(1500))
        out.send(tagged + bytes(1500))
        got = into.recv_n(2, want=lambda f: b"\x88\xb5" in f[:20])
    assert [len(f) for f in got] == [1514, 1518]
    assert glend.drops("sw0:b")["out"] == {"out_oversize": 1}
    glend.check_identity()


def test_mac_is_set_changed_and_stable(glend, netns):
    a = netns()
    shown = add_tap(glend, a, "a", mac="02:11:22:33:44:55")
    assert shown["mac"] == mac_of(a, "a") == "02:11:22:33:44:55"
    glend.rpc("port.set", port="sw0:a", mac="02:11:22:33:44:66")
    assert mac_of(a, "a") == "02:11:22:33:44:66"
    with pytest.raises(RpcError) as info:
        glend.rpc("port.set", port="sw0:a", mac="01:11:22:33:44:66")
    assert info.value.code == -22
    assert mac_of(a, "a") == "02:11:22:33:44:66"
    add_tap(glend, a, "b")
    first = mac_of(a, "b")
    assert int(first[:2], 16) & 3 == 2      # local, not a group
    glend.rpc("port.del", port="sw0:b")
    add_tap(glend, a, "b")
    assert mac_of(a, "b") == first


def test_up_and_addresses_change(glend, netns):
    a = netns()
    add_tap(glend, a, "a", up=False, address="10.0.0.1/24")
    assert "UP" not in a.links()["a"]["flags"]
    assert not glend.rpc("port.show", port="sw0:a")["link"]
    shown = glend.rpc("port.set", port="sw0:a", up=True,
                      address=["10.0.0.2/24", "fd00::2/64"])
    assert shown["link"]
    assert "UP" in a.links()["a"]["flags"]
    text = a.run("ip addr show a")
    assert "10.0.0.2/24" in text and "fd00::2/64" in text
    assert "10.0.0.1/24" not in text
    glend.rpc("port.set", port="sw0:a", up=False)
    glend.rpc("port.set", port="sw0:a", up=True)
    assert "fd00::2/64" in a.run("ip addr show a")
    with pytest.raises(RpcError, match="queues"):
        glend.rpc("port.set", port="sw0:a", queues=2)


def test_topology_changes_a_live_interface(glend, netns):
    a = netns()
    add_tap(glend, a, "a", address="10.0.0.1/24", mtu=2000)
    config = glend.rpc("config.get")
    port = config["switches"]["sw0"]["ports"]["a"]
    index = a.links()["a"]["ifindex"]
    port["address"], port["mtu"] = ["10.0.0.2/24"], 3000
    glend.rpc("config.apply", config=config)
    link = a.links()["a"]
    assert (link["ifindex"], link["mtu"]) == (index, 3000)
    text = a.run("ip addr show a")
    assert "10.0.0.2/24" in text and "10.0.0.1/24" not in text
    del port["address"], port["mtu"]
    glend.rpc("config.apply", config=config)
    assert a.links()["a"]["mtu"] == 1500
    assert "10.0.0." not in a.run("ip addr show a")
    assert glend.rpc("config.apply", config=config)["changes"] == []


def test_interface_that_is_down_drops_by_name(glend, netns):
    a, b = two_taps(glend, netns)
    b.run("ip link set dev b down")
    wait_until(lambda: not glend.rpc("port.show", port="sw0:b")["link"],
               what="link goes down")
    before = glend.drops("sw0:b")["out"].get("out_link_down", 0)
    with a.wire("a") as out:
        for _ in range(10):
            out.send(raw(frame(mac_of(a, "a"))) + bytes(46))
    glend.check_identity()
    assert glend.drops("sw0:b")["out"] == {"out_link_down": before + 10}
    b.run("ip link set dev b up")
    wait_until(lambda: glend.rpc("port.show", port="sw0:b")["link"],
               what="link comes up")
    ping(a, "10.0.0.2")


# TCP and offloads

def iperf(server, client, address, *args):
    """
    Runs iperf3 for a second; returns its report. The interfaces' queues hold
    more packets than TCP has under way, so that the kernel need not drop any,
    however long glend does not run.
    """
    for ns in (server, client):
        for ifname in set(ns.links()) - {"lo"}:
            ns.run(f"ip link set dev {ifname} txqueuelen 10000")
    process = server.popen("iperf3 -s -1", stdout=subprocess.DEVNULL)
    wait_until(lambda: ":5201" in server.run("ss -Hltn"), what="iperf3")
    try:
        return json.loads(client.run(
            ["iperf3", "-c", address, "-t", "1", "-J", *args]))
    finally:
        process.wait(60)


@pytest.mark.skipif(bool(glen.why_missing("iperf3", "ss")),
                    reason=str(glen.why_missing("iperf3", "ss")))
class TestTcp:
    def check_no_loss(self, glend, report, a, b, alone=0):
        """
        Nothing was lost on the way, so nothing resent because of us. alone:
        packets that came before there was another port.
        """
        assert report["end"]["sum_received"]["bytes"] > 1 << 20
        stats = glend.check_identity()
        for port in stats["ports"]:
            drops = dict(port["in"]["drops"])
            if port["port"] == "sw0:a" and alone:
                assert drops.pop("in_no_port") == alone
            assert not drops, port
            assert not port["out"]["drops"], port
        assert tap_drops(a, "a") == 0 and tap_drops(b, "b") == 0
        return {p["port"]: p for p in stats["ports"]}

    def test_segments_pass_whole(self, glend, netns):
        a, b = two_taps(glend, netns)
        report = iperf(b, a, "10.0.0.2")
        ports = self.check_no_loss(glend, report, a, b)
        out = ports["sw0:b"]["out"]
        assert out["segments"] == 0
        assert out["bytes"] / out["packets"] > 3000

    def test_reverse_and_parallel(self, glend, netns):
        a, b = two_taps(glend, netns)
        self.check_no_loss(glend, iperf(b, a, "10.0.0.2", "-R", "-P", "4"),
                           a, b)

    def test_ipv6(self, glend, netns):
        a, b = netns(), netns()
        add_tap(glend, a, "a", address="fd00::1/64")
        add_tap(glend, b, "b", address="fd00::2/64")
        wait_until(lambda: "tentative" not in
                   a.run("ip -6 addr") + b.run("ip -6 addr"),
                   what="duplicate address detection")
        # Said by a before b was there.
        alone = glend.port_stats("sw0:a")["in"]["drops"].get("in_no_port", 0)
        ports = self.check_no_loss(glend, iperf(b, a, "fd00::2"), a, b, alone)
        assert ports["sw0:b"]["out"]["segments"] == 0

    def test_cut_for_an_interface_without_offloads(self, glend, netns):
        a, b = netns().no_ipv6(), netns().no_ipv6()
        add_tap(glend, a, "a", address="10.0.0.1/24")
        shown = add_tap(glend, b, "b", address="10.0.0.2/24", offloads=False)
        assert shown["offloads"] == []
        ports = self.check_no_loss(glend, iperf(b, a, "10.0.0.2"), a, b)
        out = ports["sw0:b"]["out"]
        assert out["segments"] > 100
        bad = b.run("nstat -az TcpInCsumErrors IpInHdrErrors")
        assert re.search(r"TcpInCsumErrors\s+0\s", bad), bad

    def test_jumbo(self, glend, netns):
        a, b = two_taps(glend, netns, mtu=9000)
        self.check_no_loss(glend, iperf(b, a, "10.0.0.2"), a, b)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_queues(self, netns, workers):
        with Glend(workers=workers) as glend:
            a, b = two_taps(glend, netns, queues=4)
            shown = glend.rpc("port.show", port="sw0:a")
            assert (shown["in_rings"], shown["out_rings"]) == (4, 4)
            assert a.run("ls /sys/class/net/a/queues").count("tx-") == 4 \
                or a.links()["a"]["num_tx_queues"] >= 4
            report = iperf(b, a, "10.0.0.2", "-P", "16")
            self.check_no_loss(glend, report, a, b)
            rings = glend.rpc("stats", port="sw0:b", rings=True)[
                "ports"][0]["rings"]
            used = [r for r in rings if r["out"]["packets"]]
            assert len(rings) == 4 and len(used) > 1, rings


@pytest.mark.parametrize("tags", [None, Dot1Q(vlan=9)], ids=["plain", "vlan"])
@pytest.mark.parametrize("kind", ["tcp4", "tcp6", "udp"])
def test_cut_for_a_port_without_offloads(glend, netns, tmp_path, kind, tags):
    """
    One big packet, flooded to a TAP that takes it whole and to a file that
    does not.
    """
    a, b = two_taps(glend, netns)
    path = tmp_path / "out.pcap"
    if kind == "udp" and "uso" not in glend.rpc(
            "port.show", port="sw0:b")["offloads"]:
        pytest.skip("this kernel has no UDP segmentation on TAPs")
    glend.rpc("port.add", port="sw0:file", driver="pcap", write=str(path))
    payload = os.urandom(4321)
    hdr, big = big_packet(mac_of(a, "a"), kind, payload, tags)
    with a.wire("a", vnet=True) as out, b.wire("b", vnet=True) as into:
        out.send(big, hdr)
        want_len = len(big)
        whole = into.recv_n(1, want=lambda x: len(x[1]) == want_len)
    assert len(whole) == 1, "the TAP did not get it whole"
    assert whole[0][1][-4321:] == payload
    stats = glend.check_identity()
    port = [p for p in stats["ports"] if p["port"] == "sw0:file"][0]
    assert not port["out"]["drops"]
    glend.rpc("port.del", port="sw0:file")
    check_segments([p for p in rdpcap(str(path)) if p.src == mac_of(a, "a")
                    and p.dst == NOBODY], kind, payload, tags)


def test_checksum_is_finished_for_a_file(glend, netns, tmp_path):
    """Ordinary UDP leaves its checksum to the interface."""
    a, _ = two_taps(glend, netns)
    path = tmp_path / "out.pcap"
    glend.rpc("port.add", port="sw0:file", driver="pcap", write=str(path))
    a.run(f"ip neigh add 10.0.0.9 lladdr {NOBODY} dev a")
    a.run([sys.executable, "-c",
           "import socket; s = socket.socket(socket.AF_INET, "
           "socket.SOCK_DGRAM); s.sendto(b'x' * 777, ('10.0.0.9', 99))"])
    glend.check_identity()
    glend.rpc("port.del", port="sw0:file")
    packets = [p for p in rdpcap(str(path)) if UDP in p]
    assert len(packets) == 1 and len(packets[0][UDP].payload) == 777
    assert packets[0][UDP].chksum and checksums_hold(packets[0])


# Where and how interfaces are made

def test_namespace_by_path(glend, netns):
    a = netns()
    shown = glend.rpc("port.add", port="sw0:x", driver="tap", ifname="eth7",
                      netns=a.path)
    assert shown["ifname"] == "eth7" and "eth7" in a.links()
    glend.rpc("port.del", port="sw0:x")
    assert "eth7" not in a.links()


def test_namespace_of_a_process(glend, netns):
    """glend gave up looking into processes, and says what to do instead."""
    a = netns()
    process = a.popen("sleep 1000")
    path = f"/proc/{process.pid}/ns/net"
    with pytest.raises(RpcError, match="ip netns attach") as info:
        glend.rpc("port.add", port="sw0:x", driver="tap", netns=path)
    assert info.value.errno_name == "EACCES"
    name = f"{a.name}-attached"
    subprocess.run(["ip", "netns", "attach", name, str(process.pid)],
                   check=True)
    try:
        glend.rpc("port.add", port="sw0:x", driver="tap", netns=name)
        assert "x" in a.links()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_interface_goes_with_its_port_and_glend(netns):
    a = netns()
    with Glend() as glend:
        add_tap(glend, a, "t1")
        add_tap(glend, a, "t2")
        glend.rpc("port.del", port="sw0:t1")
        assert "t1" not in a.links() and "t2" in a.links()
    assert "t2" not in a.links()


def test_persistent_interface_stays(glend, netns):
    a = netns()
    add_tap(glend, a, "keep", persist=True)
    mac = mac_of(a, "keep")
    glend.rpc("port.del", port="sw0:keep")
    assert "keep" in a.links()
    add_tap(glend, a, "keep", persist=True)
    assert mac_of(a, "keep") == mac
    with pytest.raises(RpcError) as info:
        glend.rpc("port.add", port="sw1:other", driver="tap", ifname="keep",
                  netns=a.name, persist=True)
    assert info.value.errno_name == "EBUSY"


def test_port_closes_when_its_interface_is_deleted(glend, netns):
    a, b = two_taps(glend, netns)
    ping(a, "10.0.0.2")
    b.run("ip link del dev b")
    wait_until(lambda: "sw0:b" not in [p["port"] for p in
                                       glend.rpc("port.list")],
               what="port closes")
    glend.check_identity()


def test_port_closes_when_its_namespace_is_deleted(glend, netns):
    a, b = two_taps(glend, netns)
    ping(a, "10.0.0.2")
    b.close()
    wait_until(lambda: "sw0:b" not in [p["port"] for p in
                                       glend.rpc("port.list")],
               what="port closes")
    assert [p["port"] for p in glend.rpc("port.list")] == ["sw0:a"]


@pytest.mark.parametrize("options, errno_name, text", [
    ({"netns": "glen-no-such"}, "ENOENT", "glen-no-such"),
    ({"netns": "/etc/passwd"}, "EINVAL", "/etc/passwd"),
    ({"netns": "/proc/self/stat"}, None, "/proc/self/stat"),
    ({"ifname": "lo"}, None, "lo"),
    ({"ifname": "a-name-of-16-char"}, "EINVAL", "a-name-of-16-char"),
    ({"queues": 17}, "EINVAL", "queues"),
    ({"address": "10.0.0.1/40"}, "EINVAL", "10.0.0.1/40"),
    ({"mtu": 65530}, "EINVAL", "65530"),
    ({"colour": "red"}, None, "colour"),
], ids=str)
def test_refusals_name_the_reason(glend, netns, options, errno_name, text):
    a = netns()
    params = {"netns": a.name, "ifname": "eth7", **options}
    with pytest.raises(RpcError) as info:
        glend.rpc("port.add", port="sw0:x", driver="tap", **params)
    assert text in info.value.message
    if errno_name:
        assert info.value.errno_name == errno_name
    assert "eth7" not in a.links()
    assert glend.rpc("port.list") == []


def test_without_privileges_says_what_to_do(tmp_path):
    if not glen.shutil.which("setpriv"):
        pytest.skip("needs setpriv (package util-linux)")
    with Glend(start=False, prefix=[
            "setpriv", "--reuid", "65534", "--regid", "65534",
            "--clear-groups", "--inh-caps=-all"]) as glend:
        os.chown(glend.dir, 65534, 65534)
        glend.start()
        with pytest.raises(RpcError) as info:
            glend.rpc("port.add", port="sw0:x", driver="tap")
        assert info.value.errno_name == "EPERM"
        assert "CAP_NET_ADMIN" in info.value.message
        assert "root" in info.value.message


def test_nothing_is_left_of_many_ports(glend, netns, tmp_path):
    a = netns()
    path = str(tmp_path / "x.pcap")
    wrpcap(path, [Ether(raw(frame(NOBODY)) + bytes(46))])

    def cycle():
        add_tap(glend, a, "a", queues=4)
        glend.rpc("port.add", port="sw0:file", driver="pcap", read=path,
                  write=path + ".out", loop="forever", speed="max")
        glend.rpc("port.del", port="sw0:a")
        glend.rpc("port.del", port="sw0:file")

    def held():
        return [len(os.listdir(f"/proc/{glend.pid}/{what}"))
                for what in ("fd", "task")]

    cycle()
    before = held()
    for _ in range(50):
        cycle()
    assert held() == before


@pytest.mark.parametrize("persist", [False, True])
def test_comes_back_after_sigkill(glend, netns, persist):
    a, b = two_taps(glend, netns, persist=persist)
    ping(a, "10.0.0.2")
    macs = mac_of(a, "a"), mac_of(b, "b")
    for _ in range(3):
        glend.restart()
        assert (mac_of(a, "a"), mac_of(b, "b")) == macs
        # The kernel sends nothing before it has noticed the carrier.
        wait_until(lambda: not {a.links()["a"]["operstate"],
                                b.links()["b"]["operstate"]} & {"DOWN"},
                   what="both interfaces are up")
        ping(a, "10.0.0.2")
    glend.check_identity()


# With capture files

def test_replay_into_an_interface(glend, netns, tmp_path):
    a = netns().no_ipv6()
    add_tap(glend, a, "a")
    path = tmp_path / "in.pcap"
    packets = [raw(frame("02:00:00:00:00:01")) + struct.pack(">I", i) * 20
               for i in range(500)]
    wrpcap(str(path), [Ether(p) for p in packets])
    with a.wire("a") as into:
        glend.rpc("port.add", port="sw0:file", driver="pcap", read=str(path),
                  speed="max", loop=2)
        got = into.recv_n(1000)
    assert got == packets * 2
    wait_until(lambda: glend.rpc("port.show", port="sw0:file")["done"],
               what="replay ends")
    stats = glend.check_identity()
    assert {p["port"]: p["in"]["packets"] for p in stats["ports"]} == {
        "sw0:a": 0, "sw0:file": 1000}


def test_replay_keeps_time(glend, netns, tmp_path):
    a = netns().no_ipv6()
    add_tap(glend, a, "a")
    path = tmp_path / "in.pcap"
    packets = [Ether(raw(frame("02:00:00:00:00:01")) + bytes([i] * 46))
               for i in range(3)]
    for i, packet in enumerate(packets):
        packet.time = 1000 + i * 0.3
    wrpcap(str(path), packets)
    with a.wire("a") as into:
        start = time.monotonic()
        glend.rpc("port.add", port="sw0:file", driver="pcap", read=str(path))
        for i, packet in enumerate(packets):
            assert into.recv() == raw(packet)
            # Never early; how late depends on the machine.
            assert time.monotonic() - start > i * 0.3 - 0.001


def test_capture_of_a_ping(glend, netns, tmp_path):
    a, b = two_taps(glend, netns)
    path = tmp_path / "out.pcap"
    glend.rpc("port.add", port="sw0:file", driver="pcap", write=str(path),
              snaplen=64)
    a.run("ping -b -c 3 -i 0.01 -W 1 10.0.0.255", check=False)
    glend.check_identity()
    glend.rpc("port.del", port="sw0:file")
    echoes = [p for p in rdpcap(str(path)) if ICMP in p and p[ICMP].type == 8]
    assert len(echoes) == 3
    assert all(len(p) == 64 for p in echoes)


def test_full_disk_closes_the_port(glend, netns, tmp_path):
    """A capture with holes would be worse than one that ends."""
    a = netns().no_ipv6()
    add_tap(glend, a, "a")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "glen-test",
                    str(disk)], check=True)
    try:
        glend.rpc("port.add", port="sw0:file", driver="pcap",
                  write=str(disk / "out.pcap"))
        with a.wire("a") as out:
            sent = raw(frame(mac_of(a, "a"))) + bytes(1400)
            for _ in range(400):
                out.send(sent)
        wait_until(lambda: "sw0:file" not in [
            p["port"] for p in glend.rpc("port.list")], what="port closes")
        glend.check_identity()
        assert glend.port_stats("sw0:a")["in"]["packets"] == 400
        assert "cannot be written" in glend.log_text()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
