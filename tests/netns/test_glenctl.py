# SPDX-License-Identifier: BSD-2-Clause
# test_glenctl.py - glenctl against a running glend: words, tables, exit codes.
import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time
import xml.etree.ElementTree

import pytest

from gen import Gen, gen_run
from glen import SOURCE, binary, wait_until

OK, REFUSED, USAGE, UNREACHABLE, TIMEOUT = range(5)


def ctl_json(glend, *args):
    return json.loads(glend.ctl(*args, "--json").stdout)


def fails(glend, code, *args):
    """Runs glenctl, which must end with code and one sentence; returns it."""
    done = glend.ctl(*args, check=False)
    assert done.returncode == code, (args, done)
    assert done.stdout == ""
    assert done.stderr.startswith("glenctl"), done.stderr
    return done.stderr


def column(text, title):
    """The cells below a title of the first table."""
    head, *lines = text.split("\n\n")[0].splitlines()
    at = re.split(r"  +", head).index(title)
    return [re.split(r"  +", line)[at] for line in lines]


# Help and usage

COMMANDS = ["status", "switch", "switch add", "switch del", "switch set",
            "switch show", "switch list", "port", "port add", "port del",
            "port set", "port show", "port list", "module", "module list",
            "module set", "module replace", "module show", "driver",
            "driver list", "worker", "worker show", "fdb", "fdb show",
            "fdb flush", "fdb add", "fdb del", "vlan", "vlan show", "steer",
            "steer show", "tuple3", "tuple3 show", "stats", "top", "capture",
            "apply", "save", "wait", "rpc", "completion", "completion bash"]


def run(*args, env=None):
    return subprocess.run([binary("glenctl"), *args], text=True, timeout=60,
                          capture_output=True, check=False,
                          env={**os.environ, **(env or {})})


@pytest.mark.parametrize("command", COMMANDS)
def test_help_at_every_level(command):
    done = run(*command.split(), "--help")
    assert done.returncode == OK
    assert done.stderr == ""
    assert done.stdout.startswith(f"Usage: glenctl {command}")
    assert max(map(len, done.stdout.splitlines())) <= 80
    if "Commands:" not in done.stdout:
        assert "Example" in done.stdout


def test_help_names_every_command():
    text = run("--help").stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command.split()[0]} ", text, re.M), command
    assert "Exit codes" in text
    assert re.fullmatch(r"glenctl \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("args", [
    [], ["nonsense"], ["switch"], ["switch", "nonsense"], ["switch", "add"],
    ["port", "add", "sw0:a"], ["port", "add", "sw0:a", "mtu=1"],
    ["port", "add", "sw0:a", "tap", "mtu"], ["port", "set", "sw0:a"],
    ["port", "add", "sw0:a", "tap", "mtu=1", "mtu=2"], ["port", "list", "-x"],
    ["port", "add", "-bad-:b", "dummy"],
    ["fdb", "add", "sw0", "02:00:00:00:00:01"], ["fdb", "show", "--static"],
    ["fdb", "add", "sw0:a", "02:00:00:00:00:01", "--vlan", "5000"],
    ["stats", "--rate"], ["stats", "--rate", "soon"], ["stats", "a", "b"],
    ["top", "-n", "0"], ["top", "-s", "colour"], ["capture"],
    ["capture", "sw0", "-c", "-1"], ["capture", "sw0", "tcp", "prot", "80"],
    ["apply"], ["wait"], ["wait", "sw0:a", "--timeout", "nan"],
    ["rpc", "version", "{"], ["completion", "fish"], ["--socket"],
    ["port", "list", "\udcff"], ["port", "add", "sw0:a", "tap", "--show"],
    ["port", "add", "sw0:a", "tap", "--show", "qemu"],
    ["port", "add", "sw0:a", "vhost-user", "--show", "xen"],
    ["port", "add", "sw0:a", "vhost-user", "--memory", "big"],
    ["port", "add", "sw0:a", "vhost-user", "--model", "e1000"],
    ["port", "add", "sw0:a", "vhost-user", "--queues", "17"],
])
def test_usage_errors(glend, args):
    text = fails(glend, USAGE, *args)
    assert "--help" in text


def test_unreachable(tmp_path):
    for path in (tmp_path / "none.sock", "x" * 200):
        done = run("status", "--socket", str(path))
        assert done.returncode == UNREACHABLE
        assert str(path)[:50] in done.stderr
    assert "is glend running?" in run(
        "status", env={"GLEN_SOCKET": str(tmp_path / "none")}).stderr


def test_glend_goes_away_while_waiting(glend):
    waiting = subprocess.Popen(
        [binary("glenctl"), "wait", "sw0:never"], env=glend.env, text=True,
        stderr=subprocess.PIPE)
    wait_until(lambda: len(os.listdir(f"/proc/{waiting.pid}/fd")) > 3)
    glend.kill9()
    assert waiting.wait(timeout=30) == UNREACHABLE
    assert waiting.stderr.read().startswith("glenctl: ")


# Objects

def test_switches_ports_modules(glend):
    glend.ctl("switch", "add", "s0", "learn", "ageing_s=60", "entries=1024")
    assert ctl_json(glend, "switch", "show", "s0")["configured"] is True
    assert ctl_json(glend, "module", "show", "s0")["options"][
        "ageing_s"] == 60
    glend.ctl("module", "set", "s0", "ageing_s=30")
    assert ctl_json(glend, "module", "show", "s0")["options"][
        "ageing_s"] == 30
    glend.ctl("port", "add", "s0:a", "dummy", "mtu=9000", "isolated=true",
              "mac=02:00:00:00:00:0a")
    port = ctl_json(glend, "port", "show", "s0:a")
    assert (port["mtu"], port["isolated"]) == (9000, True)
    assert port["mac"] == "02:00:00:00:00:0a"
    glend.ctl("port", "set", "s0:a", "mtu=1500", "isolated=false")
    assert glend.rpc("port.show", port="s0:a")["mtu"] == 1500
    glend.ctl("switch", "set", "s0", "static")
    assert glend.rpc("switch.show", switch="s0")["module"] == "static"
    glend.ctl("port", "add", "s1:x", "dummy")

    assert column(glend.ctl("port", "list").stdout, "PORT") == ["s0:a", "s1:x"]
    assert column(glend.ctl("port", "list", "s0").stdout, "MTU") == ["1500"]
    assert column(glend.ctl("switch", "list").stdout, "MODULE") == [
        "static", "learn"]
    assert "driver         dummy" in glend.ctl("port", "show", "s0:a").stdout
    assert "queues=N" in glend.ctl("driver", "list").stdout
    assert "ageing_s=N" in glend.ctl("module", "list").stdout

    glend.ctl("port", "del", "s0:a")
    assert glend.rpc("port.list", switch="s0") == []
    glend.ctl("switch", "del", "s0")
    assert [s["switch"] for s in ctl_json(glend, "switch", "list")] == ["s1"]


# Virtual machines

def guest_ports(glend):
    """A port of each driver for guests, and what was said when it came."""
    path = os.path.join(glend.dir, "it's a, path")
    said = [glend.ctl("port", "add", "s0:v", "vhost-user", f"path={path}",
                      "queues=2", "mtu=9000").stdout,
            glend.ctl("port", "add", "s0:s", "stream",
                      f"path={glend.dir}/s").stdout,
            glend.ctl("port", "add", "s0:d", "dgram", f"path={glend.dir}/d",
                      f"peer={glend.dir}/peer").stdout]
    return dict(zip(("s0:v", "s0:s", "s0:d"), said))


def test_guests_are_told_how(glend):
    for port, said in guest_ports(glend).items():
        words = ctl_json(glend, "port", "show", port)["qemu"]
        # What is printed for a person is the same, for a shell.
        pasted = "\n\n".join(said.split("\n\n")[1:2])
        assert shlex.split(pasted.replace("\\\n", " ")) == words
        if port != "s0:v":
            plain = glend.ctl("port", "show", port, "--show", "qemu")
            assert plain.stdout.split() == words and not plain.stderr
    assert "size=SIZE," in ctl_json(glend, "port", "show", "s0:v")["qemu"][1]
    quoted = glend.ctl("port", "show", "s0:v", "--show", "qemu",
                       "--memory", "1G", "--queues", "1")
    words = shlex.split(quoted.stdout)
    assert words[1].endswith(",size=1G,share=on")
    assert f"path={glend.dir}/it's a,, path," in words[5]
    assert words[7].endswith(",queues=1") and "mq=on" not in words[9]
    assert "quoted" in quoted.stderr
    done = fails(glend, REFUSED, "port", "show", "s0:v", "--queues", "3")
    assert "queues=" in done
    # An address that is the port's goes before one that is made up.
    glend.ctl("port", "set", "s0:v", "mac=52:54:00:00:00:99")
    assert "mac=52:54:00:00:00:99," in glend.ctl(
        "port", "show", "s0:v", "--show", "qemu").stdout


@pytest.mark.parametrize("driver, args, word", [
    ("stream", ["--queues", "2"], "--queues"),
    ("stream", ["--memory", "2G"], "--memory"),
    ("dgram", ["--queues", "2", "peer=/tmp/peer"], "--queues"),
    ("dgram", ["--memory", "2G", "peer=/tmp/peer"], "--memory"),
    ("vhost-user", ["--queues", "3", "queues=2"], "queues="),
    ("vhost-user", ["--packed", "packed=false"], "packed"),
])
def test_what_cannot_be_attached_is_not_added(glend, driver, args, word):
    said = fails(glend, USAGE, "port", "add", "s0:a", driver,
                 f"path={glend.dir}/a", *args)
    assert word in said and "was added" not in said
    assert glend.rpc("port.list") == []


def test_libvirt_is_told_how(glend):
    for port in guest_ports(glend):
        text = glend.ctl("port", "show", port, "--show", "libvirt").stdout
        tree = xml.etree.ElementTree.fromstring(f"<all>{text}</all>")
        names = [element.tag for element in tree]
        if port == "s0:v":
            assert names == ["memoryBacking", "interface"]
            assert tree.find("interface/source").get("path") == (
                f"{glend.dir}/it's a, path")
            assert tree.find("interface/mtu").get("size") == "9000"
        else:
            assert len(names) == 1 and names[0].endswith("commandline")
            args = [arg.get("value") for arg in tree[0]]
            assert args == ctl_json(glend, "port", "show", port, "--show",
                                    "qemu")
    only = glend.ctl("port", "show", "s0:v", "--show", "libvirt", "--memory",
                     "none").stdout
    assert only.startswith("<interface ")


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"),
                    reason="needs qemu-system-x86_64")
def test_qemu_takes_it(glend):
    """QEMU understands what is printed, and connects."""
    guest_ports(glend)
    for port in ("s0:v", "s0:s", "s0:d"):
        memory = ["--memory", "16M"] if port == "s0:v" else []
        words = ctl_json(glend, "port", "show", port, "--show", "qemu",
                         *memory)
        done = subprocess.run(
            ["qemu-system-x86_64", "-accel", "tcg", "-S", "-nodefaults",
             "-display", "none", "-monitor", "stdio", *words], text=True,
            input="info network\nquit\n", capture_output=True, timeout=60,
            check=False)
        assert done.returncode == 0 and not done.stderr, done
        assert "glen-s0-" + port[-1] in done.stdout
    assert ctl_json(glend, "port", "show", "s0:v")["vhost"]["connections"] == 1
    assert ctl_json(glend, "port", "show", "s0:s")["connections"] == 1


@pytest.mark.parametrize("args, words", [
    (["port", "del", "s0:zz"], "s0:zz"),
    (["port", "add", "s0:a", "dummy"], "exists"),
    (["port", "add", "s0:b", "nosuch"], "nosuch"),
    (["port", "add", "s0:b", "dummy", "colour=red"], "colour"),
    (["port", "add", "_bad_:b", "dummy"], "name"),
    (["switch", "add", "s1", "lern"], "lern"),
    (["switch", "show", "s9"], "s9"),
    (["fdb", "add", "s0:a", "not-a-mac"], "not-a-mac"),
    (["rpc", "no.such"], "no.such"),
    (["apply", "/nonexistent.yaml"], "/nonexistent.yaml"),
    (["save", "/nonexistent/x.yaml"], "/nonexistent/x.yaml"),
    (["capture", "s0:zz"], "s0:zz"),
    (["stats", "s9"], "s9"),
])
def test_refusals_name_the_culprit(glend, args, words):
    glend.ctl("port", "add", "s0:a", "dummy")
    assert words in fails(glend, REFUSED, *args)


def test_fdb(glend):
    glend.ctl("port", "add", "s0:a", "dummy")
    glend.ctl("fdb", "add", "s0:a", "02:00:00:00:00:01")
    glend.ctl("fdb", "add", "s0:a", "02:00:00:00:00:02", "--vlan", "7")
    shown = glend.ctl("fdb", "show", "s0").stdout
    assert "02:00:00:00:00:01" in shown and "static" in shown
    entries = ctl_json(glend, "fdb", "show", "s0")["entries"]
    assert {(e["mac"], e["vlan"]) for e in entries} == {
        ("02:00:00:00:00:01", 0), ("02:00:00:00:00:02", 7)}
    assert [e["vlan"] for e in ctl_json(
        glend, "fdb", "show", "s0:a", "--vlan", "7")["entries"]] == [7]
    assert ctl_json(glend, "fdb", "show", "s0", "--vlan", "8")[
        "entries"] == []
    assert len(ctl_json(glend, "fdb", "show", "s0", "--limit", "1")[
        "entries"]) == 1
    glend.ctl("fdb", "del", "s0", "02:00:00:00:00:02", "--vlan", "7")
    assert glend.ctl("fdb", "flush", "s0").stdout == "0 entries flushed\n"
    assert glend.ctl("fdb", "flush", "s0:a", "--static").stdout == (
        "1 entry flushed\n")
    assert ctl_json(glend, "fdb", "show", "s0")["entries"] == []


def test_wait(glend):
    assert "s0:a" in fails(glend, TIMEOUT, "wait", "s0:a", "--timeout", "0.05")
    waiting = subprocess.Popen([binary("glenctl"), "wait", "s0:a", "--json"],
                               env=glend.env, stdout=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.1)
    glend.rpc("port.add", port="s0:a", driver="dummy")
    assert waiting.wait(10) == OK
    assert json.load(waiting.stdout)["port"] == "s0:a"


# Configuration

def test_save_and_apply(glend, tmp_path):
    glend.ctl("switch", "add", "s0", "learn", "ageing_s=60")
    glend.ctl("port", "add", "s0:a", "dummy", "mtu=1500")
    path = tmp_path / "lab.yaml"
    glend.ctl("save", str(path))
    assert path.read_text() == glend.ctl("save").stdout
    assert not [p for p in tmp_path.iterdir() if p != path]
    assert glend.ctl("apply", str(path)).stdout == "nothing to change\n"

    path.write_text(path.read_text().replace("1500", "2000"))
    would = glend.ctl("apply", str(path), "--dry-run").stdout
    assert would.startswith("would have ") and "s0:a" in would
    assert glend.rpc("port.show", port="s0:a")["mtu"] == 1500
    assert "s0:a" in glend.ctl("apply", str(path)).stdout
    assert glend.rpc("port.show", port="s0:a")["mtu"] == 2000

    glend.ctl("apply", "-", input="switches: {}\n")
    assert glend.rpc("switch.list") == []
    changes = ctl_json(glend, "apply", str(path))["changes"]
    assert changes and glend.rpc("port.show", port="s0:a")["mtu"] == 2000


def test_save_spares_what_is_no_file(glend, tmp_path):
    """Renaming over it once replaced /dev/stdout."""
    glend.ctl("switch", "add", "s0")
    link, fifo, real = (tmp_path / name for name in ("link", "fifo", "real"))
    real.touch(0o640)
    link.symlink_to(real)
    glend.ctl("save", str(link))
    assert link.is_symlink() and "s0:" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640

    os.mkfifo(fifo)
    with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE,
                          text=True) as reader:
        glend.ctl("save", str(fifo))
        assert "s0:" in reader.communicate(timeout=10)[0]
    assert fifo.is_fifo()
    with open(tmp_path / "out", "w+", encoding="utf-8") as out:
        subprocess.run([binary("glenctl"), "save", "/proc/self/fd/1"],
                       env=glend.env, stdout=out, check=True, timeout=10)
    assert "s0:" in (tmp_path / "out").read_text()


def test_setting_one_option_keeps_the_others(glend):
    glend.ctl("switch", "add", "s0", "learn", "flood_pps=100")
    glend.ctl("switch", "set", "s0", "ageing_s=5")
    options = glend.rpc("switch.show", switch="s0")["options"]
    assert (options["flood_pps"], options["ageing_s"]) == (100, 5)
    glend.ctl("module", "set", "s0", "static")
    glend.ctl("module", "set", "s0", "learn")
    options = glend.rpc("switch.show", switch="s0")["options"]
    assert (options["flood_pps"], options["ageing_s"]) == (0, 300)


@pytest.mark.parametrize("code, args", [
    (REFUSED, ["switch", "show", "none"]), (USAGE, ["nonsense"]),
    (USAGE, ["capture"]),
    (UNREACHABLE, ["--socket", "/none", "status"]),
    (TIMEOUT, ["wait", "s0:a", "--timeout", "0.1"]),
])
def test_errors_as_json(glend, code, args):
    done = glend.ctl(*args, "--json", check=False)
    assert done.returncode == code
    error = json.loads(done.stdout)["error"]
    assert error["exit"] == code
    assert error["message"] in done.stderr


@pytest.mark.parametrize("text, line", [
    ("switches:\n  s0:\n    module: lern\n", 3),
    ("switches:\n  s0:\n    ports:\n      a:\n        driver: dummy\n"
     "        mtu: many\n", 6),
    ("switches:\n  s0:\n    colour: red\n", 3),
    ("switches:\n  s0: [\n", 3),
])
def test_apply_names_file_and_line(glend, tmp_path, text, line):
    path = tmp_path / "typo.yaml"
    path.write_text(text)
    said = fails(glend, REFUSED, "apply", str(path))
    assert f"{path}:{line}: " in said
    assert glend.rpc("switch.list") == []


# Counters

def test_stats(glend):
    with Gen(glend, "recv", "sw0:b") as receiver:
        gen_run(glend, "send", "sw0:a", "--count", "900")   # fit the ring
        wait_until(lambda: glend.port_stats("sw0:b")["out"]["packets"] >= 900)
        text = glend.ctl("stats").stdout
        both = ctl_json(glend, "stats", "sw0:b", "--rings")
        receiver.stop()
        receiver.end()
    rows = dict(zip(column(text, "PORT"), column(text, "OUT PACKETS")))
    assert int(rows["sw0:b"]) >= 900
    assert [p["port"] for p in both["ports"]] == ["sw0:b"]
    assert both["ports"][0]["rings"][0]["out"]["packets"] >= 900


def test_drops_are_explained(glend):
    glend.rpc("port.add", port="sw0:b", driver="dummy", slots=16)
    gen_run(glend, "send", "sw0:a", "--count", "1000")
    text = glend.ctl("stats").stdout
    lost = glend.drops("sw0:b")["out"]["out_no_room"]
    assert lost > 0
    assert re.search(rf"sw0:b +out_no_room +{lost} +egress ring full", text)
    assert "No drops on" in glend.ctl("stats", "--rate", "0.05").stdout


def test_rates(glend):
    def packets(port="sw0:b"):
        return glend.port_stats(port)["out"]["packets"]

    def top_shows_traffic():
        text = glend.ctl("top", "-n", "2", "-b", "-d", "0.2").stdout
        assert text.count("PORT ") == 2
        # Above the fold is traffic: at most what is sent and a full ring.
        return re.search(r"^sw0:a +([12]?\d(\.\d)? k|[1-9][\d.]*) ", text,
                         re.M)

    with Gen(glend, "recv", "sw0:b"), \
            Gen(glend, "send", "sw0:a", "--rate", "20k"):
        wait_until(lambda: packets() > 1000)
        began, before = time.monotonic(), packets()
        rate = ctl_json(glend, "stats", "sw0:b", "--rate", "0.5")
        after, took = packets(), time.monotonic() - began
        assert 0.5 <= rate["seconds"] <= took
        n = rate["ports"][0]["out"]["packets"] * rate["seconds"]
        assert 0 < n <= after - before + 1      # rounded
        wait_until(top_shows_traffic, what="a rate in glenctl top")
        lines = glend.ctl("top", "-n", "2", "-d", "0.5", "--json").stdout
        first, second = map(json.loads, lines.splitlines())
        assert {p["port"] for p in second["ports"]} == {"sw0:a", "sw0:b"}
        assert max(n["workers"][0]["packets"] for n in (first, second)) > 0


class Screen:
    """glenctl on a terminal of its own."""

    def __init__(self, glend, *args, rows=24, columns=80):
        master, slave = pty.openpty()
        self.master = master
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [binary("glenctl"), *args], env=glend.env, stdin=slave,
            stdout=slave, stderr=slave, start_new_session=True)
        self.slave = slave
        self.text = ""
        threading.Thread(target=self.read, daemon=True).start()

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            self.text += data.decode()

    def type(self, keys):
        os.write(self.master, keys.encode())

    def frames(self):
        """Whole screens drawn so far."""
        return self.text.split("\x1b[H\x1b[2J")[1:]

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)


def test_top_on_a_terminal(glend):
    for i in range(40):
        glend.rpc("port.add", port=f"sw0:p{i:02}", driver="dummy")
    screen = Screen(glend, "top", "-d", "0.1", "-s", "name")
    try:
        wait_until(lambda: len(screen.frames()) >= 3)
        frame = screen.frames()[1].split("\r\n")
        assert len(frame) <= 24 and frame[0].startswith("glend")
        assert any(line.startswith("sw0:p00") for line in frame)
        assert max(map(len, frame)) <= 80
        screen.resize(10, 30)
        screen.process.send_signal(signal.SIGWINCH)
        n = len(screen.frames())
        # The next one may have been begun in the old size.
        wait_until(lambda: len(screen.frames()) >= n + 3)
        frame = screen.frames()[n + 1].split("\r\n")
        assert len(frame) <= 10
        assert max(len(line) for line in frame if "sw0:" in line) <= 30
        screen.type("q")
        assert screen.process.wait(10) == OK
        wait_until(lambda: "\x1b[?1049l" in screen.text)
        assert termios.tcgetattr(screen.slave) == screen.before
    finally:
        screen.close()


def test_top_restores_the_terminal_when_killed(glend):
    screen = Screen(glend, "top", "-d", "0.1")
    try:
        wait_until(lambda: len(screen.frames()) >= 1)
        screen.process.terminate()
        screen.process.wait(10)
        wait_until(lambda: screen.text.rstrip().endswith("\x1b[?1049l"))
        assert termios.tcgetattr(screen.slave) == screen.before
    finally:
        screen.close()


# Completion

def complete(glend, line):
    """What bash offers behind line."""
    # Readline's words: blanks end them, ":" and "=" are words of their own.
    words = [part for word in line.split(" ")
             for part in re.findall(r"[:=]|[^:=]+", word) or [""]]
    script = f"""
        source <({binary('glenctl')} completion bash)
        compopt() {{ :; }}
        COMP_WORDS=({' '.join(repr(w) for w in words)})
        COMP_CWORD={len(words) - 1}
        _glenctl
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = os.path.dirname(binary("glenctl"))
    done = subprocess.run(
        ["bash", "--norc", "-c", script], check=True, text=True,
        capture_output=True, timeout=60,
        env={**glend.env, "PATH": f"{path}:{os.environ['PATH']}"})
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completion(glend):
    glend.rpc("port.add", port="sw0:a", driver="dummy")
    with open(os.path.join(SOURCE, "tools", "glenctl.bash-completion"),
              encoding="utf-8") as file:
        assert run("completion", "bash").stdout == file.read()
    assert complete(glend, "glenctl ") >= {
        command.split()[0] for command in COMMANDS}
    assert complete(glend, "glenctl sta") == {"status", "stats"}
    assert complete(glend, "glenctl port ") == {"add", "del", "set", "show",
                                                "list"}
    assert complete(glend, "glenctl port del ") == {"sw0:a"}
    assert complete(glend, "glenctl port del sw0:") == {"a"}
    assert complete(glend, "glenctl port del sw0:a") == {"a"}
    assert complete(glend, "glenctl port del s") == {"sw0:a"}
    assert complete(glend, f"glenctl --socket={glend.socket} fdb show ") == {
        "sw0", "sw0:a"}
    assert complete(glend, "glenctl vlan show ") == {"sw0"}
    assert complete(glend, "glenctl worker ") == {"show"}
    assert complete(glend, "glenctl steer show ") == {"sw0"}
    assert complete(glend, "glenctl tuple3 ") == {"show"}
    assert complete(glend, "glenctl tuple3 show ") == {"sw0", "sw0:a"}
    assert complete(glend, "glenctl capture ") == {"sw0", "sw0:a"}
    assert "tap" in complete(glend, "glenctl port add sw0:b ")
    assert "learn" in complete(glend, "glenctl switch add s1 ")
    assert complete(glend, "glenctl stats --ra") == {"--rate"}
    assert complete(glend, "glenctl --json vlan show ") == {"sw0"}
    assert complete(glend, "glenctl port show --show ") == {"qemu", "libvirt"}
    assert complete(glend, "glenctl port show --memory 2G ") == {"sw0:a"}
    keys = complete(glend, "glenctl port add sw0:b stream ")
    assert keys == {"mtu=", "mac=", "isolated=", "workers=", "path=", "addr=",
                    "mode=", "access="}
    assert complete(glend, "glenctl port add sw0:b dgram pe") == {"peer="}
    assert "--model" in complete(glend, "glenctl port add sw0:b --m")
