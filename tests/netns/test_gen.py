# SPDX-License-Identifier: BSD-2-Clause
# test_gen.py - glen-gen finds what is wrong, and only that.
import signal
import time

import pytest

from gen import Gen, gen_run
from glen import wait_until

BOOKS = ("lost", "reordered", "duplicated", "stale", "truncated",
         "corrupted", "foreign")


@pytest.fixture(name="glend")
def glend_with_switch(glend):
    """A glend whose switch, and its sums, stay when the ports go."""
    glend.rpc("switch.add", switch="sw0")
    return glend


def books(report):
    return {name: report["check"][name] for name in BOOKS}


def expect(**wrong):
    return {name: wrong.get(name, 0) for name in BOOKS}


def through(glend, send, recv=(), count=20000, code=0):
    """Sends count packets from sw0:a to sw0:b; both reports."""
    with Gen(glend, "recv", "sw0:b", "--until-end", "--expect-lossless",
             *recv) as receiver:
        sent = gen_run(glend, "send", "sw0:a", "--count", count, *send)
        return sent, receiver.report(code=code)


@pytest.mark.parametrize("send, recv", [
    ("", ""),
    ("--size imix", ""),
    ("--size 60-1514 --flows 100", "--flows 100"),
    ("--size 58-300 --vlan 100", ""),
    ("--size 82-1514 --udp --flows 33000", ""),
    ("--size 9000 --rate 10k --burst 16", ""),
    ("--size 100-65000 --rate 1k --burst 4", ""),
    ("--size 65000 --rate 2k --burst 4 --buf-size 65536 --slots 64",
     "--buf-size 65536 --slots 64"),
    ("--size 60-1000 --buf-size 64 --rate 10k --burst 8", "--buf-size 128"),
    ("--size 60-2000 --vnet-hdr 12", "--vnet-hdr 12"),
    ("--size 60-2000 --vnet-hdr 10", ""),
    ("--rings 4 --flows 64", "--rings 4 --flows 64"),
    ("--busy --first-flow 7 --flows 3", "--busy --first-flow 7 --flows 3"),
], ids=lambda text: text or "plain")
def test_every_packet_arrives(glend, scaled, send, recv):
    recv = recv.replace("--first-flow 7 ", "")
    count = scaled(2000 if "k --burst" in send else 20000, least=500)
    args = send.split()
    recv = recv.split()
    if "--rate" not in args:
        args += ["--rate", "50k"]
    if "--slots" not in recv:
        recv += ["--slots", 4096]   # 80 ms, should the machine be busy
    sent, report = through(glend, args, recv, count)
    assert sent["sent"]["packets"] == count
    assert report["received"]["packets"] == count
    assert report["check"]["sent"] == count
    assert report["received"]["bytes"] == sent["sent"]["bytes"]
    assert books(report) == expect()
    assert report["check"]["ended"] == report["check"]["flows"]
    assert report["latency_ns"]["n"] == count
    assert glend.check_identity()["switches"][0]["in_packets"] > count


def test_losses_are_counted_exactly(glend):
    """What glend drops at a full ring is what the receiver misses."""
    with Gen(glend, "recv", "sw0:b", "--until-end", "--expect-lossless",
             "--slots", 64) as receiver, \
            Gen(glend, "send", "sw0:a", "--rate", "10k", "--count",
                5000) as sender:
        receiver.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: sum(glend.drops("sw0:b")["out"].values()) > 1000,
                   what="packets are dropped")
        receiver.process.send_signal(signal.SIGCONT)
        sender.report()
        report = receiver.report(code=1)
    drops = report["port_stats"]["out_drops"]
    assert drops > 1000
    assert report["check"]["sent"] == 5000
    assert books(report) == expect(lost=drops)
    assert report["received"]["packets"] == 5000 - drops
    assert not report["check"]["ok"]
    glend.check_identity()


def frames_of_a_sender(glend, ns, count):
    """Checked frames as a TAP port sees them."""
    glend.rpc("port.add", port="sw0:tap", driver="tap", netns=ns.name,
              ifname="tap0")
    ns.run("ip link set tap0 up")
    sock = ns.wire("tap0")
    frames = []
    # Nobody has announced the destination: the switch floods.
    with Gen(glend, "send", "sw0:a", "--count", count, "--rate", "2k",
             "--size", "100"):
        while len(frames) < count + 1:
            frame = sock.recv()
            if frame[12:14] == b"\x88\xb5":
                frames.append(frame)
    return sock, frames


def test_damage_is_named(glend, netns):
    """Packets replayed from a TAP: late, twice, cut, flipped, strange."""
    sock, frames = frames_of_a_sender(glend, netns(), 12)
    data, end = frames[:12], frames[12]
    flipped = bytearray(data[9])
    flipped[90] ^= 4
    moved = bytearray(data[8])
    moved[5] ^= 1       # to another address
    with Gen(glend, "recv", "sw0:b", "--until-end",
             "--expect-lossless") as receiver:
        before = glend.port_stats("sw0:b")["out"]["packets"]
        replay = [data[0], data[1], data[1], data[3], data[2], data[4],
                  # 5 is missing
                  data[6], data[7][:80], bytes(moved), bytes(flipped),
                  b"\xff" * 6 + data[0][6:12] + b"\x08\x06" + bytes(46),
                  data[10], end]
        for frame in replay:
            sock.send(frame)
        report = receiver.report(code=1)
    assert report["port_stats"]["out_packets"] - before >= len(replay) - 1
    assert books(report) == expect(
        lost=5, reordered=1, duplicated=1, truncated=1, corrupted=2,
        foreign=report["check"]["foreign"])
    assert report["check"]["foreign"] >= 1      # and the kernel's own
    assert report["check"]["max_late"] == 2
    sock.close()


def test_new_run_of_a_sender_is_not_a_duplicate(glend):
    with Gen(glend, "recv", "sw0:b", "--count", 3000) as receiver:
        for _ in range(3):
            gen_run(glend, "send", "sw0:a", "--count", 1000, "--rate", "100k")
        report = receiver.report()
    assert books(report) == expect()
    assert report["check"]["sent"] == 3000


def test_several_senders(glend):
    with Gen(glend, "recv", "sw0:b", "--count", 6000, "--flows", 8) as receiver:
        senders = [Gen(glend, "send", f"sw0:s{i}", "--count", 3000, "--rate",
                       "50k", "--flows", 4, "--first-flow", 4 * i)
                   for i in range(2)]
        for sender in senders:
            with sender:
                sender.report()
        report = receiver.report()
    assert books(report) == expect()
    assert report["check"]["flows"] == 8


def test_rate_is_kept(glend):
    sent, _ = through(glend, ["--rate", "10k"], count=5000)
    assert 9000 < sent["sent"]["pps"] < 10500
    sent, _ = through(glend, ["--rate", "20Mbit", "--size", "imix"],
                      count=3000)
    assert 0.018 < sent["sent"]["gbps"] < 0.021


@pytest.mark.parametrize("busy", [[], ["--busy"]], ids=["blocking", "busy"])
@pytest.mark.parametrize("size", [60, 5000])
def test_ping(glend, scaled, busy, size):
    count = scaled(1000, least=100)
    with Gen(glend, "pong", "sw0:b", *busy) as pong:
        ping = gen_run(glend, "ping", "sw0:a", "--count", count, "--size",
                       size, "--expect-lossless", *busy)
        pong.stop()
        answered = pong.report()["pongs"]["answered"]
    assert ping["pings"] == {"sent": count, "answered": count, "lost": 0,
                             "late": 0}
    assert answered == count
    rtt = ping["rtt_ns"]
    assert rtt["n"] == count
    assert 0 < rtt["min"] <= rtt["p50"] <= rtt["p99"] <= rtt["max"] < 1e9


def test_ping_of_vlan_and_udp(glend):
    with Gen(glend, "pong", "sw0:b"):
        for extra in (["--vlan", 7], ["--udp", "--size", 100],
                      ["--udp", "--vlan", 7, "--size", 100]):
            gen_run(glend, "ping", "sw0:a", "--count", 50,
                    "--expect-lossless", *extra)


def test_ping_without_answer(glend):
    ping = gen_run(glend, "ping", "sw0:a", "--count", 3, "--timeout", "50ms",
                   "--expect-lossless", code=1)
    assert ping["pings"]["lost"] == 3


def test_sigint_prints_the_report(glend):
    with Gen(glend, "recv", "sw0:b") as receiver, \
            Gen(glend, "send", "sw0:a", "--rate", "10k") as sender:
        wait_until(lambda: glend.port_stats("sw0:b")["out"]["packets"] > 100,
                   what="packets arrive")
        sender.stop()
        sent = sender.report()["sent"]["packets"]
        wait_until(lambda: glend.port_stats("sw0:b")["out"]["packets"] >= sent,
                   what="all arrive")
        time.sleep(0.1)
        receiver.stop()
        report = receiver.report()
    assert report["received"]["packets"] == sent
    assert books(report) == expect()


def test_time_idle_and_every(glend):
    with Gen(glend, "recv", "sw0:b", "--idle", "300ms", "--every",
             "100ms") as receiver:
        began = time.monotonic()
        sent = gen_run(glend, "send", "sw0:a", "--time", "500ms", "--rate",
                       "10k")
        assert time.monotonic() - began >= 0.5
        code, out, err = receiver.end()
    assert code == 0, err
    lines = out.splitlines()
    assert len(lines) >= 5      # every 100 ms, and the report
    assert f'"packets":{sent["sent"]["packets"]}' in lines[-1]


def test_no_check_counts_packets(glend):
    with Gen(glend, "recv", "sw0:b", "--no-check", "--idle",
             "200ms") as receiver:
        sent = gen_run(glend, "send", "sw0:a", "--no-check", "--count", 20000,
                       "--rate", "200k", "--size", "60-3000")
        report = receiver.report()
    assert report["received"]["packets"] == 20000
    assert report["received"]["bytes"] == sent["sent"]["bytes"]
    assert "check" not in report


def test_no_glend(tmp_path):
    gen = Gen(None, "send", "sw0:a", "--socket", tmp_path / "nothing.sock",
              wait=False)
    with gen:
        code, _, err = gen.end()
    assert code == 3
    assert "nothing.sock" in err


def test_port_in_use(glend):
    with Gen(glend, "recv", "sw0:b"):
        with Gen(glend, "recv", "sw0:b", wait=False) as second:
            code, _, err = second.end()
    assert code == 3
    assert "sw0:b" in err and "in use" in err


def test_port_deleted(glend):
    with Gen(glend, "recv", "sw0:b") as receiver:
        glend.rpc("port.del", port="sw0:b")
        code, _, err = receiver.end()
    assert code == 3
    assert "receiving ended" in err


@pytest.mark.parametrize("args", [
    [], ["--threads", 2], ["--threads", 2, "--size", "imix", "--flows", 9], ["--size", "imix", "--flows", 50],
    ["--size", 65000, "--slots", 256], ["--udp", "--size", 200, "--rings", 2],
    ["--module", "static"], ["--vnet-hdr", 12, "--vlan", 9],
], ids=str)
def test_embedded(scaled, args):
    count = scaled(20000, least=1000)
    report = gen_run(None, "embedded", "--count", count, "--expect-lossless",
                     *args)
    assert report["sent"]["packets"] == count
    assert report["received"]["packets"] == count
    assert report["check"]["sent"] == count
    assert books(report) == expect()


def test_embedded_no_check(scaled):
    count = scaled(200000, least=1000)
    report = gen_run(None, "embedded", "--count", count, "--no-check",
                     "--expect-lossless")
    assert report["received"]["packets"] == count
    assert report["received"]["bytes"] == 60 * count
