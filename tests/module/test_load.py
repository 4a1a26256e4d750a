# SPDX-License-Identifier: BSD-2-Clause
# test_load.py - what is loaded from a directory of modules, and what is not.
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import glen
from daemon import run_glend
from glen import SOURCE, Glend, RpcError, binary
from modules import EXAMPLE, run

# Modules with one fault each: macros of probe.c, and what glend must say.
BROKEN = {
    "nosymbol": ({"NO_SYMBOL": 1}, "it has no symbol glen_module_info, which "
                                   "GLEN_MODULE_EXPORT() makes"),
    "nomodule": ({"NO_MODULE": 1}, "it has no symbol glen_module_info"),
    "undefined": ({"UNDEFINED": 1}, "undefined symbol: "
                                    "there_is_no_such_function"),
    "newmajor": ({"MAJOR": 2}, "the module was built for ABI 2.2, and this is "
                               "1.2; build it anew"),
    "newminor": ({"MINOR": 9}, "the module was built for ABI 1.9, and this is "
                               "only 1.2; install a newer glen"),
    "size": ({"SIZE": 8}, "its struct glen_module has 8 bytes"),
    "nocreate": ({"CREATE": "NULL"}, "module nocreate has no create"),
    "nodestroy": ({"DESTROY": "NULL"}, "module nodestroy has no destroy"),
    "nolookup": ({"LOOKUP": "NULL"}, "module nolookup has no lookup"),
    "noversion": ({"VERSION": "NULL"}, "module noversion has no version"),
    "nosummary": ({"SUMMARY": "NULL"}, "module nosummary has no summary"),
    "headers": ({"HDR_WANT": 200}, "wants 200 bytes of header; possible are "
                                   "64 to 128"),
    "reason": ({"REASON": '"out_probe"'}, 'drop reason "out_probe" is not '
                                          "allowed"),
    "alias": ({"NAME": '"other"'}, "calls itself other; its file must be "
                                   "called other.so"),
    "Upper": ({}, 'name "Upper" is not allowed'),
    "learn": ({}, "there is a module learn already, built in"),
    "mtu": ({}, "a module cannot be called mtu: ports have an option of that "
                "name"),
    "snaplen": ({}, "a module cannot be called snaplen"),
}


def names(glend):
    return {m["module"] for m in glend.rpc("module.list")}


def status_of(folder, *args, **kwargs):
    """How a glend with this directory fails to start: (code, output)."""
    return run_glend("--socket", f"{folder}/sock", "--no-state",
                     "--module-dir", str(folder), *args, **kwargs)


@pytest.fixture(scope="module")
def broken(tree):
    """The log of a glend that found all of BROKEN beside good ones."""
    path = tree.folder / "broken"
    path.mkdir(mode=0o755)
    for name, (macros, _) in BROKEN.items():
        tree.probe(path, name, **macros)
    tree.probe(path, "good")
    tree.probe(path, "zlast")
    (path / "empty.so").touch(0o644)
    (path / "text.so").write_text("this is no shared object, but it is long " *
                                  100)
    (path / "directory.so").mkdir()
    (path / "dangling.so").symlink_to("nowhere")
    (path / ".hidden.so").write_text("not looked at")
    (path / "notes.txt").write_text("not looked at")
    with Glend(args=["--module-dir", str(path)]) as glend:
        log = glend.log_text()
        yield path, log, names(glend), glend


@pytest.mark.parametrize("name", BROKEN)
def test_broken_module_is_named(broken, name):
    path, log, _, _ = broken
    said = [line for line in log.splitlines() if f"{path}/{name}.so" in line]
    assert len(said) == 1, log
    assert BROKEN[name][1] in said[0]


def test_broken_modules_cost_only_themselves(broken):
    path, log, there, _ = broken
    assert there == {"learn", "static", "steer", "tuple3", "good", "zlast"}
    assert f"2 modules loaded from {path}" in log
    assert f"cannot load module {path}/empty.so: file too short" in log
    assert f"cannot load module {path}/text.so: invalid ELF header" in log
    assert f"{path}/directory.so is not a file" in log
    assert f"cannot find {path}/dangling.so" in log
    assert "hidden" not in log and "notes" not in log


def test_a_refused_module_says_why_once_more(broken):
    path, _, _, glend = broken
    with pytest.raises(RpcError) as error:
        glend.rpc("switch.add", switch="s", module="text")
    assert ('module "text" was refused at start: cannot load module '
            f"{path}/text.so: invalid ELF header") in error.value.message
    with pytest.raises(RpcError) as error:
        glend.rpc("config.apply", config={"switches": {"s": {
            "module": "directory"}}})
    assert f"{path}/directory.so is not a file" in error.value.message


def test_list_says_where_from_and_who_uses(loaded, folder):
    loaded.rpc("switch.add", switch="one", module="bridge")
    loaded.rpc("switch.add", switch="two", module="bridge")
    loaded.rpc("switch.add", switch="three", module="static")
    found = {m["module"]: m for m in loaded.rpc("module.list")}
    assert set(found) == {"learn", "static", "steer", "tuple3", "bridge", "probe"}
    assert sorted(found["bridge"].pop("switches")) == ["one", "two"]
    assert found["bridge"] == {
        "module": "bridge", "version": "1.0", "abi": "1.2",
        "path": f"{folder}/bridge.so", "options": "",
        "summary": "sends packets where their destination was seen last"}
    assert found["static"]["switches"] == ["three"]
    assert "path" not in found["static"]
    text = loaded.ctl("module", "list").stdout
    assert f"version 2.3, ABI 1.2, from {folder}/probe.so" in text
    assert "version 1.0, ABI 1.2, built in" in text
    assert "used by three\n" in text
    assert "used by no switch\n" in text


def test_module_in_a_topology_survives_restarts(folder, tmp_path):
    config = tmp_path / "net.yaml"
    config.write_text("switches: {s: {module: probe, options: {mark: 7}, "
                      f"ports: {{a: {{driver: stream, path: {tmp_path}/a, "
                      "probe: {weight: 3}}}}}")
    with Glend(args=["--module-dir", str(folder), "--config",
                     str(config)]) as glend:
        for _ in range(2):
            assert glend.rpc("module.show", switch="s")["options"]["mark"] == 7
            assert glend.rpc("probe.weight", switch="s", name="a") == {
                "weight": 3}
            glend.restart()
    config.write_text("switches: {s: {module: probe, options: {mrk: 7}}}")
    code, text = status_of(folder, "--config", str(config))
    assert code == 1
    assert f"{config}:1: " in text and "mrk" in text


def test_document_shows_the_example(tree):
    """docs/writing-a-module.md has all of it, in order, and it compiles."""
    text = (pathlib.Path(SOURCE) / "docs/writing-a-module.md").read_text()
    pieces = re.findall(r"^```c\n(.*?)^```$", text, re.M | re.S)
    assert len(pieces) == 7
    code = "\n".join(pieces)
    assert code == (EXAMPLE / "bridge.c").read_text()
    path = tree.folder / "document"
    path.mkdir(mode=0o755)
    (path / "source.c").write_text(code)
    tree.bridge(path, path / "source.c")
    with Glend(args=["--module-dir", str(path)]) as glend:
        assert "bridge" in names(glend)


# The directory

def test_directory_that_is_not_there(tmp_path):
    missing = tmp_path / "missing"
    code, text = run_glend("--socket", str(tmp_path / "s"), "--no-state",
                           "--module-dir", str(missing))
    assert code == 1
    assert f"cannot find {missing}" in text
    (tmp_path / "file").write_text("")
    code, text = run_glend("--socket", str(tmp_path / "s"), "--no-state",
                           "--module-dir", str(tmp_path / "file"))
    assert code == 1
    assert f"{tmp_path}/file: Not a directory" in text


def test_empty_directory(tmp_path):
    tmp_path.chmod(0o755)
    with Glend(args=["--module-dir", str(tmp_path)]) as glend:
        assert names(glend) == {"learn", "static", "steer", "tuple3"}


@pytest.fixture
def private(tree, folder, request):
    """A directory with a module of its own below one of its own."""
    top = tree.folder / f"private-{request.node.name[:40]}"
    path = top / "modules"
    path.mkdir(parents=True)
    top.chmod(0o755)
    path.chmod(0o755)
    shutil.copy(folder / "probe.so", path)
    (path / "probe.so").chmod(0o644)
    return path


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_directory_that_others_can_write(private, mode):
    private.chmod(mode)
    code, text = status_of(private)
    assert code == 1
    assert f"{private} can be written by others" in text
    assert "chmod go-w it" in text


def test_directory_above_that_others_can_write(private):
    private.parent.chmod(0o777)
    code, text = status_of(private)
    assert code == 1
    assert f"{private.parent} can be written by others" in text
    # In a sticky one, as /tmp, they cannot touch what is not theirs.
    private.parent.chmod(0o1777)
    with Glend(args=["--module-dir", str(private)]) as glend:
        assert "probe" in names(glend)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_file_that_others_can_write(private, mode):
    (private / "probe.so").chmod(mode)
    with Glend(args=["--module-dir", str(private)]) as glend:
        assert names(glend) == {"learn", "static", "steer", "tuple3"}
        assert (f"{private}/probe.so can be written by others than its owner"
                in glend.log_text())


def test_link_to_where_others_can_write(private, tmp_path):
    shutil.move(private / "probe.so", tmp_path / "real.so")
    (private / "probe.so").symlink_to(tmp_path / "real.so")
    tmp_path.chmod(0o777)
    with Glend(args=["--module-dir", str(private)]) as glend:
        assert names(glend) == {"learn", "static", "steer", "tuple3"}
        assert f"{tmp_path} can be written by others" in glend.log_text()
    # A link to a safe place is called by its own name.
    tmp_path.chmod(0o755)
    with Glend(args=["--module-dir", str(private)]) as glend:
        assert "probe" in names(glend)


def test_owners(private):
    reason = glen.why_missing("setpriv")
    if os.geteuid() != 0 or reason:
        pytest.skip(reason or "needs root, to give a file to somebody else")
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534",
              "--clear-groups"]
    # root's file, for root and for everybody.
    glend = Glend(args=["--module-dir", str(private)], start=False,
                  prefix=nobody)
    os.chown(glend.dir, 65534, 65534)
    with glend:
        glend.start()
        assert "probe" in names(glend)
    # One's own, for oneself only.
    os.chown(private / "probe.so", 65534, 65534)
    glend = Glend(args=["--module-dir", str(private)], start=False,
                  prefix=nobody)
    os.chown(glend.dir, 65534, 65534)
    with glend:
        glend.start()
        assert "probe" in names(glend)
    with Glend(args=["--module-dir", str(private)]) as glend:
        assert "probe" not in names(glend)
        assert (f"{private}/probe.so belongs to user 65534" in
                glend.log_text())
    os.chown(private / "probe.so", 0, 0)
    os.chown(private, 65534, 65534)
    code, text = status_of(private)
    assert code == 1
    assert f"{private} belongs to user 65534" in text


# What a module needs of glen, and what it gets

def symbols(path, *options):
    text = run("nm", "-D", "-P", *options, path)
    return {line.split()[0].split("@")[0] for line in text.splitlines()}


def test_modules_need_and_give_no_symbols_of_glen(folder):
    for name in ("bridge.so", "probe.so"):
        assert not {s for s in symbols(folder / name, "--undefined-only")
                    if s.startswith("glen")}
        assert {s for s in symbols(folder / name, "--defined-only")
                if s.startswith("glen")} == {"glen_module_info"}
    assert not {s for s in symbols(binary("glend"), "--defined-only")
                if s.startswith(("glen", "module", "port", "switch"))}


def test_embedded(tree, folder):
    if os.environ.get("SANITIZED"):
        pytest.skip("libglen.so is built with a sanitizer, programs are not")
    program = tree.folder / "embedded"
    env = {"PKG_CONFIG_PATH": str(tree.one("libglen.pc").parent)}
    words = run("pkg-config", f"--define-variable=prefix={tree.prefix}",
                "--cflags", "--libs", "libglen", **env).split()
    run("cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", program,
        f"{os.path.dirname(__file__)}/embedded.c", *words)
    library = str(tree.one("libglen.so").parent)
    out = subprocess.run([program, folder, folder / "bridge.so"], text=True,
                         check=True, capture_output=True,
                         env={**os.environ, "LD_LIBRARY_PATH": library})
    assert out.stdout == (
        "directory: 0\n"
        f"again: {folder}/bridge.so: there is a module bridge already, from "
        f"{folder}/bridge.so\n"
        "nothing: cannot find /nonexistent/x.so: No such file or directory\n"
        "one packet from a to b: arrived\n")


def test_unknown_module_names_those_that_there_are(loaded):
    with pytest.raises(RpcError) as error:
        loaded.rpc("switch.add", switch="s", module="brigde")
    assert "known: learn static steer tuple3 bridge probe" in error.value.message


def test_a_missing_module_does_not_cost_the_switch(loaded, folder):
    """It stays in the state file until its module is there again."""
    loaded.rpc("switch.add", switch="kept", module="bridge")
    loaded.rpc("port.add", port="kept:a", driver="dummy", mtu=1400)
    loaded.rpc("port.add", port="other:a", driver="dummy")
    before = loaded.rpc("config.get")
    at = loaded.argv.index("--module-dir")
    saved = loaded.argv[at:at + 2]
    del loaded.argv[at:at + 2]
    loaded.restart()
    assert list(loaded.rpc("config.get")["switches"]) == ["other"]
    missing, = loaded.rpc("status")["missing_switches"]
    assert missing["switch"] == "kept" and "bridge" in missing["problem"]
    assert "switch kept is not open" in loaded.ctl("status").stdout
    # Saves the configuration, and starts with what was saved.
    loaded.rpc("port.add", port="other:b", driver="dummy")
    loaded.rpc("port.del", port="other:b")
    loaded.restart()
    loaded.argv += saved
    loaded.restart()
    assert loaded.rpc("config.get") == before
    assert not loaded.rpc("status")["missing_switches"]


def test_a_switch_in_place_of_a_missing_one(loaded):
    loaded.rpc("switch.add", switch="kept", module="bridge")
    loaded.rpc("port.add", port="kept:a", driver="dummy")
    at = loaded.argv.index("--module-dir")
    saved = loaded.argv[at:at + 2]
    del loaded.argv[at:at + 2]
    loaded.restart()
    loaded.rpc("switch.add", switch="kept", module="learn")
    loaded.argv += saved
    loaded.restart()
    assert loaded.rpc("config.get")["switches"] == {
        "kept": {"module": "learn", "ports": {}}}
