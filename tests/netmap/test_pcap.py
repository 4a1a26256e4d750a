# SPDX-License-Identifier: BSD-2-Clause
# test_pcap.py - libpcap programs on glen ports through libglen-pcap.so.
"""
tcpdump receives, bittwist sends, ngrep listens; pcap_program.c is a libpcap
program of our own that looks at everything that those do not use. It also runs
on a veth pair, where the library must not change a thing.

A preload library with a sanitizer in it needs the sanitizer's runtime before
it, for the programs have none.
"""
import os
import re
import signal
import struct
import subprocess

import pytest

import glen
from gen import Gen, gen_run
from glen import RpcError, die_with_parent, wait_until

LIBRARY = os.path.join(glen.BUILD, "netmap", "libglen-pcap.so")
CHECKS = ("receive", "timeout", "breakloop", "selectable", "settings", "stats",
          "threads", "handles")
RING = 4095             # packets that a port holds for tcpdump


@pytest.fixture(autouse=True)
def needs_glen_run():
    """Nothing here does."""


def needs(*programs):
    reason = glen.why_missing(*programs)
    return pytest.mark.skipif(bool(reason), reason=str(reason))


def runtime():
    """The library of the sanitizer that the preload was built with."""
    symbols = subprocess.run(["nm", "-D", "--undefined-only", LIBRARY],
                             check=True, text=True, capture_output=True)
    for name in "asan", "tsan":
        if f"__{name}_init" in symbols.stdout:
            break
    else:
        return None
    machine = os.uname().machine
    path = subprocess.run(["clang", "-print-file-name=libclang_rt."
                           f"{name}-{machine}.so"], check=True, text=True,
                          capture_output=True).stdout.strip()
    if not os.path.isabs(path):
        pytest.skip(f"clang has no shared runtime of {name}")
    if subprocess.run(["true"], check=False,
                      env={**os.environ, "LD_PRELOAD": path}).returncode:
        pytest.skip(f"{name}'s runtime cannot be preloaded here, and "
                    "programs that we did not build have none")
    return path


def preload(env, foreign=True):
    """env, and the library; foreign: for a program that we did not build."""
    libraries = [LIBRARY]
    more = {}
    if foreign and (path := runtime()):
        libraries.insert(0, path)
        # Whatever the program does not free is its own affair.
        more["ASAN_OPTIONS"] = (os.environ.get("ASAN_OPTIONS", "") +
                                ":detect_leaks=0")
    return {**env, **more, "LD_PRELOAD": ":".join(libraries)}


def run(env, *argv, foreign=True, timeout=100, **kwargs):
    return subprocess.run([str(arg) for arg in argv], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          env=preload(env, foreign), timeout=timeout,
                          check=False, **kwargs)


class Dump:
    """A tcpdump on a port, up when that is there."""

    def __init__(self, glend, port, *args, wait=True):
        self.process = subprocess.Popen(
            ["tcpdump", "-Z", "root", "-n", "-i", f"glen:{port}",
             *map(str, args)], env=preload(glend.env), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        self.said = ""
        while wait and "listening on" not in self.said:
            line = self.process.stderr.readline()
            assert line, f"tcpdump ended: {self.said}"
            self.said += line

    def end(self, code=0, sig=None, timeout=60):
        """(captured, dropped) of what it says at its end."""
        if sig:
            self.process.send_signal(sig)
        self.out, more = self.process.communicate(timeout=timeout)
        self.said += more
        assert self.process.returncode == code, self.said
        found = [re.search(rf"^(\d+) packets? {what}", self.said, re.M)
                 for what in ("captured", "dropped by kernel")]
        return tuple(int(f[1]) if f else None for f in found)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def frames(count, size=None):
    """Packets that differ: the number, then bytes made from it."""
    head = b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x88\xb5"
    pattern = bytes(range(256)) * 64
    return [head + struct.pack("=I", i) +
            pattern[i % 256:i % 256 + (size or 42 + i * 31 % 1400)]
            for i in range(count)]


def write_pcap(path, packets):
    with open(path, "wb") as file:
        file.write(struct.pack("=IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 1))
        for i, packet in enumerate(packets):
            file.write(struct.pack("=IIII", i, 0, len(packet), len(packet)) +
                       packet)


def read_pcap(path):
    """(snapshot length, packets), and times must not go back."""
    with open(path, "rb") as file:
        data = file.read()
    magic, major, _, _, _, snaplen, link = struct.unpack_from("=IHHiIII", data)
    assert (magic, major, link) == (0xa1b2c3d4, 2, 1)
    at, packets, last = 24, [], (0, 0)
    while at < len(data):
        seconds, micros, size, whole = struct.unpack_from("=IIII", data, at)
        assert size == min(whole, snaplen) and micros < 1000000
        assert last <= (seconds, micros)
        last = seconds, micros
        packets.append(data[at + 16:at + 16 + size])
        at += 16 + size
    assert at == len(data)
    return snaplen, packets


def inject(glend, path, packets, port="sw0:tx"):
    """bittwist sends packets as fast as it can."""
    write_pcap(path, packets)
    done = run(glend.env, "bittwist", "-i", f"glen:{port}", "-m", "0", path)
    assert not done.returncode, done.stdout + done.stderr
    sent = re.search(r"^(\d+) packets .* sent$", done.stderr, re.M)
    assert sent and int(sent[1]) == len(packets), done.stderr


def wait_size(path, size):
    """Until tcpdump -U has written so much."""
    wait_until(lambda: os.path.getsize(path) >= size, 60, f"{size} bytes")


def size_of(packets):
    return 24 + sum(16 + len(packet) for packet in packets)


@pytest.mark.parametrize("check", CHECKS)
def test_program(glend, check):
    glend.rpc("switch.add", switch="sw0")
    done = run(glend.env, glen.binary("pcap_program"), check, "glen:sw0:a",
               "glen:sw0:b", foreign=False)
    assert not done.returncode, done.stdout + done.stderr
    wait_until(lambda: not glend.rpc("stats")["ports"], what="ports gone")


@needs("tcpdump", "bittwist")
def test_every_byte(glend, tmp_path):
    """What fits into the ring arrives, whoever runs when."""
    packets = frames(RING)
    path = tmp_path / "out.pcap"
    with Dump(glend, "sw0:d", "-w", path, "-c", len(packets)) as dump:
        inject(glend, tmp_path / "in.pcap", packets)
        assert dump.end() == (len(packets), 0)
    assert read_pcap(path) == (262144, packets)


@needs("tcpdump", "bittwist")
def test_nothing_is_lost_in_silence(glend, tmp_path, scaled):
    packets = frames(scaled(100000), 86)
    path = tmp_path / "out.pcap"
    with Dump(glend, "sw0:d", "-w", path, "-U", "-B", "8192") as dump:
        inject(glend, tmp_path / "in.pcap", packets)
        stats = glend.quiet_stats()
        port, = (p for p in stats["ports"] if p["port"] == "sw0:d")
        lost = sum(port["out"]["drops"].values())
        assert port["out"]["packets"] + lost == len(packets)
        wait_size(path, size_of(packets[lost:]))
        captured, dropped = dump.end(sig=signal.SIGINT)
    assert captured + dropped == len(packets) and dropped == lost
    _, got = read_pcap(path)
    assert len(got) == captured
    # In order, and each as it was sent.
    rest = iter(packets)
    assert all(packet in rest for packet in got)


@needs("tcpdump")
def test_beside_a_generator(glend, scaled, tmp_path):
    """glen-gen's own check of the same packets, at a rate that is taken."""
    count = scaled(100000)
    path = tmp_path / "out.pcap"
    with Dump(glend, "sw0:d", "-w", path, "-U") as dump:
        gen_run(glend, "send", "sw0:a", "--count", count, "--rate", "50k")
        glend.quiet_stats()
        port, = (p for p in glend.rpc("stats")["ports"]
                 if p["port"] == "sw0:d")
        lost = sum(port["out"]["drops"].values())
        here = port["out"]["packets"]
        wait_until(lambda: len(read_pcap_safely(path)) == here, 60,
                   "all packets in the file")
        captured, dropped = dump.end(sig=signal.SIGINT)
    assert (captured, dropped) == (here, lost)
    assert captured + dropped >= count


def read_pcap_safely(path):
    """The packets of a file that is being written."""
    try:
        return read_pcap(path)[1]
    except (AssertionError, struct.error):
        return []


@needs("tcpdump", "bittwist")
def test_filter_and_snaplen(glend, tmp_path):
    packets = frames(1000)
    path = tmp_path / "out.pcap"
    want = [p for p in packets if len(p) > 700 and p[14] % 2]
    with Dump(glend, "sw0:d", "-w", path, "-s", 99, "-c", len(want),
              "greater 701 and ether[14] & 1 == 1") as dump:
        inject(glend, tmp_path / "in.pcap", packets)
        assert dump.end() == (len(want), 0)
    assert read_pcap(path) == (99, [p[:99] for p in want])


@needs("tcpdump", "bittwist")
def test_files_in_turn_without_rights(glend, tmp_path):
    """-C, -z and -Z: a child per file, and the user changes after opening."""
    if os.geteuid():
        pytest.skip("needs root: tcpdump gives up rights")
    tmp_path.chmod(0o777)
    for folder in list(tmp_path.parents)[:2]:
        folder.chmod(0o755)
    packets = frames(RING, 1000)
    path = tmp_path / "out.pcap"
    with Dump(glend, "sw0:d", "-Z", "nobody", "-w", path, "-C", 1, "-z",
              "gzip", "-c", len(packets)) as dump:
        inject(glend, tmp_path / "in.pcap", packets)
        assert dump.end() == (len(packets), 0)

    def parts():
        names = ["out.pcap"] + [f"out.pcap{i}" for i in range(1, 10)]
        return [tmp_path / name for name in names
                if (tmp_path / name).exists() or
                (tmp_path / f"{name}.gz").exists()]

    # All but the last are compressed by children that tcpdump leaves alone.
    wait_until(lambda: not any(p.exists() for p in parts()[:-1]), 60, "gzip")
    got = []
    assert len(parts()) > 3
    for part in parts():
        if not part.exists():
            subprocess.run(["gzip", "-d", f"{part}.gz"], check=True)
        assert part.stat().st_uid == 65534
        got += read_pcap(part)[1]
    assert got == packets


@needs("ngrep", "bittwist")
def test_ngrep(glend, tmp_path):
    head = (b"\xff" * 6 + b"\x02\0\0\0\0\x01\x08\0" +
            bytes.fromhex("450000280001000040110000 0a000001 0a000002"
                          "1000 0035 0014 0000"))
    packets = [head + word for word in (b"nothing here", b"a needle is.")]
    with subprocess.Popen(
            ["ngrep", "-q", "-l", "-n", "1", "-R", "-d", "glen:sw0:n",
             "needle"], env=preload(glend.env), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=die_with_parent) as ngrep:
        wait_until(lambda: is_there(glend, "sw0:n"), what="ngrep's port")
        inject(glend, tmp_path / "in.pcap", packets)
        out, err = ngrep.communicate(timeout=60)
    assert ngrep.returncode == 0 and "a needle is." in out, out + err
    assert "10.0.0.1:4096 -> 10.0.0.2:53" in out


def is_there(glend, port):
    """Somebody has the port open."""
    try:
        return glend.rpc("port.show", port=port)["link"]
    except RpcError:
        return False


@needs("tcpdump")
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(glend, sig):
    """While nothing comes, and under traffic."""
    with Dump(glend, "sw0:d") as dump:
        assert dump.end(sig=sig) == (0, 0)
    with Gen(glend, "send", "sw0:a", "--rate", "20k"), \
            Dump(glend, "sw0:d", "-w", "/dev/null") as dump:
        wait_until(lambda: [p for p in glend.rpc("stats")["ports"]
                            if p["port"] == "sw0:d" and
                            p["out"]["packets"] > 1000])
        assert dump.end(sig=sig)[0] > 0
    wait_until(lambda: not is_there(glend, "sw0:d"), what="port gone")


@needs("tcpdump")
def test_refusals_are_sentences(glend, tmp_path):
    def said(device, env=glend.env, prefix=()):
        done = run(env, *prefix, "tcpdump", "-Z", "root", "-i", device)
        assert done.returncode == 1
        return done.stderr

    glend.rpc("switch.add", switch="sw0")
    assert "write 'glen:SWITCH:PORT'" in said("glen:sw0")
    assert "write 'glen:SWITCH:PORT'" in said("glen:")
    assert 'port name "d/x" is not allowed' in said("glen:sw0:d/x")
    assert 'port name ""' in said("glen:sw0:")
    with Dump(glend, "sw0:d"):
        assert "port sw0:d is in use by process" in said("glen:sw0:d")
    glend.rpc("port.add", port="sw0:dummy", driver="dummy")
    assert "sw0:dummy" in said("glen:sw0:dummy")
    nobody = {**glend.env, "GLEN_SOCKET": str(tmp_path / "none")}
    assert f"no glend listens at {tmp_path}/none" in said("glen:sw0:d", nobody)
    if os.geteuid() == 0:
        os.chmod(glend.socket, 0o600)
        text = said("glen:sw0:d", prefix=["setpriv", "--reuid", "65534",
                                          "--clear-groups"])
        assert "don't have permission" in text and glend.socket in text
    # None of these made anything.
    assert [p["port"] for p in glend.rpc("port.list")] == ["sw0:dummy"]


@needs("tcpdump")
def test_ends_with_its_port(glend):
    with Dump(glend, "sw0:d") as dump:
        glend.rpc("port.del", port="sw0:d")
        dump.end(code=1)
        assert "glend closed port sw0:d" in dump.said


@needs("tcpdump", "bittwist")
def test_outlives_glend(glend, tmp_path):
    """SIGKILL of glend costs nothing that was in the ring, nor what follows."""
    path = tmp_path / "out.pcap"
    packets = frames(2000)
    with Dump(glend, "sw0:d", "-w", path, "-U") as dump:
        inject(glend, tmp_path / "in.pcap", packets[:1000])
        wait_size(path, size_of(packets[:1000]))
        glend.restart()
        wait_until(lambda: is_there(glend, "sw0:d"),
                   what="tcpdump is back")
        # The old glend may have left word that sw0:tx is bittwist's.
        inject(glend, tmp_path / "in.pcap", packets[1000:], "sw0:tx2")
        wait_size(path, size_of(packets))
        glend.kill9()
        # Without any glend it still ends when it is told to.
        assert dump.end(sig=signal.SIGINT) == (2000, 0)
    assert read_pcap(path)[1] == packets


@needs("bittwist")
def test_sends_to_nobody(glend, tmp_path):
    """glend goes: an injector stops when the ring is full, and says why."""
    env = {**glend.env}
    with subprocess.Popen(
            [glen.binary("pcap_program"), "send", "glen:sw0:a", "1000000000",
             "60"], env=preload(env, False), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=die_with_parent) as sender:
        wait_until(lambda: is_there(glend, "sw0:a"), what="port")
        glend.kill9()
        out, err = sender.communicate(timeout=60)
    assert sender.returncode == 1 and not out
    assert "glend took no packet for 10 s; is it running?" in err


@needs("tcpdump")
def test_list(glend, tmp_path):
    """A device per switch; without glend nothing changes."""
    glend.rpc("switch.add", switch="sw0")
    glend.rpc("switch.add", switch="zw1")
    plain = subprocess.run(["tcpdump", "-D"], check=True, text=True,
                           capture_output=True).stdout
    done = run(glend.env, "tcpdump", "-D")
    assert done.stdout.startswith(plain) and not done.returncode
    more = done.stdout[len(plain):].splitlines()
    assert sorted(re.match(r"\d+\.(\S+) ", line)[1] for line in more) == [
        "glen:sw0:pcap", "glen:zw1:pcap"]
    nobody = {**glend.env, "GLEN_SOCKET": str(tmp_path / "none")}
    assert run(nobody, "tcpdump", "-D").stdout == plain


@needs("tcpdump")
def test_glen_run(glend):
    """glen-run preloads the library, beside that for netmap."""
    runtime()               # glen-run needs it as well
    glend.rpc("switch.add", switch="sw0")
    done = subprocess.run([glen.binary("glen-run"), "tcpdump", "-D"],
                          env=glend.env, text=True, stdout=subprocess.PIPE,
                          check=True, timeout=60)
    assert "glen:sw0:pcap" in done.stdout
    done = subprocess.run(
        [glen.binary("glen-run"), glen.binary("pcap_program"), "receive",
         "glen:sw0:a", "glen:sw0:b"], env=glend.env, text=True,
        capture_output=True, check=False, timeout=60)
    assert not done.returncode, done.stderr


@needs("tcpdump", "ping")
def test_other_devices(glend, netns, tmp_path):
    """Loopback and a veth pair are libpcap's, to the last detail."""
    ns = netns().no_ipv6()
    ns.run("ip link add va type veth peer name vb")
    for name in "va", "vb":
        ns.run(f"ip link set {name} up")
    for check in "breakloop", "selectable", "threads":
        # ip is not to be preloaded with what only fits pcap_program.
        ns.run(["env", f"LD_PRELOAD={LIBRARY}", glen.binary("pcap_program"),
                check, "va", "vb"])
    texts = []
    for env in glend.env, preload(glend.env):
        with subprocess.Popen(
                ns.argv(["tcpdump", "-Z", "root", "-n", "-t", "-c", "4", "-i",
                         "lo", "icmp"]), env=env, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                preexec_fn=die_with_parent) as dump:
            said = ""
            while "listening on" not in said:
                said += dump.stderr.readline()
            ns.run("ping -c 2 -i 0.2 127.0.0.1")
            out, err = dump.communicate(timeout=60)
        texts.append(re.sub(r"id \d+|seq \d+|\d+ packets received.*", "",
                            out + said + err))
    assert texts[0] == texts[1] and "ICMP echo reply" in texts[0]
    assert glend.rpc("stats")["ports"] == []
