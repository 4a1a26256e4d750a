# SPDX-License-Identifier: BSD-2-Clause
# test_tuple3.py - processes share an address, and nobody gets another's.
import errno
import json

import pytest
from scapy.all import (ARP, Ether, ICMP, ICMPv6PacketTooBig, IP, IPv6, TCP,
                       UDP, raw)

from frames import Client
from glen import RpcError, wait_until

OPTIONS = {"default": "host", "uplink": "net"}
ADDRESS, ADDRESS6, REMOTE = "10.0.0.1", "2001:db8::1", "10.0.0.200"
ETHER = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01")


def request(dport, payload=b"", dst=ADDRESS):
    return raw(ETHER / IP(src=REMOTE, dst=dst) / UDP(sport=7, dport=dport) /
               payload)


def answer(sport, payload=b"", src=ADDRESS):
    return raw(ETHER / IP(src=src, dst=REMOTE) / UDP(sport=sport, dport=7) /
               payload)


def claims(glend, **params):
    shown = glend.rpc("tuple3.show", switch="s", **params)
    assert shown["count"] == len(shown["claims"])
    return sorted((c["ip"], c["protocol"], c["port"], c["owner"])
                  for c in shown["claims"])


@pytest.fixture
def switch(glend):
    glend.rpc("switch.add", switch="s", module="tuple3", options=OPTIONS)
    return glend


@pytest.fixture
def ports(switch):
    """Host, network, and two stacks with the same address."""
    with Client(switch, "s:host") as host, Client(switch, "s:net") as net, \
            Client(switch, "s:a", f"udp/80/{ADDRESS}") as a, \
            Client(switch, "s:b", f"udp/81/{ADDRESS}",
                   f"tcp/81/{ADDRESS6}") as b:
        yield host, net, a, b


def test_two_stacks_one_address(switch, ports):
    host, net, a, b = ports
    assert claims(switch) == [(ADDRESS, "udp", 80, "a"),
                              (ADDRESS, "udp", 81, "b"),
                              (ADDRESS6, "tcp", 81, "b")]
    for to, port in ((a, 80), (b, 81), (host, 82)):
        net.send(request(port))
        assert to.recv() == request(port)
    for sender, port in ((a, 80), (b, 81), (host, 82)):
        sender.send(answer(port))
        assert net.recv() == answer(port)
    six = raw(ETHER / IPv6(src="2001:db8::9", dst=ADDRESS6) /
              TCP(sport=5, dport=81))
    net.send(six)
    assert b.recv() == six
    # To each other.
    local = raw(ETHER / IP(src=ADDRESS, dst=ADDRESS) /
                UDP(sport=80, dport=81))
    a.send(local)
    assert b.recv() == local
    # An ARP request reaches all who may answer.
    who = raw(Ether(src="02:00:00:00:00:02", dst="ff:ff:ff:ff:ff:ff") /
              ARP(psrc=REMOTE, pdst=ADDRESS) / bytes(18))
    net.send(who)
    for port in (host, a, b):
        assert port.recv() == who
    # An error about a packet of b.
    error = raw(ETHER / IP(src="10.9.9.9", dst=ADDRESS) / ICMP(type=3) /
                answer(81, b"12345678")[14:])
    net.send(error)
    assert b.recv() == error
    # The same behind more than 64 bytes of headers.
    about = raw(ETHER / IPv6(src=ADDRESS6, dst="2001:db8::9") /
                TCP(sport=81, dport=5))[14:]
    error = raw(ETHER / IPv6(src="2001:db8::8", dst=ADDRESS6) /
                ICMPv6PacketTooBig() / about)
    net.send(error)
    assert b.recv() == error
    switch.check_identity()


def test_spoofed_and_malformed_go_nowhere(switch, ports):
    host, net, a, b = ports
    bad = bytearray(request(80))
    bad[24] ^= 1
    wrong = {
        "s:a": (a, [answer(81), answer(22), answer(80, src="10.0.0.9")],
                "in_t3_spoofed"),
        "s:host": (host, [answer(80)], "in_t3_spoofed"),
        "s:net": (net, [bytes(bad)], "in_t3_bad_csum"),
    }
    for port, (sender, packets, reason) in wrong.items():
        for packet in packets:
            sender.send(packet)
        wait_until(lambda p=port, n=len(packets), r=reason:
                   switch.drops(p)["in"].get(r) == n, what=reason)
    # What comes next is the first that arrives.
    a.send(answer(80, b"good"))
    assert net.recv() == answer(80, b"good")
    net.send(request(80, b"good"))
    assert a.recv() == request(80, b"good")
    switch.check_identity()


def test_killed_and_the_other_loses_nothing(switch, ports):
    _, net, a, b = ports
    for i in range(100):
        if i == 50:
            a.process.kill()
            a.process.wait()
        batch = [request(81, b"%d %d" % (i, k)) for k in range(20)]
        for packet in batch:
            net.send(packet)
        for packet in batch:
            assert b.recv() == packet
    wait_until(lambda: len(claims(switch)) == 2, what="a's claims have ended")
    with Client(switch, "s:a2", f"udp/80/{ADDRESS}") as again:
        net.send(request(80))
        assert again.recv() == request(80)
    switch.check_identity()


def claim(rpc, port, ip=ADDRESS, number=80, method="tuple3.claim",
          protocol="udp"):
    return rpc.call(method, {"port": port, "claims": [
        {"ip": ip, "protocol": protocol, "port": number}]})


def refused(code, word, call, *args, **kwargs):
    with pytest.raises(RpcError) as refusal:
        call(*args, **kwargs)
    assert refusal.value.code == -code
    assert word in refusal.value.message


def test_claims_belong_to_the_connection(switch, ports):
    with switch.connect() as rpc:
        refused(errno.EPERM, "connection of a port", claim, rpc, "s:a")
        refused(errno.EPERM, "connection of a port", rpc.call, "tuple3.claim",
                {"switch": "s", "port": "a", "claims": []})
        rpc.call("port.open", {"port": "s:c"})
        refused(errno.EBUSY, "only answers", claim, rpc, "s:a", number=90)
        refused(errno.EADDRINUSE, "claimed by port a", claim, rpc, "s:c")
        refused(errno.ENOENT, "no claim", claim, rpc, "s:c",
                method="tuple3.release")
        refused(errno.EINVAL, "224.0.0.1", claim, rpc, "s:c", ip="224.0.0.1")
        chosen = claim(rpc, "s:c", number=0)["claims"][0]["port"]
        assert 61000 <= chosen <= 65535
        assert (ADDRESS, "udp", chosen, "c") in claims(switch)
        assert claims(switch, port="c") == claims(switch, port="s:c") == [
            (ADDRESS, "udp", chosen, "c")]
        claim(rpc, "s:c", number=chosen, method="tuple3.release")
        assert not claims(switch, port="c")
        claim(rpc, "s:c", number=99)
    wait_until(lambda: len(claims(switch)) == 3, what="c's claims have ended")


def test_another_module_knows_no_claims(glend):
    glend.rpc("switch.add", switch="s", module="learn")
    refused(errno.EOPNOTSUPP, "knows no claims", glend.rpc, "tuple3.show",
            switch="s")
    with glend.connect() as rpc:
        rpc.call("port.open", {"port": "s:c"})
        refused(errno.EOPNOTSUPP, "knows no claims", claim, rpc, "s:c")


def test_again_when_glend_was_killed(switch, ports):
    _, net, a, b = ports
    before = claims(switch)
    switch.restart()
    wait_until(lambda: claims(switch) == before, what="the claims are back")
    for to, port in ((a, 80), (b, 81)):
        net.send(request(port, b"again"))
        assert to.recv() == request(port, b"again")
    a.send(answer(80))
    assert net.recv() == answer(80)


def test_module_replaced(switch, ports):
    _, net, a, _ = ports
    before = claims(switch)
    switch.rpc("module.set", switch="s", module="tuple3", replace=True)
    assert claims(switch) == before
    net.send(request(80))
    assert a.recv() == request(80)


def test_glenctl(switch, ports):
    shown = switch.ctl("tuple3", "show", "s").stdout.splitlines()
    assert shown[0].split() == ["IP", "PROTOCOL", "PORT", "OWNER"]
    assert shown[1].split() == [ADDRESS, "udp", "80", "a"]
    assert shown[-1] == "3 of 3 claims"
    shown = json.loads(switch.ctl("tuple3", "show", "s:b", "--ip", ADDRESS6,
                                  "--json").stdout)
    assert shown["claims"] == [{"ip": ADDRESS6, "protocol": "tcp", "port": 81,
                                "owner": "b"}]
    shown = json.loads(switch.ctl("tuple3", "show", "s", "--limit", "1",
                                  "--json").stdout)
    assert (len(shown["claims"]), shown["count"]) == (1, 3)


def test_many_claims(switch):
    """At the end there is as much to do as at the beginning."""
    n = 100000
    with switch.connect() as rpc, Client(switch, "s:net") as net, \
            Client(switch, "s:host") as host:
        rpc.call("port.open", {"port": "s:c"})
        for at in range(0, n, 5000):
            rpc.call("tuple3.claim", {"port": "s:c", "claims": [
                {"ip": f"10.1.{i >> 8 & 255}.{i & 255}", "protocol": "udp",
                 "port": 1 + (i >> 16)} for i in range(at, at + 5000)]})
        assert switch.rpc("tuple3.show", switch="s", limit=0)["count"] == n
        net.send(request(2, dst="10.1.134.159"))
        net.send(request(2, dst="10.1.134.160"))
        assert host.recv() == request(2, dst="10.1.134.160")
        wait_until(lambda: switch.port_stats("s:c")["out"]["packets"] == 1,
                   what="a claimed packet arrives")
    wait_until(lambda: not claims(switch), what="the claims have ended")
