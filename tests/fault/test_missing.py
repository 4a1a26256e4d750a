# SPDX-License-Identifier: BSD-2-Clause
# test_missing.py - ports that cannot be opened when glend comes back.
"""
The directory of their sockets is gone, as /run/x is after a reboot. They stay
configured, say what is wrong, and are open again once it is there.
"""
import os

import pytest

from glen import RpcError, wait_until

NAMES = ["sw0:dgram", "sw0:stream", "sw0:vm", "sw1:vm"]


@pytest.fixture(name="lost")
def glend_with_lost_ports(glend, tmp_path):
    """(glend, directory): restarted while the directory was not there."""
    run = tmp_path / "run"
    run.mkdir()
    for name in NAMES:
        options = {"driver": "vhost-user" if ":vm" in name else name[4:],
                   "path": str(run / name)}
        if "dgram" in name:
            options["peer"] = str(run / "peer")
        if name == "sw0:vm":
            options.update(mtu=1400, learn={"mac_limit": 3})
        glend.rpc("port.add", port=name, **options)
    glend.rpc("port.add", port="sw0:ok", driver="dummy")
    before = glend.rpc("config.get")
    glend.kill9()
    run.rename(tmp_path / "elsewhere")
    glend.start()
    assert glend.rpc("config.get") == before
    return glend, run


def missing(glend):
    return [p["port"] for p in glend.rpc("status")["missing_ports"]]


def test_they_stay_configured_and_say_why(lost):
    glend, run = lost
    before = glend.rpc("config.get")
    for _ in range(2):
        assert sorted(missing(glend)) == NAMES
        listed = {p["port"]: p for p in glend.rpc("port.list")}
        assert sorted(listed) == sorted(NAMES + ["sw0:ok"])
        for name in NAMES:
            shown = glend.rpc("port.show", port=name)
            assert shown == listed[name]
            assert shown["configured"] and not shown["attached"]
            assert not shown["link"] and shown["path"] == str(run / name)
            assert shown["problem"] == (
                f"the port is not open: cannot make {run / name}: its "
                "directory does not exist; it is tried again every second")
        assert listed["sw0:vm"]["mtu"] == 1400
        assert "problem" not in listed["sw0:ok"]
        counts = {s["switch"]: s["ports"] for s in glend.rpc("switch.list")}
        assert counts == {"sw0": 4, "sw1": 1}
        # Said once a port, however often it was tried.
        assert glend.log_text().count("sw1:vm could not be opened") == 1
        text = glend.ctl("port", "show", "sw1:vm").stdout
        assert "\nproblem: the port is not open: cannot make " in text
        assert (f"port sw1:vm is not open: cannot make {run / 'sw1:vm'}: its "
                "directory") in glend.ctl("status").stdout
        assert glend.ctl("port", "list").returncode == 0
        # A second death loses nothing either.
        os.truncate(glend.log, 0)
        glend.restart()
        assert glend.rpc("config.get") == before


def test_they_come_back_by_themselves(lost):
    glend, run = lost
    before = glend.rpc("config.get")
    run.mkdir()
    wait_until(lambda: not missing(glend), what="they are open")
    assert sorted(os.listdir(run)) == NAMES
    assert glend.rpc("config.get") == before
    shown = glend.rpc("port.show", port="sw0:vm")
    assert shown["mtu"] == 1400 and "problem" not in shown
    assert shown["attached"] and shown["learn"]["mac_limit"] == 3
    assert "port sw0:vm is open now" in glend.log_text()
    glend.restart()
    assert not missing(glend)
    assert glend.rpc("config.get") == before


def test_commands_for_them(lost, tmp_path):
    glend, run = lost
    config = glend.rpc("config.get")
    # Nothing to do for who wants what is configured.
    would = glend.rpc("config.apply", config=config, dry_run=True)["changes"]
    assert all("made switch" in change for change in would)
    with glend.connect() as conn, pytest.raises(RpcError) as refused:
        conn.call("port.open", {"port": "sw0:vm"})
    assert refused.value.errno_name == "EBUSY"
    assert "its directory does not exist" in refused.value.message
    # What fails again changes nothing.
    for method, options in (("port.set", {"mtu": 1300}),
                            ("port.add", {"driver": "vhost-user",
                                          "path": str(run / "other")})):
        with pytest.raises(RpcError) as refused:
            glend.rpc(method, port="sw0:vm", **options)
        assert refused.value.errno_name == "ENOENT"
        assert glend.rpc("config.get") == config
    # Elsewhere, at once.
    shown = glend.rpc("port.add", port="sw0:vm", driver="vhost-user",
                      path=str(tmp_path / "vm"))
    assert shown["attached"] and "problem" not in shown
    assert os.path.exists(tmp_path / "vm")
    # Removed: with its switch, by a configuration, by hand.
    glend.rpc("port.del", port="sw1:vm")
    assert [s["switch"] for s in glend.rpc("switch.list")] == ["sw0"]
    config = glend.rpc("config.get")
    del config["switches"]["sw0"]["ports"]["stream"]
    glend.rpc("config.apply", config=config)
    assert missing(glend) == ["sw0:dgram"]
    glend.rpc("switch.del", switch="sw0")
    assert not missing(glend) and not glend.rpc("port.list")
    glend.restart()
    assert not missing(glend) and not glend.rpc("port.list")


def test_a_configuration_that_fails_leaves_them(lost):
    """One of its steps removed the port; to put it back means: missing."""
    glend, run = lost
    before = glend.rpc("config.get")
    config = glend.rpc("config.get")
    del config["switches"]["sw0"]["ports"]["stream"]
    config["switches"]["sw1"]["ports"]["vm"]["packed"] = False
    with pytest.raises(RpcError) as refused:
        glend.rpc("config.apply", config=config)
    assert refused.value.errno_name == "ENOENT"
    assert glend.rpc("config.get") == before
    assert sorted(missing(glend)) == NAMES
    run.mkdir()
    wait_until(lambda: not missing(glend), what="they are open")
    assert glend.rpc("config.get") == before
