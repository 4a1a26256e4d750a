# SPDX-License-Identifier: BSD-2-Clause
# test_capture.py - glenctl capture: what is recorded, named, missed.
import json
import os
import re
import signal
import subprocess

import pytest
from scapy.all import Ether, ICMP, IP, UDP, Raw, raw, rdpcap, wrpcap

import glen
from gen import Gen, gen_run
from glen import Glend, binary, wait_until

needs_root = pytest.mark.skipif(bool(glen.why_no_root()),
                                reason=str(glen.why_no_root()))
needs_tshark = pytest.mark.skipif(
    bool(glen.why_missing("tshark", "capinfos")),
    reason=str(glen.why_missing("tshark", "capinfos")))


class Capture:
    """glenctl capture ARGS; it records when __init__ returns."""

    def __init__(self, glend, *args):
        self.process = subprocess.Popen(
            [binary("glenctl"), "capture", *map(str, args)], env=glend.env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.began = self.process.stderr.readline().decode()
        assert "capturing on" in self.began, (
            self.began + self.process.stderr.read().decode())

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self, code=0, timeout=60):
        """Waits for its end; standard output as bytes."""
        self.out, err = self.process.communicate(timeout=timeout)
        self.err = err.decode()
        assert self.process.returncode == code, self.err
        return self.out

    def lines(self):
        return self.out.decode().splitlines()

    def counts(self):
        """(captured, dropped by the switch, not passed, missed)"""
        found = re.findall(r"(\d+) (?:packets|of them)", self.err)
        return tuple(map(int, found))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


FIELDS = ["frame.interface_name", "frame.packet_flags_direction",
          "frame.comment", "frame.len", "frame.cap_len", "eth.type"]


def tshark(path, *more):
    """One dictionary per packet of a file."""
    args = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E",
            "separator=|", *more]
    for field in FIELDS:
        args += ["-e", field]
    done = subprocess.run(args, check=True, capture_output=True, text=True)
    assert "error" not in done.stderr.lower(), done.stderr
    return [dict(zip(FIELDS, line.split("|")))
            for line in done.stdout.splitlines()]


def summary(packets):
    """(port, direction, comment) of each; direction as in pcapng."""
    return [(p["frame.interface_name"],
             {1: "in", 2: "out"}[int(p["frame.packet_flags_direction"], 0)],
             p["frame.comment"]) for p in packets]


def replay(glend, tmp_path, frames, **options):
    """Sends frames into port sw0:src, at once."""
    path = tmp_path / "in.pcap"
    wrpcap(str(path), [Ether(bytes(f)) if len(f) >= 14 else Raw(f)
                       for f in frames], linktype=1)
    glend.rpc("port.add", port="sw0:src", driver="pcap", read=str(path),
              speed="max", **options)


def frame(size=60, dst="02:00:00:00:00:99", kind=0x88b5):
    head = raw(Ether(src="02:00:00:00:00:01", dst=dst, type=kind))
    return head + bytes(i & 255 for i in range(size - len(head)))


@needs_tshark
def test_pcapng(glend, tmp_path):
    """A flood of three frames: in once, out twice, in this order."""
    for name in "ab":
        glend.rpc("port.add", port=f"sw0:{name}", driver="dummy", sink=True)
    path = tmp_path / "all.pcapng"
    frames = [frame(60), frame(61), frame(1514)]
    with Capture(glend, "sw0", "-w", path, "-c", 9) as capture:
        replay(glend, tmp_path, frames)
        capture.end()
    assert capture.counts() == (9, 0, 0, 0)
    packets = tshark(path)
    assert sorted(summary(packets)) == sorted(
        3 * [("sw0:a", "out", ""), ("sw0:b", "out", ""),
             ("sw0:src", "in", "")])
    for f in frames:
        same = [(port, bytes(data)) for (port, _, _), data in
                zip(summary(packets), rdpcap(str(path)))
                if len(data) == len(f)]
        # Nothing leaves before it came, and it stays what it was.
        assert [port for port, _ in same][0] == "sw0:src"
        assert [data for _, data in same] == 3 * [f]
    info = subprocess.run(["capinfos", "-A", str(path)], check=True,
                          capture_output=True, text=True).stdout
    for name in ("sw0:a", "sw0:b", "sw0:src"):
        assert f"Name = {name}" in info
    assert "Number of interfaces in file: 3" in info
    assert "glenctl" in info
    assert "nanoseconds" in info
    assert info.count("Number of packets = 3") == 3


@needs_tshark
def test_drop_reasons(glend, tmp_path):
    """Each kind of loss carries its name, and stats agree."""
    glend.rpc("port.add", port="sw0:small", driver="dummy", mtu=100, sink=True)
    glend.rpc("port.add", port="sw0:full", driver="dummy", slots=16)
    path = tmp_path / "drops.pcapng"
    frames = [frame(60)] * 15 + [frame(200)] * 2 + [frame(900)]
    with Capture(glend, "sw0", "-w", path, "-D") as capture:
        replay(glend, tmp_path, frames, mtu=500)
        wait_until(lambda: glend.port_stats("sw0:src")["in"]["packets"] ==
                   len(frames))
        stats = glend.check_identity()
        capture.stop()
    want = []
    for port in stats["ports"]:
        for way in ("in", "out"):
            for reason, n in port[way]["drops"].items():
                want += n * [(port["port"], way, f"dropped: {reason}")]
    assert sorted(summary(tshark(path))) == sorted(want)
    assert {w[2] for w in want} == {
        "dropped: in_oversize", "dropped: out_oversize",
        "dropped: out_no_room"}
    captured, dropped, filtered, missed = capture.counts()
    assert (captured, dropped, missed) == (len(want), len(want), 0)
    assert filtered > 0


def test_runts_are_shown(glend, tmp_path):
    glend.rpc("port.add", port="sw0:a", driver="dummy", sink=True)
    with Capture(glend, "sw0", "-D", "-c", 1) as capture:
        replay(glend, tmp_path, [frame(60), b"too short"])
        capture.end()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{6} sw0:src in  \[dropped: "
                        r"in_runt\] \d+ bytes, no Ethernet header",
                        capture.lines()[0])


def test_lonely_port(glend, tmp_path):
    """Drops that the core decides, not the module, have a reason too."""
    glend.rpc("switch.add", switch="sw0")
    with Capture(glend, "sw0", "-c", 1) as capture:
        replay(glend, tmp_path, [frame()])
        capture.end()
    assert "[dropped: in_no_port]" in capture.lines()[0]


def test_filter_snaplen_and_json(glend, tmp_path):
    glend.rpc("port.add", port="sw0:a", driver="dummy", sink=True)
    ping = raw(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") /
               IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(id=5, seq=9) /
               Raw(b"x" * 500))
    udp = raw(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") /
              IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=53))
    with Capture(glend, "sw0:a", "--json", "-c", 1, "-s", 100, "icmp", "and",
                 "dst host 10.0.0.2") as capture:
        replay(glend, tmp_path, [udp, frame(), ping])
        capture.end()
    packet, end = map(json.loads, capture.lines())
    assert packet["port"] == "sw0:a" and packet["direction"] == "out"
    assert (packet["length"], packet["captured"]) == (len(ping), 100)
    assert packet["dropped"] is None
    assert "10.0.0.1 > 10.0.0.2: ICMP echo request, id 5, seq 9" in packet[
        "summary"]
    assert end == {"captured": 1, "dropped": 0, "filtered": 2, "missed": 0}


@needs_tshark
def test_ports_come_and_go(glend, tmp_path):
    """Ports that are added later are captured; names stay one interface."""
    glend.rpc("switch.add", switch="sw0")
    path = tmp_path / "x.pcapng"
    with Capture(glend, "sw0", "-w", path) as capture:
        for _ in range(3):
            glend.rpc("port.add", port="sw0:a", driver="dummy", sink=True)
            replay(glend, tmp_path, [frame()])
            wait_until(lambda: glend.port_stats("sw0:a")["out"]["packets"])
            glend.rpc("port.del", port="sw0:src")
            glend.rpc("port.del", port="sw0:a")
        capture.stop()
    assert sorted(summary(tshark(path))) == sorted(
        3 * [("sw0:a", "out", ""), ("sw0:src", "in", "")])
    info = subprocess.run(["capinfos", "-A", str(path)], check=True,
                          capture_output=True, text=True).stdout
    assert "Number of interfaces in file: 2" in info


def test_ends_with_the_switch(glend, tmp_path):
    glend.rpc("port.add", port="sw0:a", driver="dummy")
    path = tmp_path / "x.pcapng"
    with Capture(glend, "sw0", "-w", path) as capture:
        glend.rpc("switch.del", switch="sw0")
        capture.end(code=1)
    assert "switch of sw0 is gone" in capture.err


def test_ends_with_glend(glend, tmp_path):
    """What was captured until then is on disk."""
    glend.rpc("port.add", port="sw0:a", driver="dummy", sink=True)
    path = tmp_path / "x.pcapng"
    with Capture(glend, "sw0", "-w", path) as capture:
        replay(glend, tmp_path, [frame()] * 5)
        wait_until(lambda: glend.port_stats("sw0:a")["out"]["packets"] == 5)
        glend.kill9()
        capture.end(code=3)
    assert len(rdpcap(str(path))) == 10


def test_session_goes_with_its_reader(glend):
    """SIGKILL of glenctl leaves nothing in glend."""
    glend.rpc("port.add", port="sw0:a", driver="dummy")

    def fds():
        return len(list(glen.os.scandir(f"/proc/{glend.pid}/fd")))

    before = fds()
    for _ in range(20):
        with Capture(glend, "sw0") as capture:
            assert fds() > before
            capture.process.kill()
    wait_until(lambda: fds() == before)


def test_a_refusal_costs_no_file(glend, tmp_path):
    glend.rpc("port.add", port="sw0:a", driver="dummy")
    path = tmp_path / "old.pcapng"
    path.write_bytes(b"precious")
    assert glend.ctl("capture", "sw0:zz", "-w", str(path),
                     check=False).returncode == 1
    assert path.read_bytes() == b"precious"
    assert glend.ctl("capture", "sw0:a", "-w", "/nonexistent/x",
                     check=False).returncode == 1


def test_a_full_disk_is_noticed(glend):
    glend.rpc("port.add", port="sw0:a", driver="dummy")
    with Capture(glend, "sw0:a", "-w", "/dev/full") as capture:
        capture.process.send_signal(signal.SIGINT)
        capture.end(code=1)
    assert "/dev/full" in capture.err


def test_a_full_output_is_noticed_and_a_closed_pipe_is_not(glend):
    """Lines to a full disk once ended with exit code 0."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        for command in ["status"], ["capture", "sw0", "--json"]:
            glend.ctl("switch", "add", "sw0", check=False)
            with subprocess.Popen([binary("glenctl"), *command], text=True,
                                  env=glend.env, stdout=full,
                                  stderr=subprocess.PIPE) as process:
                if command[0] == "capture":
                    assert "^C ends" in process.stderr.readline()
                    process.send_signal(signal.SIGINT)
                assert "is the disk full?" in process.stderr.read()
                assert process.wait(10) == 1
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([binary("glenctl"), "status"], env=glend.env,
                          stdout=writer, stderr=subprocess.PIPE, timeout=10,
                          check=False)
    os.close(writer)
    assert done.stderr == b""


@pytest.mark.parametrize("workers", [1, 2])
def test_captures_come_and_go_under_traffic(workers, scaled):
    with Glend(workers=workers) as glend, \
            Gen(glend, "recv", "sw0:b", "--slots", "4096"), \
            Gen(glend, "send", "sw0:a", "--rate", "20k"):
        for i in range(scaled(20, least=5)):
            with Capture(glend, "sw0", "-c", 50 + i) as one, \
                    Capture(glend, ("sw0:a", "sw0:b")[i % 2], "-c", 50) as two:
                one.end()
                two.end()
            assert one.counts()[0] == 50 + i
            assert two.counts()[0] == 50
        glend.rpc("port.del", port="sw0:a")
        glend.check_identity()


def test_too_many_sessions(glend):
    glend.rpc("port.add", port="sw0:a", driver="dummy")
    captures = [Capture(glend, "sw0", "-B", 1) for _ in range(16)]
    try:
        done = glend.ctl("capture", "sw0", check=False)
        assert done.returncode == 1 and "16 captures" in done.stderr
    finally:
        for capture in captures:
            capture.__exit__()
    with Capture(glend, "sw0"):
        pass


def seen(stats, port):
    """Packets that a capture of a port should see: all, dropped or not."""
    p = next(p for p in stats["ports"] if p["port"] == port)
    return (p["in"]["packets"] + p["out"]["packets"] +
            sum(p["out"]["drops"].values()))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reader_that_stops(workers, scaled, tmp_path):
    """
    The reader of a capture is stopped while traffic flows: the switch goes on
    as if nothing was, and captured + missed is all there was.
    """
    count = scaled(100000, least=20000)
    path = tmp_path / "x.pcapng"
    with Glend(workers=workers) as glend, \
            Gen(glend, "recv", "sw0:b", "--slots", "4096") as receiver:
        with Capture(glend, "sw0:b", "-w", path, "-B", 1) as capture:
            capture.process.send_signal(signal.SIGSTOP)
            before = glend.quiet_stats()
            gen_run(glend, "send", "sw0:a", "--count", count, "--size", "500",
                    "--rate", "50k")
            after = glend.check_identity()
            assert seen(after, "sw0:b") >= seen(before, "sw0:b") + count
            capture.process.send_signal(signal.SIGCONT)
            capture.stop()
        receiver.stop()
        receiver.end()
    captured, _, filtered, missed = capture.counts()
    assert missed > 0 and filtered == 0
    assert captured + missed == seen(after, "sw0:b") - seen(before, "sw0:b")
    if not glen.why_missing("capinfos"):
        info = subprocess.run(["capinfos", "-c", "-M", "-T", "-r", str(path)],
                              check=True, capture_output=True, text=True)
        assert int(info.stdout.split("\t")[1]) == captured


@needs_root
def test_ping_in_lines(glend, netns):
    spaces = []
    for i, name in enumerate("ab"):
        ns = netns().no_ipv6()
        glend.rpc("port.add", port=f"sw0:{name}", driver="tap", netns=ns.name,
                  address=f"10.0.0.{i + 1}/24")
        spaces.append(ns)
    with Capture(glend, "sw0", "icmp", "or", "arp") as capture:
        spaces[0].run("ping -c 1 -W 5 10.0.0.2")
        capture.stop()
    told = [re.sub(r"^\S+ ", "", line) for line in capture.lines()]
    pings = [line for line in told if "ICMP" in line]
    assert [line.split()[:2] for line in pings] == [
        ["sw0:a", "in"], ["sw0:b", "out"], ["sw0:b", "in"], ["sw0:a", "out"]]
    assert "10.0.0.1 > 10.0.0.2: ICMP echo request" in pings[0]
    assert "10.0.0.2 > 10.0.0.1: ICMP echo reply" in pings[3]
    assert any("ARP who has 10.0.0.2, tell 10.0.0.1" in line for line in told)


@needs_tshark
def test_pipe_to_tshark(glend, tmp_path):
    """-w - is a stream that can be read while it is written."""
    glend.rpc("port.add", port="sw0:a", driver="dummy", sink=True)
    with Capture(glend, "sw0:a", "-w", "-") as capture:
        reader = subprocess.Popen(
            ["tshark", "-l", "-n", "-i", "-", "-c", "3", "-T", "fields", "-e",
             "frame.interface_name"], stdin=capture.process.stdout,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        replay(glend, tmp_path, [frame()] * 3)
        out, _ = reader.communicate(timeout=60)
        # tshark has gone: capture ends by itself at the next packet or ^C.
        capture.stop()
    assert out.decode().split() == 3 * ["sw0:a"]
