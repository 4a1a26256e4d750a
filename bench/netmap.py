# SPDX-License-Identifier: BSD-2-Clause
# netmap.py - benchmarks: what programs written for netmap get under glen-run.
"""
The programs are bench/netmap.c. Under glen-run they use /dev/netmap; with
lib=1 the same loops use libglen, without glen-run. Both sides have a glend
each, pinned to processor 1.
"""
import contextlib
import os
import tempfile

from cores import Mega, two_processors
from glen import binary
from pairs import Play, compare, favour
from scenes import Result, few, private_glend, scene, yardstick

SLOTS = 1024
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LOOP_SLOTS = 2048   # batches of 1,024 need more than 1,024 slots


class Sides:
    """A Play whose sides are programs for netmap and what they stand to."""

    def __init__(self, options, stack, blocks=False):
        self.play = stack.enter_context(Play(options.slice_ms, blocks=blocks))
        self.stack = stack
        self.n = 0

    def glend(self, switch="bench"):
        glend = self.stack.enter_context(private_glend())
        favour(glend.pid)
        glend.rpc("switch.add", switch=switch)     # stays
        return glend

    def start(self, env, *specs, run=False, swap=False):
        """A process with these sides, under glen-run if run."""
        argv = [binary("party"), self.play.share, *specs]
        if run:
            argv = [binary("glen-run"), *(["--swap"] if swap else []), *argv]
        self.play.start(*argv, env=env)

    def add(self):
        self.n += 1
        return self.n - 1

    def pair(self, text="", region=0, lib=False):
        """
        Sender and receiver on processor 0, through a glend of their own;
        region: 1: in one region, 2: and they swap.
        """
        side = self.add()
        glend = self.glend("valebench")
        common = (f"cpu=0,yield=1,quota={SLOTS}{text}"
                  f"{f',lib=1,region={region}' if lib else ''}")
        at = "@1" if region and not lib else ""
        for kind, port in (("recv", "b"), ("send", "a")):
            self.start(glend.env, f"{side}:nm-{kind},port=valebench:{port}{at}"
                       f",{common}", run=not lib, swap=region > 1)
        return side

    def loop(self, *texts, lib=False):
        """
        Programs of one process that send and receive, one after the other,
        with a switch each.
        """
        glend = self.glend("valebench")
        specs, sides = [], []
        for text in texts:
            side = self.add()
            switch = f"vale{side}"
            glend.rpc("switch.add", switch=switch)
            specs.append(f"{side}:nm-loop,port={switch}:a,peer={switch}:b,"
                         f"cpu=0,{text}{',lib=1' if lib else ''}")
            sides.append(side)
        self.start(glend.env, *specs, run=not lib)
        return sides

    def yardstick(self, layout, frame=60):
        side = self.add()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        path = yardstick("bare-rings.c", folder)
        self.play.start(path, self.play.share, side, layout, frame)
        return side

    def run(self, rounds):
        return self.play.run(self.n, rounds)


@scene("netmap-poll")
def netmap_poll(options):
    """Generator and receiver that poll(), or wait with libglen."""
    with contextlib.ExitStack() as stack:
        sides = Sides(options, stack)
        ours = sides.pair(",poll=1")
        theirs = sides.pair(",poll=1", lib=True)
        slices = sides.run(options.pairs)
    yield Result("netmap-poll", compare(slices, ours, theirs),
                 "generator and receiver with poll(), 60 B",
                 "the same loops with glen_wait()", 0.9)


def once(name, slices, a, b, what, to, n, **more):
    """What takes n packets at a time, per time."""
    return Result(name, compare(slices, a, b), what, to, scale=1e9 * n,
                  **more)


@scene("sync-cost")
def sync_cost(options):
    yield from sync_empty(options)
    counts = (1, 32, 256)
    with contextlib.ExitStack() as stack:
        sides = Sides(options, stack)
        texts = [f"batch={n}" for n in counts]
        ours = sides.loop(*texts)
        theirs = sides.loop(*texts, lib=True)
        slices = sides.run(options.pairs)
    for n, a, b in zip(counts, ours, theirs):
        yield once(f"sync-cost-{n}", slices, a, b,
                   f"TXSYNC and RXSYNC with {n} packet{'s' * (n > 1)}, "
                   "forwarded in between", "the same with libglen", n,
                   unit="ns/round")


def sync_empty(options):
    with contextlib.ExitStack() as stack:
        sides = Sides(options, stack)
        glend = sides.glend("valebench")
        specs = []
        for direction in ("tx", "rx"):
            specs.append([f"{sides.add()}:nm-{direction}sync,cpu=0,mute=1,"
                          f"port=valebench:{direction}{lib}{more}"
                          for lib, more in (("", ""), ("lib", ",lib=1"))])
        call = sides.add()
        sides.start(glend.env, *[s[0] for s in specs], run=True)
        sides.start(glend.env, *[s[1] for s in specs], f"{call}:getppid,cpu=0")
        slices = sides.run(options.pairs)
    for i, direction in enumerate(("TX", "RX")):
        a = 2 * i
        yield once(f"sync-cost-{direction.lower()}-0", slices, a, call,
                   f"NIOC{direction}SYNC with nothing to do",
                   "getppid(), a system call", 1, unit="ns/call")
        yield once(f"sync-cost-{direction.lower()}-0-lib", slices, a, a + 1,
                   f"NIOC{direction}SYNC with nothing to do",
                   f"glen_{direction.lower()}sync()", 1, unit="ns/call")


@scene("netmap-batch")
def netmap_batch(options):
    """As VALE's authors did: batches of either direction, in turn."""
    texts = [f"batch={n},take=1024,burst=1024,slots={LOOP_SLOTS}"
             for n in BATCHES]
    yield from batches(options, texts, "tx", "a TXSYNC per {}, RXSYNC of all")
    texts = [f"batch=1024,take={n},burst=1024,slots={LOOP_SLOTS}"
             for n in BATCHES]
    yield from batches(options, texts, "rx", "an RXSYNC per {}, TXSYNC of "
                       "1,024")


def batches(options, texts, direction, what):
    with contextlib.ExitStack() as stack:
        sides = Sides(options, stack)
        ours = sides.loop(*texts)
        slices = sides.run(few(options))
    for n, side in zip(BATCHES, ours):
        if n == 256:
            continue
        yield Result(f"netmap-batch-{direction}-{n}",
                     Mega(compare(slices, side,
                                  ours[BATCHES.index(256)])),
                     "one thread, ioctl(), 60 B, " + what.format(n),
                     "256 at a time", unit="Mpps", invert=False)


@scene("swap-1514")
def swap_1514(options):
    """Packets are as a generator keeps them: their first 64 bytes are new."""
    for suffix, lib, fill in (("", False, 64), ("-full", False, 1514),
                              ("-shm", True, 64)):
        with contextlib.ExitStack() as stack:
            sides = Sides(options, stack)
            text = f",frame=1514,fill={fill}{'' if lib else ',poll=1'}"
            swaps = sides.pair(text, 2, lib)
            copies = sides.pair(text, 1, lib)
            slices = sides.run(options.pairs if not suffix else few(options))
        what = "libglen" if lib else "netmap"
        yield Result(f"swap-1514{suffix}", compare(slices, swaps, copies),
                     f"ports of one region that swap, {what}, 1,514 B, "
                     f"{'all' if fill > 64 else 64} of them written",
                     "the same ports, copying", None if suffix else 2)


@scene("pipe-60")
def pipe_60(options):
    two_processors()
    with contextlib.ExitStack() as stack:
        sides = Sides(options, stack)
        glend = sides.glend()
        names = []
        for poll in (0, 1):
            side = sides.add()
            for kind, end, cpu in (("send", "{", 0), ("recv", "}", 1)):
                sides.start(glend.env, f"{side}:nm-{kind},cpu={cpu},mute=1,"
                            f"poll={poll},port=netmap:p{end}{side}", run=True)
            names.append(side)
        yard = sides.yardstick("handover")
        slices = sides.run(options.pairs)
    for side, suffix, how in zip(names, ("", "-poll"),
                                 ("NIOCTXSYNC and NIOCRXSYNC", "poll()")):
        yield Result(f"pipe-60{suffix}", compare(slices, side, yard),
                     f"pipe between two processes, {how}, 60 B",
                     "yardstick bare-rings handover",
                     None if suffix else 0.6, None if suffix else 0.85)


@scene("pipe-1core")
def pipe_1core(options):
    with contextlib.ExitStack() as stack:
        sides = Sides(options, stack)
        glend = sides.glend()
        side = sides.add()
        sides.start(glend.env, f"{side}:nm-loop,cpu=0,mute=1,port=netmap:p{{1,"
                    "peer=netmap:p}1", run=True)
        yard = sides.yardstick("handover1")
        slices = sides.run(options.pairs)
    yield Result("pipe-1core", compare(slices, side, yard),
                 "both ends of a pipe in one thread, 60 B",
                 "yardstick bare-rings handover1")


@scene("preload-cost")
def preload_cost(options):
    """
    System calls and no netmap, in one process under glen-run and one thread:
    by the functions that the program gets, and by the C library's own.
    """
    with contextlib.ExitStack() as stack:
        sides = Sides(options, stack)
        glend = sides.glend()
        specs = [f"{sides.add()}:calls,cpu=0,lib={lib},poll={poll}"
                 for poll in (0, 1) for lib in (0, 1)]
        sides.start({**os.environ, **glend.env}, *specs, run=True)
        slices = sides.run(options.pairs)
    for i, suffix, what in ((0, "", "a program of system calls"),
                            (2, "-bytes", "a byte to a pipe and back")):
        yield Result(f"preload-cost{suffix}", compare(slices, i, i + 1),
                     f"{what} under glen-run, no netmap",
                     "the same by the C library's own functions", 0.99,
                     unit="ns/round")
