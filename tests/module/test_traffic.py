# SPDX-License-Identifier: BSD-2-Clause
# test_traffic.py - modules outside the tree decide about real packets.
import contextlib
import json

import pytest

from frames import Client
from glen import Glend, RpcError, wait_until
from peers import Peer, assert_intact

A, B, C, ALL = 1, 2, 3, 255


def frame(to, src, fifth=0):
    """60 bytes between addresses that differ in their last byte."""
    def mac(last):
        return b"\xff" * 6 if last == ALL else bytes([2, 0, 0, 0, fifth, last])

    return mac(to) + mac(src)[:4] + bytes([0, src]) + b"\x88\xb5" + bytes(46)


def ports(stack, glend, *names):
    return [stack.enter_context(Client(glend, f"s:{name}")) for name in names]


def went(glend):
    """{port: packets that were sent to it} once all is quiet."""
    glend.quiet_stats()
    return {name: glend.port_stats(f"s:{name}")["out"]["packets"]
            for name in "abc"}


def test_bridge_learns_and_forwards(loaded):
    loaded.rpc("switch.add", switch="s", module="bridge")
    with contextlib.ExitStack() as stack:
        a, b, c = ports(stack, loaded, "a", "b", "c")
        a.send(frame(B, A))                     # nobody knows B: to all
        assert b.recv() == c.recv() == frame(B, A)
        b.send(frame(A, B))                     # A is behind a
        assert a.recv() == frame(A, B)
        a.send(frame(B, A))                     # and B behind b
        assert b.recv() == frame(B, A)
        assert went(loaded) == {"a": 1, "b": 2, "c": 1}
        c.send(frame(A, B))                     # B moved to c
        assert a.recv() == frame(A, B)
        a.send(frame(B, A))
        assert c.recv() == frame(B, A)
        a.send(frame(ALL, A))
        assert b.recv() == c.recv() == frame(ALL, A)
        assert went(loaded) == {"a": 2, "b": 3, "c": 3}
        a.send(frame(A, C))                     # where it came from
        assert went(loaded) == {"a": 2, "b": 3, "c": 3}
        assert loaded.drops("s:a")["in"] == {"in_same_port": 1}
    loaded.check_identity()


def test_bridge_forgets_a_port_that_goes(loaded):
    loaded.rpc("switch.add", switch="s", module="bridge")
    with contextlib.ExitStack() as stack:
        a, c = ports(stack, loaded, "a", "c")
        with Client(loaded, "s:b") as b:
            b.send(frame(ALL, B))
            assert a.recv() == c.recv() == frame(ALL, B)
            a.send(frame(B, A))
            assert b.recv() == frame(B, A)
        loaded.rpc("port.add", port="s:x", driver="shm")
        b, = ports(stack, loaded, "b")          # the same index, maybe
        a.send(frame(B, A))
        assert b.recv() == c.recv() == frame(B, A)
    loaded.check_identity()


def test_bridge_keeps_isolated_ports_apart(loaded):
    loaded.rpc("switch.add", switch="s", module="bridge")
    for name, isolated in (("a", True), ("b", True), ("c", False)):
        loaded.rpc("port.add", port=f"s:{name}", driver="shm",
                   isolated=isolated)
    with contextlib.ExitStack() as stack:
        a, b, c = ports(stack, loaded, "a", "b", "c")
        a.send(frame(ALL, A))
        b.send(frame(ALL, B))
        assert {c.recv(), c.recv()} == {frame(ALL, A), frame(ALL, B)}
        a.send(frame(B, A))                     # known, but isolated as well
        c.send(frame(A, C))
        assert a.recv() == frame(A, C)
        assert went(loaded) == {"a": 1, "b": 0, "c": 2}
        assert loaded.drops("s:a")["in"] == {"in_isolated": 1}
    loaded.check_identity()


def test_drop_reasons_have_names(loaded):
    loaded.rpc("switch.add", switch="s", module="probe")
    with contextlib.ExitStack() as stack:
        a, b = ports(stack, loaded, "a", "b")
        for fifth in (1, 2, 2, 0):
            a.send(frame(B, A, fifth))
        assert b.recv() == frame(B, A)
        assert loaded.drops("s:a")["in"] == {"in_probe_one": 1,
                                             "in_probe_two": 2}
        text = loaded.ctl("stats", "s:a").stdout
        assert "in_probe_one" in text and "in_probe_two" in text
        shown = loaded.rpc("module.show", switch="s")["options"]
        assert shown == {"mark": 1, "packets": 4, "adopted": 0}
    loaded.check_identity()


def test_commands_and_settings_of_its_own(loaded):
    loaded.rpc("switch.add", switch="s", module="probe", options={"mark": 5})
    loaded.rpc("port.add", port="s:a", driver="dgram", path=f"{loaded.dir}/a",
               peer=f"{loaded.dir}/b", probe={"weight": 4})
    assert loaded.rpc("probe.weight", switch="s", name="a") == {"weight": 4}
    loaded.ctl("port", "set", "s:a", "probe.weight=6")
    done = loaded.ctl("rpc", "probe.weight", '{"switch": "s", "name": "a"}')
    assert json.loads(done.stdout) == {"weight": 6}

    def refused(code, text, method, **params):
        with pytest.raises(RpcError) as error:
            loaded.rpc(method, **params)
        assert error.value.code == code
        assert text in error.value.message

    refused(-2, "there is no port z", "probe.weight", switch="s", name="z")
    refused(-32601, "probe.nothing", "probe.nothing", switch="s")
    refused(-22, "weight", "port.set", port="s:a", probe={"weight": 99})
    refused(-22, "wait", "port.set", port="s:a", probe={"wait": 1})
    refused(-22, "mark", "module.set", switch="s", module="probe",
            options={"mark": 100})
    assert loaded.rpc("module.show", switch="s")["options"]["mark"] == 5
    # The settings stay with the port while another module is at work.
    loaded.rpc("module.set", switch="s", module="bridge")
    refused(-32601, "probe.weight", "probe.weight", switch="s", name="a")
    loaded.rpc("module.set", switch="s", module="probe")
    assert loaded.rpc("probe.weight", switch="s", name="a") == {"weight": 6}


def adopted(glend):
    return glend.rpc("module.show", switch="s")["options"]["adopted"]


def test_who_hands_over_to_whom(loaded):
    loaded.rpc("switch.add", switch="s", module="probe")
    # Without set() every change of options is a new instance, and adopted.
    loaded.rpc("module.set", switch="s", module="probe", options={"mark": 2})
    assert adopted(loaded) == 1
    loaded.ctl("module", "replace", "s")
    loaded.ctl("module", "replace", "s", "probe", "mark=3")
    assert adopted(loaded) == 3
    assert loaded.rpc("module.show", switch="s")["options"]["mark"] == 3
    loaded.ctl("module", "replace", "s", "bridge")
    loaded.ctl("module", "replace", "s", "probe")
    shown = loaded.rpc("module.show", switch="s")["options"]
    assert shown == {"mark": 1, "packets": 0, "adopted": 0}
    # learn changes options in place, unless it is to be replaced.
    loaded.ctl("module", "replace", "s", "learn")
    loaded.rpc("port.add", port="s:a", driver="shm")
    with Client(loaded, "s:a") as a, Client(loaded, "s:b") as b:
        a.send(frame(ALL, A))
        assert b.recv()
        loaded.ctl("module", "replace", "s")
        assert [e["port"] for e in
                loaded.rpc("fdb.show", switch="s")["entries"]] == ["a"]
    # What cannot be replaced leaves the old one at work.
    done = loaded.ctl("module", "replace", "s", "probe", "mark=-1",
                      check=False)
    assert done.returncode == 1 and "mark" in done.stderr
    assert loaded.rpc("module.show", switch="s")["module"] == "learn"


def packets(glend):
    return glend.rpc("stats", switch="s")["switches"][0]["in_packets"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("plan", [["probe"], ["bridge"],
                                  ["learn", "bridge", "probe", "static"]])
def test_replaced_under_traffic(folder, scaled, workers, plan):
    """A thousand times; nothing is lost, doubled, changed or out of order."""
    rounds = scaled(1000, 4 * len(plan))
    with Glend(workers=workers, args=["--module-dir", str(folder)]) as glend:
        glend.rpc("switch.add", switch="s", module=plan[0])
        with Peer(glend, "check", "s:a", "s:b") as traffic:
            for i in range(rounds):
                module = plan[i % len(plan)]
                options = {"map": {"a": "b", "b": "a"}} \
                    if module == "static" else {}
                glend.rpc("module.set", switch="s", module=module,
                          options=options, replace=True)
                # Each instance has packets to decide about.
                before = packets(glend)
                wait_until(lambda n=before: packets(glend) > n)
            for name in "ab":
                assert glend.drops(f"s:{name}") == {"in": {}, "out": {}}
        assert_intact(traffic.report)
        stats = glend.check_identity()["switches"][0]
        assert stats["in_packets"] == 2 * traffic.report["sent"]
        assert stats["drops"] == stats["replicated"] == 0
        if plan == ["probe"]:
            # Each counted what it decided, and handed that over.
            assert glend.rpc("module.show", switch="s")["options"] == {
                "mark": 1, "packets": stats["in_packets"], "adopted": rounds}
