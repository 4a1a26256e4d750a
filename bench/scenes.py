# SPDX-License-Identifier: BSD-2-Clause
# scenes.py - the benchmarks: what is compared with what.
"""
Each function decorated with @scene measures and yields Results. Their names
are those of issue 2 and shared/design/quality.md; must and aim are the goals
given there, as ratios of which more is better.
"""
import os
import subprocess
import tempfile
import time

from glen import BUILD, SOURCE, Glend, binary, why_no_root
from pairs import Play, compare, favour, rate, speed_of, rate

SCENES = {}     # name: function(options)
# Names for several; vhost: what guests' rings cost; vm: all about machines;
# netmap: programs under glen-run.
SUITES = {suite: lambda start=start: [n for n in SCENES if n.startswith(start)]
          for suite, start in (("vhost", ("vhost-",)),
                               ("vm", ("vhost-", "stream", "dgram")),
                               ("nf", ("nf-", "firewall-")),
                               ("netmap", ("netmap-", "sync-", "swap-",
                                           "pipe-", "preload-")))}
YARDSTICKS = os.path.join(SOURCE, "..", "shared", "bench")
LIMIT = "limit,layout=one"


class Skip(Exception):
    """Why a benchmark cannot be run here."""


class Result:
    """
    One object of bench.json; slice_ms may be a text with a unit. If it is
    about a difference, more is (median, low, high) and most the goal.
    """

    def __init__(self, name, ratio, what, to, must=None, aim=None,
                 unit="ns/packet", invert=True, slice_ms=None, note="",
                 scale=1e9, more=(), most=None):
        self.text, self.to, self.note = what, to, note
        self.slice_ms = slice_ms
        self.fields = {
            "name": name,
            "value": cost(ratio.value, scale, invert),
            "unit": unit,
            "reference": cost(ratio.reference, scale, invert),
            "ratio": ratio.ratio, "low": ratio.low, "high": ratio.high,
            "slices": ratio.kept, "must": must, "aim": aim,
            "discarded": ratio.discarded, "reference_name": to}
        if more != ():
            self.fields.update(zip(("more", "more_low", "more_high"),
                                   more or (None,) * 3), more_most=most)


def cost(value, scale, invert):
    """A rate (each scale) as what each costs, or any other value as it is."""
    if value is None:
        return None
    if not invert:
        return value
    return scale / value if value else None


def scene(name):
    def add(function):
        SCENES[name] = function
        return function
    return add


def specs(*kinds, **common):
    """["0:KIND,...", "1:KIND,..."] with options common to all."""
    more = "".join(f",{k}={v}" for k, v in common.items())
    return [f"{i}:{kind}{more}" for i, kind in enumerate(kinds)]


def one_thread(options, kinds, rounds=None, **common):
    """Slices of sides that share a thread."""
    with Play(options.slice_ms) as play:
        play.party(*specs(*kinds, **common))
        return play.run(len(kinds), rounds or options.pairs)


def few(options):
    """Rounds for figures that are for information."""
    return max(options.pairs // 3, 5)


# Bare loops against the yardsticks

def yardstick(source, folder):
    """Builds a yardstick as a party; its path."""
    path = os.path.abspath(os.path.join(YARDSTICKS, source))
    if not os.path.exists(path):
        raise Skip(f"there is no {path}")
    out = os.path.join(folder, source + ".party")
    subprocess.run(
        ["cc", "-O3", "-march=native", "-D_GNU_SOURCE", "-w",
         f'-DYARDSTICK="{path}"', "-I", SOURCE,
         "-DYARDSTICK_RTT" if "rtt" in source else "-DYARDSTICK_RINGS",
         "-o", out, os.path.join(SOURCE, "bench", "yardstick.c"),
         "-lpthread"], check=True)
    return out


def limit_scene(layout):
    @scene(f"limit-{layout}")
    def run(options):
        with tempfile.TemporaryDirectory() as folder, \
                Play(options.slice_ms) as play:
            path = yardstick("bare-rings.c", folder)
            play.party(f"0:limit,layout={layout}")
            play.start(path, play.share, 1, layout, 60)
            ratio = compare(play.run(2, options.pairs), 0, 1)
        yield Result(f"limit-{layout}", ratio,
                     f"bare loop, layout {layout}, 60 B",
                     f"yardstick bare-rings {layout}", 0.95)


for _layout in ("one", "two", "three"):
    limit_scene(_layout)


@scene("limit-rtt")
def limit_rtt(options):
    with tempfile.TemporaryDirectory() as folder, \
            Play(options.slice_ms, blocks=True) as play:
        path = yardstick("bare-rtt.c", folder)
        play.party("0:limit,layout=rtt")
        play.start(path, play.share, 1)
        slices = play.run(2, options.pairs)
    for key in ("p50", "p99"):
        yield Result("limit-rtt" if key == "p50" else "limit-rtt-p99",
                     compare(slices, 0, 1, speed_of(key)),
                     f"bare round trip, {key}", "yardstick bare-rtt",
                     0.95 if key == "p50" else None, unit="ns")


# The switch on one core

def core_scene(frame):
    @scene(f"core-{frame}")
    def run(options):
        kinds = [f"embed{options.geometry}", LIMIT]
        same = options.limit_geometry
        if same:
            kinds.append(LIMIT + same)
        slices = one_thread(options, kinds, frame=frame)
        what = f"sender, switch, receiver in one thread, {frame} B"
        yield Result(f"core-{frame}", compare(slices, 0, 1), what,
                     "bare loop one", 0.75, 0.90)
        if same:
            yield Result(f"core-{frame}-same", compare(slices, 0, 2), what,
                         f"bare loop one{same}")


core_scene(60)
core_scene(1514)


@scene("sizes")
def sizes(options):
    for frame in (60, 128, 256, 512, 1024, 1514):
        slices = one_thread(options, [f"embed{options.geometry}", LIMIT],
                            few(options), frame=frame)
        yield Result(f"sizes-{frame}", compare(slices, 0, 1),
                     f"one thread, {frame} B", "bare loop one")


@scene("batch")
def batch(options):
    sizes_ = (256, 1, 2, 4, 8, 16, 32, 64, 128, 512, 1024)
    slices = one_thread(options, [f"embed{options.geometry},batch={n}"
                                  for n in sizes_], few(options))
    for i, n in enumerate(sizes_):
        if i:
            yield Result("batch" if n == 1 else f"batch-{n}",
                         compare(slices, i, 0),
                         f"one thread, 60 B, {n} packets at a time",
                         "256 at a time")


@scene("ports-1024")
def ports_1024(options):
    slices = one_thread(options, ["embed,ports=1024", "embed,ports=2",
                                  "embed,ports=1024,spread=1"])
    yield Result("ports-1024", compare(slices, 0, 1),
                 "one thread, 60 B, unicast, 1,024 ports attached",
                 "2 ports", 0.667, 0.91)
    yield Result("ports-1024-spread", compare(slices, 2, 1),
                 "the same, to 1,023 receivers in turn", "2 ports")
    with private_glend() as many, private_glend() as few_, \
            Play(options.slice_ms) as play:
        for side, glend in enumerate((many, few_)):
            favour(glend.pid)
            clients(play, glend, side)
        play.party("2:idle,ports=1022,port=bench:p,slots=64", env=many.env)
        slices = play.run(2, few(options))
    yield Result("ports-1024-glend", compare(slices, 0, 1),
                 "process to process through glend, 60 B, 1,024 ports",
                 "glend with 2 ports", 0.667, 0.91)


@scene("fdb-1m")
def fdb(options):
    slices = one_thread(options, ["embed,addrs=1000000", "embed",
                                  "embed,addrs=10000"])
    for i, name, n in ((0, "fdb-1m", "1 M"), (2, "fdb-10k", "10 k")):
        yield Result(name, compare(slices, i, 1),
                     f"one thread, 60 B, {n} addresses in turn",
                     "1 address each")


@scene("flood")
def flood(options):
    counts = (2, 4, 8, 16, 32, 64)
    slices = one_thread(options, ["embed"] + [
        f"embed,ports={n + 1},spread=2" for n in counts], few(options))
    for i, n in enumerate(counts):
        yield Result(f"flood-{n}", compare(slices, i + 1, 0),
                     f"one thread, 60 B, flooded to {n} ports",
                     "unicast", unit="ns/copy")


@scene("copy-64k")
def copy_64k(options):
    geometries = (("copy-64k", "2048-byte buffers", "buf=2048,slots=1024"),
                  ("copy-64k-1", "65536-byte buffers", "buf=65536,slots=64"))
    for name, what, geometry in geometries:
        kinds = [f"embed,fill=64,{geometry}", f"memcpy,{geometry}"]
        slices = one_thread(options, kinds, frame=65535)
        yield Result(name, compare(slices, 0, 1),
                     f"one thread, 65,535 B in {what}",
                     "memcpy of the same bytes", 0.6, 0.8)


# Through glend

def private_glend(pinned=True):
    args = ["--log-level", "warning"]
    if pinned:
        args += ["--cpus", str(min(1, os.cpu_count() - 1))]
    return Glend(workers=1, args=args)


def clients(play, glend, side, geometry="", frame=60):
    """Sender and receiver, separate processes on processor 0."""
    glend.rpc("switch.add", switch="bench")     # stays, with its counters
    for kind, port in (("recv", "bench:b"), ("send", "bench:a")):
        play.party(f"{side}:{kind},cpu=0,port={port},frame={frame}{geometry}",
                   env=glend.env)


def glend_scene(frame, must, aim):
    @scene(f"glend-{frame}")
    def run(options):
        with private_glend() as glend, Play(options.slice_ms) as play:
            favour(glend.pid)
            clients(play, glend, 0, options.geometry, frame)
            kinds = [f"limit,layout=three,frame={frame}"]
            if options.limit_geometry:
                kinds.append(kinds[0] + options.limit_geometry)
            play.party(*[f"{i + 1}:{k}" for i, k in enumerate(kinds)])
            slices = play.run(len(kinds) + 1, options.pairs)
            note = drops_note(glend)
        what = f"process to process through glend, {frame} B"
        yield Result(f"glend-{frame}", compare(slices, 0, 1), what,
                     "bare loop three", must, aim, note=note)
        if len(kinds) > 1:
            yield Result(f"glend-{frame}-same", compare(slices, 0, 2), what,
                         f"bare loop three{options.limit_geometry}")


glend_scene(60, 0.70, 0.90)
glend_scene(1514, None, None)


def drops_note(glend):
    """How much of what was sent did not arrive."""
    stats = glend.rpc("stats", switch="bench")["switches"][0]
    drops = stats["drops"]
    if isinstance(drops, dict):
        drops = sum(drops.values())
    came = stats["in_packets"] + stats["replicated"]
    return f"{drops / came * 100 if came else 0:.2f} % dropped at the receiver"


@scene("tap-bridge")
def tap_bridge(options):
    why = why_no_root()
    if why:
        raise Skip(why)
    with private_glend() as glend, Play(options.slice_ms) as play:
        favour(glend.pid)
        clients(play, glend, 0, options.geometry)
        play.start(binary("tap_party"), play.share, 1, 60)
        play.party(f"2:embed,layout=two{options.geometry}")
        # A power of two as the distance of buffers puts the first line of
        # every packet into one of 64 sets of the second-level cache.
        play.party("3:embed,layout=two,buf=2112")
        play.party("4:embed,layout=one,buf=2112")
        slices = play.run(5, options.pairs)
    to = "TAP + Linux bridge + TAP"
    yield Result("tap-bridge", compare(slices, 0, 1),
                 "process to process through glend, 60 B", to, 30, 60)
    yield Result("tap-bridge-embedded-2048", compare(slices, 2, 1),
                 "embedded, sender + switch on one core, 60 B", to)
    yield Result("tap-bridge-embedded", compare(slices, 3, 1),
                 "the same with buffers of 2,112 bytes", to, 60, 100)
    yield Result("tap-bridge-embedded-one", compare(slices, 4, 1),
                 "the same, receiver on that core as well", to, 60, 100)


@scene("rtt")
def rtt(options):
    with private_glend(pinned=False) as glend, \
            Play(options.slice_ms, blocks=True) as play:
        favour(glend.pid, blocks=True)
        play.party("0:pong,port=bench:b", env=glend.env)
        play.party("0:ping,port=bench:a", env=glend.env)
        play.party("1:limit,layout=rtt")
        slices = play.run(2, options.pairs)
    for key in ("p50", "p99"):
        yield Result("rtt" if key == "p50" else "rtt-p99",
                     compare(slices, 0, 1, speed_of(key)),
                     f"round trip between two blocking processes, {key}",
                     "eventfd ping-pong through a middleman",
                     0.667, 0.83, unit="ns")


# Idle

def cpu_ns(pid):
    """Time on processors of all threads of a process."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total


def memory_kib(pid):
    """Resident memory that is not shared memory (the ports' regions)."""
    with open(f"/proc/{pid}/status") as f:
        fields = dict(line.split(":", 1) for line in f if ":" in line)
    return sum(int(fields[k].split()[0]) for k in ("RssAnon", "RssFile"))


class Percent:
    """A share of a core in place of pairs."""

    def __init__(self, percent):
        self.value, self.reference = percent, 100.0
        self.kept, self.discarded = 1, 0
        self.ratio = self.low = self.high = 100 / max(percent, 1e-4)


@scene("idle-64")
def idle(options):
    seconds = 5 if options.quick else 30
    with private_glend() as glend, Play() as play:
        play.party("0:idle,ports=64,port=bench:p", env=glend.env)
        while len(glend.rpc("port.list")) < 64:
            time.sleep(0.05)
        glend.hang_up()
        time.sleep(2)
        start, t = cpu_ns(glend.pid), time.monotonic_ns()
        time.sleep(seconds)
        percent = ((cpu_ns(glend.pid) - start) /
                   (time.monotonic_ns() - t) * 100)
        kib = memory_kib(glend.pid)
    yield Result("idle-64", Percent(percent),
                 f"CPU of glend with 64 silent ports over {seconds} s",
                 "a core that polls", 100, 1000, unit="% of a core",
                 invert=False,
                 note=f"{kib / 1024:.1f} MiB resident beyond the regions")
