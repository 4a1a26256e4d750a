# SPDX-License-Identifier: BSD-2-Clause
# test_steer.py - packets through glend into services, by rules.
import contextlib
import json

import pytest
from scapy.all import Ether, IP, TCP, raw

from frames import Client
from glen import Glend, RpcError

ETHER = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01")


def packet(dport, host=1):
    return raw(ETHER / IP(src=f"192.0.2.{host}", dst="10.0.0.1") /
               TCP(sport=7, dport=dport) / bytes(20))


@pytest.fixture
def switch():
    with Glend() as daemon:
        daemon.rpc("switch.add", switch="s", module="steer", options={
            "services": {"web": {"instances": {"w0": 1, "w1": 1}}},
            "rules": [{"dst": "10.0.0.0/24", "protocol": "tcp",
                       "dport": "80-81", "service": "web"}]})
        yield daemon


def rule(glend, op, **params):
    return glend.rpc("steer.rule", switch="s", op=op, **params)


def test_rules_services_and_ports(switch):
    with contextlib.ExitStack() as stack:
        net, lan, w0, w1 = (stack.enter_context(Client(switch, f"s:{name}"))
                            for name in ("net", "lan", "w0", "w1"))
        for host in range(1, 41):
            net.send(packet(80, host))
        switch.quiet_stats()
        got = [switch.port_stats(f"s:{name}")["out"]["packets"]
               for name in ("w0", "w1")]
        assert sum(got) == 40 and min(got) > 5
        net.send(packet(82))
        rule(switch, "add", rules=[{"dport": 82, "port": "lan"}])
        net.send(packet(82))
        assert lan.recv() == packet(82)
        # An instance without marks cannot say where its packets go on.
        w0.send(packet(82))
        switch.quiet_stats()
        assert switch.drops("s:w0")["in"] == {"in_steer_no_mark": 1}
        assert switch.drops("s:net")["in"] == {"in_steer_default": 1}
        # One instance goes, the other one gets everything.
        before = switch.port_stats("s:w1")["out"]["packets"]
        switch.rpc("steer.service", switch="s", op="set", name="web",
                   instances={"w1": 1})
        for host in range(1, 41):
            net.send(packet(81, host))
        switch.quiet_stats()
        assert switch.port_stats("s:w1")["out"]["packets"] == before + 40
    switch.check_identity()


def test_glenctl_shows_tables(switch):
    switch.rpc("steer.chain", switch="s", op="set", name="c",
               services=["web", "web"], exit="lan")
    rule(switch, "add", at=0, rules=[{"vlan": 5, "chain": "c"},
                                     {"drop": True, "sport": 7}])
    lines = [" ".join(line.split())
             for line in switch.ctl("steer", "show", "s").stdout.splitlines()]
    for line in ("web flow w0 1, w1 1", "0 c web, web lan",
                 "0 chain c vlan 5", "1 drop sport 7", "else drop -"):
        assert line in lines
    shown = json.loads(switch.ctl("--json", "steer", "show", "s").stdout)
    assert shown["rules"][0] == {"vlan": 5, "chain": "c"}
    assert shown["chains"]["c"]["number"] == 0


def test_what_is_wrong_is_said_and_changes_nothing(switch):
    with pytest.raises(RpcError) as error:
        rule(switch, "replace", rules=[{"port": "lan"},
                                       {"src": "10.0.0.0/33", "port": "x"}])
    assert "rule 1: src: must be an address" in error.value.message
    with pytest.raises(RpcError) as error:
        switch.rpc("steer.chain", switch="s", op="set", name="c",
                   services=["nobody"])
    assert "no service 'nobody'" in error.value.message
    assert len(rule(switch, "list")["rules"]) == 1
    shown = switch.rpc("module.show", switch="s")["options"]
    assert shown["counts"]["rules"] == 1


def test_a_client_asks_for_marks(switch):
    with switch.connect() as rpc:
        opened = rpc.call("port.open", {"port": "s:m", "marks": True})
        assert opened["marks"] is True
        rpc.take_fds()
    with switch.connect() as rpc:
        opened = rpc.call("port.open", {"port": "s:n"})
        assert "marks" not in opened
        rpc.take_fds()
    with pytest.raises(RpcError) as error, switch.connect() as rpc:
        rpc.call("port.open", {"port": "s:m", "marks": 1})
    assert "marks" in error.value.message
