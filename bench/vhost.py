# SPDX-License-Identifier: BSD-2-Clause
# vhost.py - guests' rings: glend, Open vSwitch with DPDK, testpmd.
"""
What a packet from one vhost-user port to another costs the switch, in cycles
of the time-stamp counter during which the switch is busy. Each switch has a
client of its own (vhost_sides.py); all stay set up and take turns.
"""
import contextlib
import json
import os
import subprocess
import tempfile
import time

from glen import binary, why_missing
import pairs
from pairs import compare, median, rate
from scenes import Result, Skip, few, scene
from vhost_sides import (OVS_VSWITCHD, Client, GlenSwitch, IoSwitch, Kind,
                         OvsSwitch, Process)

SETTLE_S = 0.003    # after the client stops, for what is under way
COUNTS_APART = 0.02     # of what the client and what the switch counted


class Probe:
    """Core distances and the frequency of the time-stamp counter."""

    def __init__(self):
        self.process = Process([binary("core_probe")],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        a = self.ask()
        time.sleep(0.2)
        b = self.ask()
        self.ghz = (b["tsc"] - a["tsc"]) / (b["ns"] - a["ns"])

    def ask(self):
        pipe = self.process.process
        pipe.stdin.write(b"\n")
        pipe.stdin.flush()
        return json.loads(pipe.stdout.readline())

    def close(self):
        self.process.close()


class Side:
    """A switch and its client, from set-up on."""

    def __init__(self, switch, client):
        self.switch, self.client = switch, client
        switch.connect(client.paths)
        client.start_ports()
        switch.wait_ready()
        client.learn()
        switch.learned()
        switch.pause()
        client.seed()
        pairs.promote(switch.pid)
        client.promote()

    def reconfigure(self, how):
        """Calls a method of the switch while it is not stopped."""
        self.switch.resume()
        getattr(self.switch, how)()
        self.switch.pause()

    def turn(self, slice_ms):
        """One slice without the probes."""
        self.switch.resume()
        n0, cycles0 = self.switch.counters()
        self.client.start()
        start = time.monotonic_ns()
        time.sleep(slice_ms / 1e3)
        arrived = self.client.stop()
        ns = time.monotonic_ns() - start
        time.sleep(SETTLE_S)
        n1, cycles1 = self.switch.counters()
        self.switch.pause()
        return {"packets": arrived, "ns": ns, "cycles": cycles1 - cycles0,
                "counted": n1 - n0}

    def check(self, slices):
        """What arrived is what the switch says it took."""
        arrived = sum(s["packets"] for s in slices)
        counted = sum(s["counted"] for s in slices)
        name = self.switch.name
        if not arrived:
            raise RuntimeError(f"{name}: no packet came back to the client")
        if abs(arrived - counted) > COUNTS_APART * arrived:
            raise RuntimeError(f"{name}: {arrived} packets arrived, but the "
                               f"switch counted {counted}")


class Stage:
    """All sides of a scene."""

    def __init__(self, options, kind):
        self.options, self.kind = options, kind
        self.stack = contextlib.ExitStack()
        self.sides = []
        self.probe = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="glen-bench-"))
            closing = lambda o: stack.enter_context(contextlib.closing(o))
            self.probe = closing(Probe())
            pairs.favour(blocks=True)
            kind = self.kind
            for make in (lambda: GlenSwitch(self.probe.ghz),
                         lambda: OvsSwitch(folder, kind.tso),
                         lambda: IoSwitch(folder, kind.n_ports, kind.tso)):
                switch = closing(make())
                client = closing(Client(folder, f"c{len(self.sides)}-", kind))
                self.sides.append(Side(switch, client))
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *problem):
        return self.stack.__exit__(*problem)

    def run(self, sides, rounds):
        """Slices of these sides in turns, as pairs.compare() wants them."""
        slices = []
        before = self.probe.ask()["distance"]
        for round_ in range(rounds):
            for i in sides:
                with pairs.promoted():
                    s = self.sides[i].turn(self.options.slice_ms)
                after = self.probe.ask()["distance"]
                if self.plausible(s):
                    slices.append({**s, "side": i, "round": round_,
                                   "before": before, "after": after})
                before = after
        for i in sides:
            self.sides[i].check([s for s in slices if s["side"] == i])
        return slices

    def plausible(self, s):
        """
        Open vSwitch sometimes answers with a wrong sum of cycles; the next
        answer is right again.
        """
        return 0 < s["cycles"] < 1.5 * s["ns"] * self.probe.ghz

    def note(self, slices, *sides):
        """Rate and load of sides, and what they lost."""
        parts = []
        for i in sides:
            own = [s for s in slices if s["side"] == i]
            mpps = median([rate(s) for s in own]) / 1e6
            load = median([s["cycles"] / s["ns"] for s in own])
            load *= 100 / self.probe.ghz
            parts.append(f"{self.sides[i].switch.name} {mpps:.2f} Mpps at "
                         f"{load:.0f} % load")
        return ", ".join(parts)

    def lost(self):
        """Packets that ceased to go round, for every side."""
        parts = []
        for side in self.sides:
            side.switch.resume()
            n = side.client.lost()
            side.switch.pause()
            if n:
                parts.append(f"{side.switch.name} lost {n} of the "
                             f"{side.client.seeds} packets going round")
        return "".join(f"; {part}" for part in parts)


def per_cycle(s):
    """Packets for a cycle of the switch."""
    return s["packets"] / s["cycles"] if s["cycles"] else 0


def why_not():
    """None if DPDK and Open vSwitch are here and we may use them."""
    if os.geteuid() != 0:
        return "needs root: Open vSwitch with DPDK wants it"
    if not os.path.exists(OVS_VSWITCHD):
        return "needs openvswitch-switch-dpdk"
    return why_missing("dpdk-testpmd", "ovsdb-server", "ovs-vsctl")


def vhost_scene(name, must=None, aim=None, **kind):
    @scene(name)
    def run(options):
        why = why_not()
        if why:
            raise Skip(why)
        traffic = Kind(slots=options.slots, **kind)
        with Stage(options, traffic) as stage:
            slices = stage.run((0, 1, 2), options.pairs)
            stage.sides[1].reconfigure("normal")
            normal = stage.run((0, 1), few(options))
            lost = stage.lost()

        def result(name_, slices_, other, to, **goals):
            return Result(name_, compare(slices_, 0, other, per_cycle),
                          f"vhost-user to vhost-user, {traffic.text()}", to,
                          unit="busy cycles/packet", scale=1,
                          note=stage.note(slices_, 0, other) + lost, **goals)

        yield result(name, slices, 1, "OVS-DPDK, direct flow", must=must,
                     aim=aim)
        yield result(f"{name}-normal", normal, 1, "OVS-DPDK, NORMAL")
        yield result(f"{name}-io", slices, 2, "testpmd io, vhost ports")


vhost_scene("vhost-64", 1.5, 2.5, frame=64)
vhost_scene("vhost-256", frame=256)
vhost_scene("vhost-1514", 2, 3, frame=1514)
vhost_scene("vhost-tso", tso=True)
vhost_scene("vhost-packed-64", frame=64, packed=True)
vhost_scene("vhost-4pairs", frame=64, n_pairs=4)


PARTS = (("rx_desc", "descriptors of the transmit ring"),
         ("switch", "private headers, look-up, grouping"),
         ("tx_desc", "descriptors of the receive ring"),
         ("copy", "the copy"),
         ("used", "used entries of both rings"),
         ("notify", "used indexes of both rings, notification"))


@scene("vhost-parts")
def vhost_parts(options):
    """What the parts cost where no line comes from another core."""
    for frame in (64, 1514):
        out = subprocess.run(
            [binary("micro_vhost"), str(frame), "32",
             str(max(options.pairs, pairs.PAIRS_MIN))], check=True, text=True,
            stdout=subprocess.PIPE, preexec_fn=pairs.child).stdout
        slices = [json.loads(line) for line in out.splitlines()]

        def result(name, part, what, slices=slices):
            both = [(1 / max(s[part], 0.01), 1 / s["whole"]) for s in slices]
            return Result(name, pairs.Ratio(both), what,
                          "the whole turn", unit="cycles/packet", scale=1,
                          slice_ms="8,192 turns")

        for part, what in PARTS:
            yield result(f"vhost-parts-{frame}-{part.replace('_', '-')}",
                         part, f"{frame} B: {what}")
