# SPDX-License-Identifier: BSD-2-Clause
# test_learn_ports.py - settings of the learning bridge's ports, real frames.
import json

import pytest
from scapy.all import (ARP, Dot1AD, Dot1Q, Ether, ICMPv6ND_NA, ICMPv6ND_NS,
                       ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IP, IPv6,
                       IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, PadN, Raw, UDP,
                       raw)

import glen
from glen import RpcError, wait_until

pytestmark = pytest.mark.skipif(bool(glen.why_no_root()),
                                reason=str(glen.why_no_root()))

MAC, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:09"
ALL = "ff:ff:ff:ff:ff:ff"
GUARD = [f"{MAC} 10.0.0.1 2001:db8::1"]


def taps(glend, netns, *names, **settings):
    """Ports of sw0 with a TAP each; settings by port name."""
    spaces = []
    for name in names:
        ns = netns()
        ns.no_ipv6()
        learn = {"learn": settings[name]} if name in settings else {}
        glend.rpc("port.add", port=f"sw0:{name}", driver="tap",
                  netns=ns.name, **learn)
        spaces.append(ns)
    return spaces


def drops(glend, port):
    return glend.port_stats(port)["in"]["drops"]


def settings(glend, port):
    return glend.rpc("port.show", port=port).get("learn", {})


def frame(src=MAC, dst=ALL, tags=None):
    eth = Ether(src=src, dst=dst)
    return eth / tags if tags else eth


def arp(src=MAC, hwsrc=MAC, psrc="10.0.0.1", op=2, tags=None):
    return frame(src, tags=tags) / ARP(op=op, hwsrc=hwsrc, psrc=psrc,
                                       hwdst=ALL, pdst="10.0.0.2")


def advert(target="2001:db8::1", lladdr=MAC, ext=None, tags=None):
    ip = IPv6(src="2001:db8::1", dst="ff02::1")
    if ext:
        ip /= ext
    return frame(tags=tags) / ip / ICMPv6ND_NA(
        tgt=target, R=0) / ICMPv6NDOptDstLLAddr(lladdr=lladdr)


QINQ = Dot1AD(vlan=5) / Dot1Q(vlan=6)
DAD = frame() / IPv6(src="::", dst="ff02::1:ff00:1")

ITS_OWN = {
    "arp": arp(),
    "arp-request": arp(op=1),
    "arp-probe": arp(op=1, psrc="0.0.0.0"),
    "arp-qinq": arp(tags=QINQ),
    "ipv4": frame() / IP(src="10.0.0.1") / UDP() / Raw(bytes(900)),
    "dhcp": frame() / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(
        sport=68, dport=67),
    "ipv6": frame() / IPv6(src="2001:db8::1") / UDP() / Raw(bytes(900)),
    "na": advert(),
    "na-qinq": advert(tags=QINQ),
    "na-ext": advert(ext=IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt()),
    "ns": frame() / IPv6(src="fe80::ff:fe00:1") / ICMPv6ND_NS(
        tgt="2001:db8::2") / ICMPv6NDOptSrcLLAddr(lladdr=MAC),
    "dad": DAD / ICMPv6ND_NS(tgt="2001:db8::1"),
}

SPOOFED = {
    "mac": (arp(src=OTHER), "in_guard_mac"),
    "arp-ip": (arp(psrc="10.0.0.2"), "in_guard_nd"),
    "arp-ip-qinq": (arp(psrc="10.0.0.2", tags=QINQ), "in_guard_nd"),
    "arp-mac": (arp(hwsrc=OTHER), "in_guard_nd"),
    "arp-gratuitous": (arp(psrc="10.0.0.2", op=1), "in_guard_nd"),
    "ipv4": (frame() / IP(src="10.0.0.2") / UDP(), "in_guard_ip"),
    "dhcp-server": (frame() / IP(src="0.0.0.0") / UDP(sport=67, dport=68),
                    "in_guard_ip"),
    "ipv6": (frame() / IPv6(src="2001:db8::2") / UDP(), "in_guard_ip"),
    "na-target": (advert(target="2001:db8::2"), "in_guard_nd"),
    "na-qinq": (advert(target="2001:db8::2", tags=QINQ), "in_guard_nd"),
    "na-mac": (advert(lladdr=OTHER), "in_guard_nd"),
    "na-ext": (advert(target="2001:db8::2", ext=IPv6ExtHdrHopByHop() /
                      IPv6ExtHdrDestOpt()), "in_guard_nd"),
    "na-deep": (advert(ext=IPv6ExtHdrDestOpt(options=[
        PadN(optdata=bytes(60))])), "in_guard_other"),
    "dad": (DAD / ICMPv6ND_NS(tgt="2001:db8::2"), "in_guard_nd"),
    "pppoe": (Ether(src=MAC, dst=ALL, type=0x8864) / Raw(bytes(50)),
              "in_guard_other"),
}


def test_guard_tells_spoofed_from_own(glend, netns):
    a, b = taps(glend, netns, "a", "b", a={"guard": GUARD})
    last = raw(frame() / IP(src="10.0.0.1") / UDP() / Raw(b"last"))
    with a.wire("a") as out, b.wire("b") as into:
        for name, packet in ITS_OWN.items():
            out.send(raw(packet))
            assert into.recv_n(1, want=lambda f, p=raw(packet): f == p), name
        assert drops(glend, "sw0:a") == {}
        counted = {}
        for name, (packet, reason) in SPOOFED.items():
            out.send(raw(packet))
            counted[reason] = counted.get(reason, 0) + 1
            wait_until(lambda c=counted: drops(glend, "sw0:a") == c,
                       what=name)
        out.send(last)
        got = into.recv_n(1)
        assert got == [last]
        # Without it everything passes again.
        glend.rpc("port.set", port="sw0:a", learn={"guard": None})
        for name, (packet, _) in SPOOFED.items():
            out.send(raw(packet))
            assert into.recv_n(1, want=lambda f, p=raw(packet): f == p), name
    glend.check_identity()


def test_policing_passes_a_burst(glend, netns):
    a, b = taps(glend, netns, "a", "b", a={
        "police_pps": 1, "police_burst_packets": 5})
    with a.wire("a") as out, b.wire("b"):
        for i in range(100):
            out.send(raw(frame() / IP(src="10.0.0.1") / UDP(sport=i)))
        wait_until(lambda: glend.port_stats("sw0:a")["in"]["packets"] >= 100)
    dropped = drops(glend, "sw0:a")["in_policed"]
    # Five and, should the machine be slow, one more per second.
    assert 60 <= dropped <= 95
    glend.check_identity()


def test_sticky_addresses_survive_glend(glend, netns, tmp_path):
    glend.rpc("switch.add", switch="sw0")
    a, b, c = taps(glend, netns, "a", "b", "c", a={
        "mac_sticky": True, "mac_limit": 2})
    with a.wire("a") as out:
        out.send(raw(frame(src=MAC) / Raw(bytes(50))))
        out.send(raw(frame(src=OTHER, tags=Dot1Q(vlan=7)) / Raw(bytes(50))))
        wait_until(lambda: len(settings(glend, "sw0:a").get("macs", [])) == 2)
    want = sorted([MAC, OTHER + "@7"])
    saved = tmp_path / "saved.yaml"
    glend.ctl("save", str(saved))
    assert MAC in saved.read_text() and OTHER + "@7" in saved.read_text()
    glend.restart()
    assert sorted(settings(glend, "sw0:a")["macs"]) == want
    entries = glend.rpc("fdb.show", switch="sw0")["entries"]
    assert {(e["mac"], e["vlan"]) for e in entries
            if e["static"] and e["port"] == "a"} == {
                (MAC, 0), (OTHER, 7)}
    # Nothing to do for what was saved.
    done = json.loads(glend.ctl("apply", str(saved), "--json").stdout)
    assert done["changes"] == []
    with a.wire("a") as out, b.wire("b") as into, c.wire("c") as third:
        # A third address is one too many, before and after the restart.
        out.send(raw(frame(src="02:00:00:00:00:33") / Raw(bytes(50))))
        wait_until(lambda: drops(glend, "sw0:a").get("in_mac_limit") == 1)
        # To the sticky one, not flooded.
        sent = raw(frame(src="02:00:00:00:00:44", dst=MAC) / Raw(bytes(50)))
        into.send(sent)
        assert out.recv_n(1, want=lambda f: f == sent) == [sent]
        assert third.recv(0.1) != sent
    glend.check_identity()


def test_static_addresses_are_saved(glend, netns):
    taps(glend, netns, "a", "b")
    glend.ctl("fdb", "add", "sw0:a", MAC, "--vlan", "3")
    assert settings(glend, "sw0:a") == {"macs": [MAC + "@3"]}
    config = glend.rpc("config.get")
    assert config["switches"]["sw0"]["ports"]["a"]["learn"] == {
        "macs": [MAC + "@3"]}
    glend.restart()
    assert settings(glend, "sw0:a") == {"macs": [MAC + "@3"]}
    glend.ctl("fdb", "del", "sw0", MAC, "--vlan", "3")
    assert settings(glend, "sw0:a") == {}


def test_words_of_glenctl(glend, netns):
    taps(glend, netns, "a")
    glend.ctl("port", "set", "sw0:a", "learn.police_bps=10M",
              "learn.mac_limit=5")
    assert settings(glend, "sw0:a") == {"police_bps": "10M", "mac_limit": 5}
    glend.ctl("port", "set", "sw0:a", "learn.mac_limit=null")
    assert settings(glend, "sw0:a") == {"police_bps": "10M"}
    done = glend.ctl("port", "set", "sw0:a", "learn.polise_bps=1",
                     check=False)
    assert done.returncode == 1 and "polise_bps" in done.stderr
    glend.ctl("port", "set", "sw0:a", "learn=null")
    assert settings(glend, "sw0:a") == {}


def test_settings_outlive_another_module(glend, netns):
    taps(glend, netns, "a", a={"mac_limit": 5})
    glend.ctl("switch", "set", "sw0", "static")
    assert "learn" not in glend.rpc("port.show", port="sw0:a")
    glend.ctl("switch", "set", "sw0", "learn")
    assert settings(glend, "sw0:a") == {"mac_limit": 5}


def test_a_client_cannot_set_its_own(glend):
    glend.rpc("port.add", port="sw0:p", driver="shm", learn={"mac_limit": 5})
    with glend.connect() as conn:
        with pytest.raises(RpcError) as refused:
            conn.call("port.open", {"port": "sw0:p",
                                    "learn": {"mac_limit": 500}})
        assert refused.value.errno_name == "EPERM"
        conn.call("port.open", {"port": "sw0:p"})
        assert settings(glend, "sw0:p") == {"mac_limit": 5}
        with pytest.raises(RpcError):
            conn.call("port.set", {"port": "sw0:p", "learn": None})
