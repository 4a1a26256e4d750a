# SPDX-License-Identifier: BSD-2-Clause
# test_xdp.py - AF_XDP ports on veths, with real traffic.
import os
import re
import time

import pytest
from scapy.all import Dot1AD, Dot1Q, Ether, IP, Raw, UDP, raw

import glen
import nic
from bpf import attach_classifier, program
from cable import ping
from glen import Glend, RpcError, wait_until
from nic import Bed, settled, tcp, unreachable

REASON = glen.why_no_root() or nic.why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=str(REASON))

NOBODY = "02:00:00:00:00:99"
MODES = pytest.mark.parametrize("mode", ["native", "generic"])


@pytest.fixture
def bed(glend, netns):
    return Bed(glend, netns)


def no_gso(ns):
    """Senders into a veth whose other end is generic XDP must not use GSO."""
    ns.run("ethtool -K eth tso off gso off")


def frame(src, dst=NOBODY, payload=b"", **kwargs):
    return raw(Ether(src=src, dst=dst, type=0x88b5, **kwargs) / Raw(payload))


# Traffic

@MODES
def test_ping_and_tcp(bed, mode):
    a, b = bed.two({"ipv6": True}, mode=mode)
    show = bed.show(a)
    assert show["mode"] == mode and show["state"] == "attached" and show["link"]
    assert show["nic_driver"] == "veth" and show["mac"] in bed.sw.run(
        "ip link")
    if mode == "generic":
        for ns in (a, b):
            no_gso(ns)
    ping(a, b.ip)
    ping(b, a.ip, "-s", "1472")
    ping(a, b.ip6)
    tcp(a, b, b.ip)
    tcp(b, a, a.ip6)
    bed.glend.check_identity()
    # Before b was there, a's own packets had nowhere to go.
    assert set(bed.glend.drops(f"sw0:{a.far}")["in"]) <= {"in_no_port"}


@MODES
def test_checksums_are_complete_on_the_far_side(bed, mode):
    """Linux leaves them to the veth; the other end must see right ones."""
    a, b = bed.two({"ipv6": True}, mode=mode)
    for ns in (a, b):
        if mode == "generic":
            no_gso(ns)
    capture = b.popen(["tcpdump", "-i", "eth", "-nvvU", "-w", "-",
                       "ip6 or ip"], stdout=open(f"{bed.glend.dir}/cap", "wb"),
                      stderr=open(f"{bed.glend.dir}/err", "wb"))
    wait_until(lambda: "listening" in open(f"{bed.glend.dir}/err").read(),
               what="tcpdump")
    tcp(a, b, b.ip, size=1 << 18)
    tcp(a, b, b.ip6, size=1 << 18)
    for target in (b.ip, b.ip6):
        for size in (1, 2, 61, 1200):
            a.call(lambda t=target, s=size: udp_send(t, os.urandom(s)))
    want = f"{b.ip}."
    wait_until(lambda: os.path.getsize(f"{bed.glend.dir}/cap") > 1 << 19,
               what="captured packets")
    capture.terminate()
    capture.wait()
    text = b.run(["tcpdump", "-nvvr", f"{bed.glend.dir}/cap",
                  "src host", a.ip, "or", "src host", a.ip6])
    good = len(re.findall(r"cksum 0x\w+ \(correct\)|udp sum ok", text))
    bad = re.findall(r".*(?:incorrect|bad udp cksum).*", text)
    assert want in text and good > 50 and not bad, bad[:5]


def udp_send(address, data):
    import socket
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.sendto(data, (address, 7))


def test_checksums_kept_if_asked(bed):
    """checksums=keep shows what the sender left: its pseudo header's sum."""
    a, b = bed.station(), bed.station()
    bed.port(a, checksums="keep")
    bed.port(b)
    a.run(f"ip neigh add {b.ip} lladdr {b.mac} dev eth")
    seen = {}
    for how in ("keep", "fill"):
        if how == "fill":
            bed.glend.rpc("port.del", port=f"sw0:{a.far}")
            bed.port(a, checksums="fill")
        with b.wire("eth") as into:
            a.call(lambda: udp_send(b.ip, b"some data"))
            got = into.recv_n(1, want=lambda f: b"some data" in f)[0]
        seen[how] = int.from_bytes(got[40:42], "big")
        packet = Ether(got)
        del packet[UDP].chksum
        right = Ether(raw(packet))[UDP].chksum
        assert (seen[how] == right) == (how == "fill"), seen


@pytest.mark.parametrize("tags", [
    Dot1Q(vlan=5, prio=3), Dot1Q(vlan=4095), Dot1AD(vlan=7) / Dot1Q(vlan=8)],
    ids=["q", "4095", "ad-q"])
@MODES
def test_vlan_tags_pass(bed, mode, tags):
    a, b = bed.two(mode=mode)
    sent = raw(Ether(src=a.mac, dst=NOBODY) / tags / IP(
        src="1.2.3.4", dst="5.6.7.8") / UDP(sport=1, dport=2) /
        Raw(bytes(range(64))))
    with a.wire("eth") as out, b.wire("eth") as into:
        out.send(sent)
        assert into.recv_n(1, want=lambda f: f == sent) == [sent]
    bed.glend.check_identity()


# A classifier that puts a tag beside the frame, as VLAN interfaces do:
# skb_vlan_push(skb, htons(0x8100), 0x6005); return TC_ACT_OK. Opcode,
# registers, offset, immediate.
PUSH_TAG = [(0xb7, 2, 0, 0x0081), (0xb7, 3, 0, 0x6005), (0x85, 0, 0, 18),
            (0xb7, 0, 0, 0), (0x95, 0, 0, 0)]


def test_tags_beside_the_frame_are_put_in(bed):
    """A tag that a local sender left beside the frame survives (Linux 6.8),
    also for packets that a filter leaves to the host's stack."""
    a, b = bed.two()
    if not bed.show(a)["outside_tags"]:
        pytest.skip("this kernel does not tell XDP programs of tags")
    attach_classifier(a, "eth", program(PUSH_TAG))
    sent = frame(a.mac, payload=b"tagged")
    want = sent[:12] + b"\x81\x00\x60\x05" + sent[12:]
    with a.wire("eth") as out, b.wire("eth") as into:
        out.send(sent)
        assert into.recv_n(1, want=lambda f: b"tagged" in f) == [want]
    bed.glend.rpc("port.del", port=f"sw0:{a.far}")
    bed.port(a, filter="vlan 6")
    with a.wire("eth") as out, bed.sw.wire(a.far) as host:
        out.send(sent)
        assert host.recv_n(1, want=lambda f: b"tagged" in f) == [want]


@MODES
def test_sizes_pass_unchanged(bed, mode):
    a, b = bed.two(mode=mode)
    with a.wire("eth") as out, b.wire("eth") as into:
        for size in (14, 15, 59, 60, 63, 64, 65, 127, 128, 129, 1513, 1514):
            sent = (frame(a.mac) + os.urandom(1500))[:size]
            out.send(sent)
            assert into.recv_n(1, want=lambda f: f == sent) == [sent], size
    bed.glend.check_identity()


@pytest.mark.parametrize("mtu,frames", [(1770, 2048), (1771, 4096),
                                        (3500, 4096), (9000, 4096)])
def test_jumbo_frames(bed, mtu, frames):
    a, b = bed.two({"mtu": mtu})
    show = bed.show(a)
    assert show["frame_size"] == frames
    assert show["multi_frame"] == (mtu > 3818)
    ping(a, b.ip, "-M", "do", "-s", str(mtu - 28))
    tcp(a, b, b.ip)
    with a.wire("eth") as out, b.wire("eth") as into:
        for size in (mtu + 14, mtu - 50, 4096, 4097, 8192):
            sent = (frame(a.mac) + os.urandom(9000))[:min(size, mtu + 14)]
            out.send(sent)
            assert into.recv_n(1, want=lambda f: f == sent) == [sent], size
    bed.glend.check_identity()


def test_gso_senders(bed):
    """Native XDP makes the kernel cut what the other end sends."""
    a, b = bed.two()
    server = b.popen(["iperf3", "-s", "-1"], stdout=-3)
    wait_until(lambda: ":5201" in b.run("ss -ltn"), what="iperf3")
    a.run(f"iperf3 -c {b.ip} -n 20M")
    server.wait(timeout=30)
    stats = bed.glend.check_identity()
    ports = {p["port"]: p for p in stats["ports"]}
    assert ports[f"sw0:{a.far}"]["in"]["drops"] == {}
    got = ports[f"sw0:{a.far}"]["in"]
    assert got["bytes"] / got["packets"] < 1515


def test_long_packets_in_generic_mode_are_counted(bed):
    """There GSO packets come whole, and find no frame that holds them."""
    a, b = bed.two(mode="generic")
    no_gso(b)
    a.run(f"timeout 2 iperf3 -c {b.ip} -n 1M", check=False)
    server = b.popen(["iperf3", "-s", "-1"], stdout=-3)
    wait_until(lambda: ":5201" in b.run("ss -ltn"), what="iperf3")
    a.popen(["iperf3", "-c", b.ip, "-t", "3"], stdout=-3)
    wait_until(lambda: bed.glend.drops(f"sw0:{a.far}")["in"].get(
        "in_too_long"), what="long packets counted")
    server.kill()
    bed.glend.check_identity()


def test_multi_queue(netns):
    with Glend(workers=2) as glend:
        bed = Bed(glend, netns)
        a, b = bed.two({"queues": 4})
        show = bed.show(a)
        assert show["queues"] == 4 and show["in_rings"] == 4
        for port in range(40):
            a.call(lambda p=port: udp_send(b.ip, b"%d" % p))
        tcp(a, b, b.ip)
        tcp(b, a, a.ip)
        ping(a, b.ip)
        glend.check_identity()
        rings = glend.rpc("stats", port=f"sw0:{a.far}", rings=True)["ports"][
            0]["rings"]
        assert len([r for r in rings if r["in"]["packets"]]) > 1, rings
        bed.glend.rpc("port.del", port=f"sw0:{a.far}")
        with pytest.raises(RpcError, match="4 receive queues, not 5"):
            bed.port(a, queues=5)
        bed.port(a, queues=2)
        assert bed.show(a)["nic_queues"] == 4


def test_the_kernel_is_woken_to_send(bed):
    """Need-wakeup: in copy mode each batch asks for it, and no more."""
    a, b = bed.two()
    ping(a, b.ip)
    tcp(a, b, b.ip)
    out = bed.glend.port_stats(f"sw0:{b.far}")["out"]
    assert 0 < out["kicks"] <= out["packets"], out


@pytest.mark.parametrize("queues", [1, 4])
def test_busy_polling(bed, queues):
    a, b = bed.two({"queues": queues}, busy_poll=64)
    assert bed.show(a)["busy_poll"] == 64
    ping(a, b.ip)
    tcp(a, b, b.ip)
    bed.glend.check_identity()


# Filters

def test_filter_shares_the_interface_with_the_host(bed):
    """What does not match goes to the host's stack, at the same interface."""
    a, b = bed.station(), bed.station()
    bed.sw.run(f"ip addr add 10.0.0.100/24 dev {a.far}")
    bed.port(a, filter="arp or icmp or udp port 7")
    bed.port(b)
    assert bed.show(a)["filter"] == "arp or icmp or udp port 7"
    for ns in (a, b):   # ARP goes to the switch, so the host gets no answers
        ns.run("ip neigh add 10.0.0.100 lladdr " +
               bed.sw.links()[a.far]["address"] + " dev eth")
    bed.sw.run(f"ip neigh add {a.ip} lladdr {a.mac} dev {a.far}")
    ping(a, b.ip)                      # matches: through the switch
    assert unreachable(a, "10.0.0.100")
    tcp(a, bed.sw, "10.0.0.100")       # does not: to the host
    before = bed.glend.port_stats(f"sw0:{a.far}")["in"]["packets"]
    with b.wire("eth") as into:
        a.call(lambda: udp_send(b.ip, b"to seven"))
        assert into.recv_n(1, want=lambda f: b"to seven" in f)
    assert bed.glend.port_stats(
        f"sw0:{a.far}")["in"]["packets"] == before + 1
    bed.glend.check_identity()


FILTERS = [
    "ip", "ip6", "arp", "tcp", "udp port 53", "vlan 5", "vlan 5 and tcp",
    "ether host 02:00:00:00:00:99", "net 10.0.0.0/8", "ip6 net fd00::/8",
    "portrange 1-1000", "tcp[tcpflags] & tcp-syn != 0", "len > 100",
    "greater 100", "icmp6 and ip6[40] = 135", "ip[2:2] / 4 * 3 - 1 > 100",
    "(ip[0] & 0xf) << ip[1] > 1 or 1 >> ip[8] = 1", "ether[20] % ip[9] = 2",
    "not (tcp or udp) and not ether broadcast", "mpls 16", "pppoes 1",
    "ip[ip[0] & 0xf:4] = 1 or -ip[3] = 5", "tcp port 80 or tcp port 443 or "
    "host 10.0.0.1 or host 10.0.0.2 or host fd00::1", "ip protochain 6",
]


@pytest.mark.parametrize("tagged", [False, True], ids=["generic", "native"])
def test_the_kernel_takes_all_filters(bed, tagged):
    a = bed.station()
    for filter in FILTERS:
        try:
            bed.port(a, filter=filter, mode="native" if tagged else "generic")
        except RpcError as error:
            # A loop, which no kernel would have taken from libpcap either.
            assert "protochain" in filter, (filter, error)
            continue
        bed.glend.rpc("port.del", port=f"sw0:{a.far}")


@pytest.mark.parametrize("filter,says", [
    ("udp prot 7", r"filter \"udp prot 7\": .*pcap-filter"),
    ("ether[20000] = 1", "further into packets than 16383 bytes"),
    ("vlan and ip broadcast", "filter"),
])
def test_bad_filters_are_refused(bed, filter, says):
    a = bed.station()
    with pytest.raises(RpcError, match=says):
        bed.port(a, filter=filter)
    assert bed.xdp_of(a) is None


# Refusals

def test_refusals(bed):
    a = bed.station()
    for options, says in [
            ({"ifname": "none"}, "no interface none"),
            ({"ifname": "far/too/odd"}, "letters"),
            ({"mode": "fast"}, "auto, native and generic"),
            ({"ring": 1000}, "power of 2"),
            ({"zero_copy": "require"}, "no zero-copy"),
            ({"zero_copy": "require", "mode": "generic"}, "needs native"),
            ({"host": True, "filter": "arp"}, "use one of them"),
            ({"mac": "02:00:00:00:00:01"}, "ip link set changes it"),
            ({"colour": "red"}, "colour")]:
        with pytest.raises(RpcError, match=says):
            bed.port(a, **options)
        assert bed.xdp_of(a) is None, options
    bed.port(a)
    for change, says in [({"mac": "02:00:00:00:00:01"}, "ip link set"),
                         ({"filter": "arp"}, "filter of an xdp port")]:
        with pytest.raises(RpcError, match=says):
            bed.glend.rpc("port.set", port=f"sw0:{a.far}", **change)
    assert bed.show(a)["mac"] == bed.sw.links()[a.far]["address"]
    with pytest.raises(RpcError, match="glen_xdp .*another glend"):
        bed.glend.rpc("port.add", port="sw0:again", driver="xdp",
                      ifname=a.far, netns=bed.sw.name)
    assert bed.xdp_of(a)
    bed.sw.run(f"ip link set dev {a.far} xdp off", check=False)
    assert bed.xdp_of(a), "the program is the port's alone"


def test_without_privileges(netns):
    prefix = ["setpriv", "--reuid", "65534", "--regid", "65534",
              "--clear-groups"]
    ns = netns()
    ns.run("ip link add x1 type veth peer name eth")
    ns.run("ip link set dev x1 up")
    glend = Glend(start=False, prefix=ns.argv(prefix))
    os.chmod(glend.dir, 0o777)
    with glend:
        glend.start()
        with pytest.raises(RpcError, match="CAP_"):
            glend.rpc("port.add", port="sw0:x1", driver="xdp")


def test_interface_that_is_down(bed):
    a = bed.station()
    bed.sw.run(f"ip link set dev {a.far} down")
    with pytest.raises(RpcError, match=f"{a.far} is down: ip link set"):
        bed.port(a)


# Life

def test_attach_and_detach_100_times(bed, scaled):
    a, b = bed.two()
    fds = len(os.listdir(f"/proc/{bed.glend.pid}/fd"))
    for _ in range(scaled(100, 10)):
        bed.glend.rpc("port.del", port=f"sw0:{a.far}")
        assert bed.xdp_of(a) is None
        bed.port(a)
    ping(a, b.ip)
    assert len(os.listdir(f"/proc/{bed.glend.pid}/fd")) == fds
    bed.glend.check_identity()


def test_sigkill_leaves_nothing_and_ports_come_back(bed):
    a, b = bed.two()
    bed.sw.run(f"ip link set dev {a.far} promisc off")
    ping(a, b.ip)
    bed.glend.kill9()
    wait_until(lambda: bed.xdp_of(a) is None and bed.xdp_of(b) is None,
               what="XDP programs gone")
    wait_until(lambda: "PROMISC" not in
               bed.sw.run(f"ip -d link show dev {a.far}").split("mtu")[0],
               what="promiscuous mode gone")
    bed.glend.start()
    settled(bed, a, state="attached")
    settled(bed, b, state="attached")
    ping(a, b.ip)
    bed.glend.check_identity()


def test_sigkill_puts_offloads_back(bed):
    a = bed.station()
    bed.sw.run(f"ethtool -K {a.far} gro on")
    bed.port(a, mode="generic")

    def gro():
        return "generic-receive-offload: on" in bed.sw.run(
            f"ethtool -k {a.far}")

    assert not gro()
    bed.glend.kill9()
    wait_until(gro, what="GRO on again")
    bed.glend.start()
    settled(bed, a, state="attached")
    assert not gro()
    bed.glend.rpc("port.del", port=f"sw0:{a.far}")
    assert gro()


def test_interface_deleted_under_traffic_and_made_again(bed):
    a, b = bed.two()
    ping(a, b.ip)
    flood = b.popen(["ping", "-f", "-q", a.ip], stdout=-3, stderr=-3)
    time.sleep(0.2)
    bed.sw.run(f"ip link del dev {a.far}")
    show = settled(bed, a, state="waiting", link=False)
    assert "was deleted" in show["last_error"]
    assert bed.glend.rpc("port.show", port=f"sw0:{b.far}")["state"] == "attached"
    bed.sw.run(f"ip link add {a.far} type veth peer name eth "
               f"netns {a.name}")
    bed.sw.run(f"ip link set dev {a.far} up")
    a.run("ip link set dev eth up")
    a.run(f"ip addr add {a.ip}/24 dev eth")
    settled(bed, a, state="attached", link=True)
    flood.kill()
    flood.wait()
    b.run("ip neigh flush dev eth")
    ping(a, b.ip)
    bed.glend.check_identity()


def test_down_up_rename_and_moved_away(bed):
    a, b = bed.two()
    bed.sw.run(f"ip link set dev {a.far} down")
    settled(bed, a, state="attached", link=False)
    bed.sw.run(f"ip link set dev {a.far} up")
    settled(bed, a, state="attached", link=True)
    ping(a, b.ip)
    a.run("ip link set dev eth down")       # carrier
    settled(bed, a, link=False)
    a.run("ip link set dev eth up")
    settled(bed, a, link=True)
    ping(a, b.ip)
    bed.sw.run(f"ip link set dev {a.far} name other")
    settled(bed, a, state="attached", ifname="other")
    ping(a, b.ip)
    bed.sw.run(f"ip link set dev other name {a.far}")
    elsewhere = bed.make()
    bed.sw.run(f"ip link set dev {a.far} netns {elsewhere.name}")
    settled(bed, a, state="waiting")
    assert "xdp" not in elsewhere.links()[a.far]
    elsewhere.run(f"ip link set dev {a.far} netns {bed.sw.name}")
    bed.sw.run(f"ip link set dev {a.far} up")
    settled(bed, a, state="attached", link=True)
    ping(a, b.ip)
    bed.glend.check_identity()


def test_mtu_changes_while_attached(bed):
    a, b = bed.two()
    assert bed.show(a)["frame_size"] == 2048
    for ns in (a, b):
        bed.sw.run(f"ip link set dev {ns.far} mtu 3000")
        ns.run("ip link set dev eth mtu 3000")
        settled(bed, ns, state="attached", frame_size=4096, nic_mtu=3000)
    ping(a, b.ip, "-M", "do", "-s", "2972")
    bed.glend.check_identity()


def test_restart_waits_for_a_missing_interface(bed):
    a, b = bed.two()
    bed.glend.kill9()
    bed.sw.run(f"ip link del dev {a.far}")
    bed.glend.start()
    show = settled(bed, a, state="waiting")
    assert "no interface" in show["last_error"]
    bed.sw.run(f"ip link add {a.far} type veth peer name eth "
               f"netns {a.name}")
    bed.sw.run(f"ip link set dev {a.far} up")
    a.run("ip link set dev eth up")
    a.run(f"ip addr add {a.ip}/24 dev eth")
    settled(bed, a, state="attached")
    b.run("ip neigh flush dev eth")
    ping(a, b.ip)


def test_what_the_kernel_dropped_is_counted(bed):
    """A switch that is stopped: packets that no frame was left for."""
    a, b = bed.two(ring=256)
    bed.glend.rpc("version")
    os.kill(bed.glend.pid, 19)
    try:
        with a.wire("eth") as out:
            for _ in range(1000):
                out.send(frame(a.mac, payload=bytes(50)))
            time.sleep(0.2)
    finally:
        os.kill(bed.glend.pid, 18)
    wait_until(lambda: bed.glend.drops(f"sw0:{a.far}")["in"].get(
        "in_kernel_full", 0) > 400, what="drops of the kernel")
    got = bed.glend.port_stats(f"sw0:{a.far}")["in"]["packets"]
    assert got == 1000, got
    bed.glend.check_identity()
