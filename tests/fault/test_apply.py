# SPDX-License-Identifier: BSD-2-Clause
# test_apply.py - config.apply: what it changes, refuses and undoes.
import os

import pytest

import glen
from daemon import TOPOLOGY, open_port, request
from glen import RpcError, wait_until


# config.apply

def apply(glend, ports, dry_run=False, **switch):
    config = {"switches": {"s": {"ports": ports, **switch}}}
    return glend.rpc("config.apply", config=config,
                     dry_run=dry_run)["changes"]


def test_apply_says_what_it_changes(glend):
    shm = {"driver": "shm"}
    assert apply(glend, {"a": shm}, dry_run=True) == [
        "added switch s (module learn)", "added port s:a"]
    assert glend.rpc("switch.list") == []
    assert apply(glend, {"a": shm}) == [
        "added switch s (module learn)", "added port s:a"]
    assert apply(glend, {"a": shm}) == []
    conn, _, fds = open_port(glend, "s:a")
    assert apply(glend, {"a": {**shm, "mtu": 1500}, "b": shm}) == [
        "changed port s:a (mtu)", "added port s:b"]
    assert glend.rpc("port.show", port="s:a")["mtu"] == 1500
    assert apply(glend, {"a": {**shm, "mtu": 1500}, "b": shm},
                 module="static") == ["set module static of switch s"]
    assert apply(glend, {"a": shm}, module="static") == [
        "removed port s:b", "changed port s:a (mtu)"]
    assert glend.rpc("port.show", port="s:a")["mtu"] == 0
    assert glend.rpc("port.show", port="s:a")["attached"]
    assert glend.rpc("config.apply", config={})["changes"] == [
        "removed port s:a", "removed switch s"]
    # The client still has its port.
    assert glend.rpc("port.show", port="s:a")["configured"] is False
    conn.close()
    for fd in fds:
        os.close(fd)
    wait_until(lambda: not glend.rpc("switch.list"))


def test_documented_topology(glend, tmp_path):
    with open(os.path.join(glen.SOURCE, "docs", "topology.md"),
              encoding="utf-8") as file:
        text = file.read().split("```yaml\n")[1].split("```")[0]
    path = tmp_path / "net.yaml"
    path.write_text(text)
    done = glend.ctl("apply", "--dry-run", str(path))
    assert "added port vale0:probe" in done.stdout
    assert "added switch wire (module static)" in done.stdout


def test_saved_topology_applies_without_change(glend, tmp_path):
    path = tmp_path / "net.yaml"
    path.write_text(TOPOLOGY)
    glend.ctl("apply", str(path))
    saved = tmp_path / "saved.yaml"
    saved.write_text(glend.ctl("save").stdout)
    assert "mtu: 1500" in saved.read_text()
    before = glend.rpc("config.get")
    glend.ctl("apply", str(saved))
    assert glend.rpc("config.get") == before
    assert glend.rpc("config.apply", config=before)["changes"] == []


def test_apply_refuses_before_it_touches_anything(glend):
    shm = {"driver": "shm"}
    apply(glend, {"a": shm})
    before = glend.rpc("config.get")
    for ports, path in (
            ({"b": shm, "c": {"driver": "nix"}}, "switches/s/ports/c/driver"),
            ({"b": shm, "c": {"driver": "shm", "slot": 1}},
             "switches/s/ports/c/slot"),
            ({"b": shm, "-c": shm}, "switches/s/ports/-c"),
            ({"b": {"driver": "shm", "mac": "01:00:00:00:00:00"}},
             "switches/s/ports/b/mac")):
        with glend.connect() as conn:
            conn.send(request("config.apply",
                              config={"switches": {"s": {"ports": ports}}}))
            error = conn.receive()["error"]
        assert error["data"]["path"] == path
        assert glend.rpc("config.get") == before


def test_apply_undoes_what_it_did_when_a_step_fails(glend, tmp_path):
    shm = {"driver": "shm"}
    apply(glend, {"a": {**shm, "mtu": 1000}, "z": shm})
    before = glend.rpc("config.get")
    with pytest.raises(RpcError) as error:
        glend.rpc("config.apply", config={"switches": {
            "s": {"module": "static", "ports": {
                "a": shm,
                "p": {"driver": "pcap", "read": "/nonexistent/x.pcap"}}},
            "t": {}}})
    assert "/nonexistent/x.pcap" in error.value.message
    assert glend.rpc("config.get") == before
    assert glend.rpc("status")["switches"] == 1
