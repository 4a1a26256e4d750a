# SPDX-License-Identifier: BSD-2-Clause
# test_vlan.py - VLANs and mirrors of the learning bridge, frame by frame.
"""
Frames are made by scapy, since the kernel here knows no VLANs. Most ports are
clients of libglen: what they get comes in order, so a frame that should not
have come shows as the wrong one before the next that should, and each test ends
with frames that everybody gets.
"""
import contextlib
import json
import struct

import pytest
from scapy.all import Dot1AD, Dot1Q, Ether, IP, Raw, UDP, raw

import glen
from frames import Client, Guest, Interface, finished
from glen import wait_until
from test_offloads import SENDER, Case

needs_root = pytest.mark.skipif(bool(glen.why_no_root()),
                                reason=str(glen.why_no_root()))

ALL = "ff:ff:ff:ff:ff:ff"
ACCESS10 = {"mode": "access", "vlan": 10}
ACCESS20 = {"mode": "access", "vlan": 20}
TRUNK = {"mode": "trunk", "allowed": "10,20-29"}
NATIVE = {"mode": "trunk", "allowed": [10, "20-29"], "native": 30}
QINQ = {"mode": "qinq", "vlan": 100}
PROVIDER = {"mode": "trunk", "allowed": 100}


def mac(n):
    return f"02:00:00:00:00:{n:02x}"


def frame(src, dst=ALL, tags=(), text=b"", size=50):
    packet = Ether(src=mac(src), dst=dst if isinstance(dst, str) else mac(dst))
    for tag in tags:
        packet /= tag
    return raw(packet / IP(src="10.0.0.1", dst="10.0.0.2") / UDP() /
               Raw(text.ljust(size, b".")))


def q(vid, prio=0):
    return Dot1Q(vlan=vid, prio=prio)


def ad(vid, prio=0):
    return Dot1AD(vlan=vid, prio=prio)


class Bench:
    """Clients by the names of their ports; glend's switch is sw0."""

    def __init__(self, glend, **settings):
        self.glend = glend
        self.stack = contextlib.ExitStack()
        self.port = {}
        for name, learn in settings.items():
            glend.rpc("port.add", port=f"sw0:{name}", driver="shm",
                      **({"learn": learn} if learn else {}))
            self.port[name] = self.stack.enter_context(
                Client(glend, f"sw0:{name}"))
        self.dropped = {}

    def send(self, name, sent, **expected):
        """What comes out, by port; a single frame or several."""
        self.port[name].send(sent)
        for other, frames in expected.items():
            for want in frames if isinstance(frames, list) else [frames]:
                got = self.port[other].recv()
                assert got == want, (
                    f"from {name} to {other}: {Ether(got)!r}\n"
                    f"instead of {Ether(want)!r}")

    def drop(self, name, sent, reason):
        count = self.dropped.setdefault(name, {})
        count[reason] = count.get(reason, 0) + 1
        self.port[name].send(sent)
        wait_until(lambda: self.drops(name) == count,
                   what=f"{reason}: {count}")

    def drops(self, name):
        return self.glend.port_stats(f"sw0:{name}")["in"]["drops"]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stack.close()
        if not kind:
            self.glend.check_identity()


def test_access_and_trunk(glend):
    with Bench(glend, a=ACCESS10, b=ACCESS10, c=ACCESS20, t=TRUNK,
               n=NATIVE) as bench:
        # Floods: to members of the VLAN, each its way.
        bench.send("a", frame(1), b=frame(1), t=frame(1, tags=[q(10)]),
                   n=frame(1, tags=[q(10)]))
        bench.send("c", frame(1, text=b"c"),
                   t=frame(1, text=b"c", tags=[q(20)]),
                   n=frame(1, text=b"c", tags=[q(20)]))
        bench.send("t", frame(3, tags=[q(10, 5)]), a=frame(3), b=frame(3),
                   n=frame(3, tags=[q(10, 5)]))
        bench.send("t", frame(4, tags=[q(29)]), n=frame(4, tags=[q(29)]))
        # One address in two VLANs is behind two ports.
        bench.send("b", frame(2, 1), a=frame(2, 1))
        bench.send("t", frame(5, 1, [q(10)]), a=frame(5, 1))
        bench.send("t", frame(5, 1, [q(20)]), c=frame(5, 1))
        bench.send("a", frame(1, 5), t=frame(1, 5, [q(10)]))
        bench.send("n", frame(6, 5, [q(20)]), t=frame(6, 5, [q(20)]))
        entries = {(e["mac"], e["vlan"], e["port"]) for e in glend.rpc(
            "fdb.show", switch="sw0")["entries"]}
        assert {(mac(1), 10, "a"), (mac(1), 20, "c"), (mac(5), 10, "t"),
                (mac(5), 20, "t"), (mac(6), 20, "n")} <= entries
        # Priority tags: the VLAN is the port's, priority stays where it can.
        bench.send("a", frame(1, 5, [q(0, 6)]), t=frame(1, 5, [q(10, 6)]))
        bench.send("b", frame(2, 1, [q(0, 6)]), a=frame(2, 1))
        bench.send("a", frame(1, tags=[q(0, 3)]), b=frame(1),
                   t=frame(1, tags=[q(10, 3)]), n=frame(1, tags=[q(10, 3)]))
        # 802.1ad tags stay what they are on trunks.
        bench.send("t", frame(7, tags=[ad(10, 2)]), a=frame(7), b=frame(7),
                   n=frame(7, tags=[ad(10, 2)]))
        for vid, ports in ((10, "abn"), (20, "cn")):
            bench.send("t", frame(9, tags=[q(vid)]), **{
                p: frame(9, tags=[q(vid)] if p == "n" else []) for p in ports})
        bench.send("c", frame(9), t=frame(9, tags=[q(20)]),
                   n=frame(9, tags=[q(20)]))
        assert all(bench.drops(p) == {} for p in bench.port)


def test_native_vlan(glend):
    with Bench(glend, n=NATIVE, m=NATIVE, a={"mode": "access", "vlan": 30},
               t={"mode": "trunk", "allowed": "30"}) as bench:
        bench.send("n", frame(1), m=frame(1), a=frame(1),
                   t=frame(1, tags=[q(30)]))
        # Tagged with it is the same VLAN, and leaves without.
        bench.send("n", frame(1, tags=[q(30, 7)]), m=frame(1), a=frame(1),
                   t=frame(1, tags=[q(30, 7)]))
        bench.send("n", frame(1, tags=[q(0, 2)]), m=frame(1), a=frame(1),
                   t=frame(1, tags=[q(30, 2)]))
        bench.send("t", frame(2, tags=[q(30)]), n=frame(2), m=frame(2),
                   a=frame(2))
        bench.send("m", frame(3, 2), t=frame(3, 2, [q(30)]))
        # Without a native VLAN there is none for it.
        glend.rpc("port.set", port="sw0:n", learn={"native": None})
        bench.drop("n", frame(1), "in_vlan_untagged")
        bench.drop("n", frame(1, tags=[q(0, 5)]), "in_vlan_untagged")
        bench.drop("n", frame(1, tags=[q(30)]), "in_vlan_denied")
        bench.send("a", frame(4), m=frame(4), t=frame(4, tags=[q(30)]))
        bench.send("m", frame(5, tags=[q(10)]), n=frame(5, tags=[q(10)]))


def test_qinq(glend):
    """Two customers' sites and a provider's trunk in between."""
    inner = [q(10, 3)]
    with Bench(glend, x=QINQ, y=QINQ, p=PROVIDER, a=ACCESS10,
               s={"mode": "access", "vlan": 100}) as bench:
        for tags in ([], [q(10, 3)], [q(4000, 7), q(5)], [ad(5), q(6)],
                     [q(0, 1)], [q(100)]):
            prio = tags[0].prio if tags else 0
            to_s = {} if tags else {"s": frame(1)}
            bench.send("x", frame(1, tags=tags), y=frame(1, tags=tags),
                       p=frame(1, tags=[ad(100, prio), *tags]), **to_s)
        bench.send("p", frame(2, tags=[ad(100), *inner]),
                   x=frame(2, tags=inner), y=frame(2, tags=inner))
        # To addresses, which are the provider's, whatever the inner VLAN.
        bench.send("y", frame(3, 1, inner), x=frame(3, 1, inner))
        bench.send("x", frame(1, 2, inner), p=frame(1, 2, [ad(100, 3),
                                                           *inner]))
        bench.send("p", frame(2, 1, [q(100), *inner]), x=frame(2, 1, inner))
        # The tag behind is not for an access port in the provider's VLAN.
        bench.send("s", frame(7, 1), x=frame(7, 1))
        bench.drop("x", frame(1, 7, inner), "in_vlan_stacked")
        bench.send("s", frame(8), x=frame(8), y=frame(8),
                   p=frame(8, tags=[q(100)]))
        bench.drop("a", frame(9, tags=inner), "in_vlan_tagged")
        bench.send("x", frame(9), y=frame(9), s=frame(9),
                   p=frame(9, tags=[ad(100)]))


def test_hostile_frames(glend):
    """VLAN hopping and broken tags, each under its name."""
    with Bench(glend, a=ACCESS10, c=ACCESS20, t=TRUNK, n=NATIVE, z={
            "mode": "access", "vlan": 30}) as bench:
        for tags in ([q(20)], [q(10)], [q(10), q(20)], [q(0), q(20)],
                     [ad(0)], [ad(20), q(20)], [ad(10)], [q(4095)]):
            bench.drop("a", frame(1, tags=tags), "in_vlan_tagged")
        for vid in (1, 9, 11, 19, 30, 31, 4094, 4095):
            bench.drop("t", frame(2, tags=[q(vid)]), "in_vlan_denied")
            bench.drop("t", frame(2, tags=[ad(vid), q(10)]), "in_vlan_denied")
        bench.drop("t", frame(2), "in_vlan_untagged")
        for name in "atn":
            for size in (14, 15, 16, 17):
                for kind in (b"\x81\x00", b"\x88\xa8"):
                    cut = frame(1)[:12] + kind + b"\x00\x0a\x08\x00"
                    bench.drop(name, cut[:size], "in_vlan_bad")
        # The native VLAN's tag goes, and the one behind must not count.
        bench.send("z", frame(5), n=frame(5))
        bench.send("n", frame(6, tags=[q(30)]), z=frame(6))
        bench.drop("n", frame(6, 5, [q(30), q(20)]), "in_vlan_stacked")
        bench.send("t", frame(7, tags=[q(10), q(20)]),
                   n=frame(7, tags=[q(10), q(20)]))
        # 18 bytes are a frame: addresses, a tag and a type.
        short = frame(8)[:12] + b"\x81\x00\x00\x0a\x08\x00"
        bench.send("t", short, a=short[:12] + short[16:], n=short)
        # Nothing of it was learnt in another VLAN.
        assert {(e["mac"], e["vlan"]) for e in glend.rpc(
            "fdb.show", switch="sw0")["entries"]} == {
                (mac(5), 30), (mac(6), 30), (mac(7), 10), (mac(8), 10)}
        bench.send("c", frame(9), t=frame(9, tags=[q(20)]),
                   n=frame(9, tags=[q(20)]))
        bench.send("n", frame(9, tags=[q(10)]), a=frame(9),
                   t=frame(9, tags=[q(10)]))


def test_ports_without_mode(glend):
    """They are in all VLANs and in that of untagged packets."""
    with Bench(glend, p=None, o=None, a=ACCESS10, t=TRUNK) as bench:
        bench.send("p", frame(1), o=frame(1))
        bench.send("p", frame(1, tags=[q(0, 3)]), o=frame(1, tags=[q(0, 3)]))
        bench.send("p", frame(1, tags=[q(10)]), o=frame(1, tags=[q(10)]),
                   a=frame(1), t=frame(1, tags=[q(10)]))
        bench.send("a", frame(2), p=frame(2, tags=[q(10)]),
                   o=frame(2, tags=[q(10)]), t=frame(2, tags=[q(10)]))
        bench.send("p", frame(1, tags=[q(77)]), o=frame(1, tags=[q(77)]))
        # The last mode goes: tags are only bytes again, and all get all.
        for name in "at":
            glend.rpc("port.set", port=f"sw0:{name}", learn=None)
        assert glend.rpc("vlan.show", switch="sw0")["aware"] is False
        bench.send("a", frame(3, tags=[q(99)]), **{
            p: frame(3, tags=[q(99)]) for p in "pot"})
        bench.send("t", frame(4), p=frame(4), o=frame(4), a=frame(4))


def test_stations_move_between_vlans(glend):
    with Bench(glend, a=ACCESS10, b=ACCESS10, c=ACCESS20) as bench:
        bench.send("a", frame(1), b=frame(1))
        bench.send("b", frame(2, 1), a=frame(2, 1))
        glend.rpc("port.set", port="sw0:a", learn={"vlan": 20})
        # It is not there any more: nobody gets it, but it is not lost by name.
        bench.drop("b", frame(2, 1), "in_no_port")
        bench.send("a", frame(1), c=frame(1))
        bench.send("c", frame(3, 1), a=frame(3, 1))
        glend.rpc("fdb.add", switch="sw0", mac=mac(9), port="a", vlan=20)
        bench.send("c", frame(3, 9), a=frame(3, 9))
        bench.send("a", frame(9), c=frame(9))


def test_isolation_and_storms(glend):
    with Bench(glend, a=ACCESS10, b={**ACCESS10, "storm_broadcast_pps": 1},
               t=TRUNK) as bench:
        for name in "ab":
            glend.rpc("port.set", port=f"sw0:{name}", isolated=True)
        bench.send("a", frame(1), t=frame(1, tags=[q(10)]))
        bench.send("t", frame(2, tags=[q(10)]), a=frame(2), b=frame(2))
        bench.drop("b", frame(3, 1), "in_isolated")
        bench.send("b", frame(3), t=frame(3, tags=[q(10)]))
        for _ in range(50):
            bench.port["b"].send(frame(3))
        wait_until(lambda: bench.drops("b").get("in_storm", 0) >= 25)


# Interfaces and guests

@contextlib.contextmanager
def tap(glend, name, source, **options):
    with glen.Netns() as netns:
        netns.no_ipv6()
        glend.rpc("port.add", port=f"sw0:{name}", driver="tap",
                  netns=netns.name, ifname=name, **options)
        netns.run(f"ip link set dev {name} up")
        wait_until(lambda: glend.rpc("port.show",
                                     port=f"sw0:{name}")["link"])
        with Interface(netns, name, source) as port:
            yield port


@contextlib.contextmanager
def guest(glend, name, learn, *words):
    path = f"{glend.dir}/{name}"
    glend.rpc("port.add", port=f"sw0:{name}", driver="vhost-user", path=path,
              learn=learn)
    with Guest(path, *words) as port:
        wait_until(lambda: glend.rpc("port.show",
                                     port=f"sw0:{name}")["link"])
        yield port


@needs_root
def test_jumbo_over_tap(glend):
    """An MTU does not count tags, in neither direction."""
    big = frame(1, size=8972)
    assert len(big) == 9014
    with tap(glend, "a", mac(2), mtu=9000, learn=ACCESS10) as a, \
            tap(glend, "t", mac(1), mtu=9000, learn=TRUNK) as t, \
            tap(glend, "b", mac(1), mtu=9000, learn=ACCESS10) as b:
        tagged = frame(1, tags=[q(10)], size=8972)
        a.wire.send(big)
        assert t.recv() == tagged
        assert b.recv() == big
        a.wire.send(frame(1, text=b"next"))
        assert t.recv() == frame(1, text=b"next", tags=[q(10)])
        back = frame(2, 1, [q(10)], size=8972)
        t.wire.send(back)
        assert a.recv() == frame(2, 1, size=8972)
        # One byte more is dropped where it goes.
        glend.rpc("port.set", port="sw0:a", mtu=8999)
        t.wire.send(back)
        wait_until(lambda: glend.drops("sw0:a")["out"].get("out_oversize"))
    glend.check_identity()


def tagged_with(data, *tags):
    return data[:12] + b"".join(struct.pack(">HH", *t) for t in tags) + \
        data[12:]


def same_work(hdr, sent, moved):
    """A virtio header that says the same of a frame with tags more or less."""
    assert hdr[:2] == sent[:2] and hdr[4:6] == sent[4:6]
    start, offset = struct.unpack("<HH", sent[6:10])
    assert struct.unpack("<HH", hdr[6:10]) == (start + moved, offset)


WORK = [(layer3, work) for layer3 in ("v4", "v6")
        for work in ("tso", "uso", "tcp", "udp", "tso-stamps")]


@needs_root
def test_unfinished_packets_get_a_tag(glend):
    """To a TAP, which wants them finished, and to a guest, which does not."""
    with guest(glend, "g", ACCESS10, "offloads") as sender, \
            tap(glend, "t", SENDER, mtu=9000, offloads=False,
                learn=TRUNK) as t, \
            guest(glend, "o", TRUNK, "offloads") as other, \
            guest(glend, "b", ACCESS10, "offloads") as same:
        for layer3, work in WORK:
            case = Case("plain", layer3, work)
            packet, hdr = case.sent()
            sender.send(packet, hdr)
            for piece in case.expected():
                got = t.recv()
                assert got == tagged_with(piece, (0x8100, 10)), case.name
                finished(got)
            got_hdr, got = other.recv_hdr()
            assert got == tagged_with(packet, (0x8100, 10)), case.name
            same_work(got_hdr, hdr, 4)
            got_hdr, got = same.recv_hdr()
            assert got == packet, case.name
            same_work(got_hdr, hdr, 0)
    glend.check_identity()


@needs_root
def test_unfinished_packets_lose_a_tag(glend):
    trunk = {"mode": "trunk", "allowed": 5}
    access = {"mode": "access", "vlan": 5}
    with guest(glend, "g", trunk, "offloads", "scattered") as sender, \
            tap(glend, "t", SENDER, mtu=9000, offloads=False,
                learn=access) as t, \
            guest(glend, "o", access, "offloads", "packed") as other:
        for layer3, work in WORK:
            case, plain = (Case(tags, layer3, work)
                           for tags in ("vlan", "plain"))
            packet, hdr = case.sent()
            sender.send(packet, hdr)
            for piece in plain.expected():
                got = t.recv()
                assert got == piece, case.name
                finished(got)
            got_hdr, got = other.recv_hdr()
            assert got == plain.sent()[0], case.name
            same_work(got_hdr, hdr, -4)
    glend.check_identity()


@needs_root
def test_unfinished_packets_through_qinq(glend):
    """A customer's tag stays; the provider's is the second, and the last."""
    outer = (0x88a8, 3 << 13 | 100)
    with guest(glend, "g", QINQ, "offloads") as sender, \
            tap(glend, "t", SENDER, mtu=9000, offloads=False,
                learn=PROVIDER) as t, \
            guest(glend, "o", PROVIDER, "offloads") as other, \
            tap(glend, "y", SENDER, mtu=9000, offloads=False,
                learn=QINQ) as y:
        for layer3, work in WORK:
            case = Case("vlan", layer3, work)
            packet, hdr = case.sent()
            sender.send(packet, hdr)
            for piece in case.expected():
                got = t.recv()
                assert got == tagged_with(piece, outer), case.name
                finished(got)
                assert y.recv() == piece, case.name
            got_hdr, got = other.recv_hdr()
            assert got == tagged_with(packet, outer), case.name
            same_work(got_hdr, hdr, 4)
        # A third tag is too many for one to be cut; it is counted.
        sender.send(*Case("qinq", "v4", "tso").sent())
        wait_until(lambda: glend.drops("sw0:g")["in"] == {
            "in_bad_offload": 1})
    glend.check_identity()


# Mirrors

@needs_root
def test_mirror_to_a_tap(glend):
    """Both sides of an access port, as they are there."""
    with tap(glend, "sniff", mac(1)) as sniff, Bench(
            glend, a={**ACCESS10, "mirror_to": "sniff"}, b=ACCESS10,
            t={**TRUNK, "mirror": "out", "mirror_to": "sniff"}) as bench:
        wire = sniff.wire

        def seen(*frames):
            for want in frames:
                assert wire.recv_n(1, want=lambda f: f[6] == 2) == [want]

        bench.send("a", frame(1), b=frame(1), t=frame(1, tags=[q(10)]))
        seen(frame(1))      # once, though it left at t as well
        bench.send("b", frame(2, 1), a=frame(2, 1))
        seen(frame(2, 1))
        bench.send("t", frame(3, 1, [q(10, 2)]), a=frame(3, 1))
        seen(frame(3, 1))
        bench.send("b", frame(2, 3), t=frame(2, 3, [q(10)]))
        seen(frame(2, 3, [q(10)]))
        # What is dropped came nevertheless.
        bench.drop("a", frame(1, tags=[q(20)]), "in_vlan_tagged")
        seen(frame(1, tags=[q(20)]))
        # Nothing else goes there, and nothing comes from there.
        bench.send("t", frame(4, tags=[q(29)]))
        wire.send(frame(7))
        wait_until(lambda: glend.drops("sw0:sniff")["in"].get(
            "in_mirror_port"))
        assert mac(7) not in {e["mac"] for e in glend.rpc(
            "fdb.show", switch="sw0")["entries"]}
        bench.send("a", frame(1, 2), b=frame(1, 2))
        seen(frame(1, 2))
        stats = glend.port_stats("sw0:sniff")
        assert stats["out"]["packets"] == 6
        assert glend.port_stats("sw0:b")["in"]["replicated"] == 2


def test_words_and_errors(glend):
    def refused(*words):
        done = glend.ctl(*words, check=False)
        assert done.returncode == 1, done
        return done.stderr

    glend.ctl("port", "add", "sw0:a", "shm", "learn.mode=access",
              "learn.vlan=10")
    glend.ctl("port", "add", "sw0:t", "shm", "learn.mode=trunk",
              "learn.allowed=10,20-29", "learn.native=30",
              "learn.mirror_to=sniff")
    with Bench(glend, p=None), Client(glend, "sw0:a"), Client(glend, "sw0:t"):
        shown = glend.ctl("vlan", "show", "sw0").stdout
        assert [line.split() for line in shown.splitlines()[1:]] == [
            ["a", "access", "10", "-", "-"],
            ["p", "plain", "-", "-", "-"],
            ["t", "trunk", "30", "10,20-29", "both", "to", "sniff", "(no",
             "such", "port", "yet)"]]
        done = json.loads(glend.ctl("vlan", "show", "sw0", "--json").stdout)
        assert done == {"aware": True, "ports": [
            {"port": "a", "mode": "access", "vlan": 10},
            {"port": "p", "mode": "plain"},
            {"port": "t", "mode": "trunk", "native": 30,
             "allowed": "10,20-29", "mirror": "both", "mirror_to": "sniff",
             "mirrored": False}]}
        assert "'hybrid' is none of access, trunk, qinq" in refused(
            "port", "set", "sw0:p", "learn.mode=hybrid")
        assert "'10,20-' is no list of VLANs" in refused(
            "port", "set", "sw0:t", "learn.allowed=10,20-")
        assert "mode access needs vlan" in refused(
            "port", "set", "sw0:p", "learn.mode=access")
        assert "'p' cannot be its own mirror" in refused(
            "port", "set", "sw0:p", "learn.mirror_to=p")
        assert "not in VLAN 20" in refused(
            "fdb", "add", "sw0:a", mac(1), "--vlan", "20")
        assert "vlan cannot be false while ports have a mode" in refused(
            "module", "set", "sw0", "vlan=false")
        # Nothing of that has changed anything.
        assert json.loads(glend.ctl("vlan", "show", "sw0",
                                    "--json").stdout) == done
    glend.ctl("switch", "add", "other", "static")
    assert "knows no VLANs" in refused("vlan", "show", "other")


def test_kept_over_restart_and_modules(glend):
    def shown():
        ports = glend.rpc("vlan.show", switch="sw0")["ports"]
        return sorted(ports, key=lambda port: port["port"])

    for name, learn in (("a", ACCESS10), ("m", {"mirror_to": "n"}),
                        ("n", NATIVE), ("q", QINQ)):
        glend.rpc("port.add", port=f"sw0:{name}", driver="dummy", learn=learn)
    before = shown()
    assert [port["mode"] for port in before] == [
        "access", "plain", "mirror", "qinq"]
    assert before[1]["mirrored"]
    glend.ctl("switch", "set", "sw0", "static")
    glend.ctl("switch", "set", "sw0", "learn")
    assert shown() == before
    glend.restart()
    assert shown() == before
