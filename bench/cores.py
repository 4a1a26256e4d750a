# SPDX-License-Identifier: BSD-2-Clause
# cores.py - one switch on several cores: pairs of ports, fan-in, 64 KiB.
"""
An embedded switch with a worker per processor; the thread there sends, runs
its worker and receives (cores.c). Rates are of what was received, on all
processors together.
"""
import os

from pairs import compare
from scenes import Result, Skip, few, one_thread, scene

ALONE = "cores,cores=1,ports=2"


class Mega:
    """A Ratio whose rates are in millions."""

    def __init__(self, ratio):
        self.__dict__.update(ratio.__dict__)
        self.value, self.reference = (
            x / 1e6 if x is not None else None
            for x in (ratio.value, ratio.reference))


def mpps(name, slices, side, other, what, to, frame, **goals):
    """A rate beside another one's of the same run."""
    ratio = Mega(compare(slices, side, other))
    gbit = (ratio.value or 0) * frame * 8 / 1e3
    return Result(name, ratio, what, to, unit="Mpps", invert=False,
                  note=f"{gbit:.1f} Gb/s", **goals)


def plural(n, what):
    return f"{n} {what}{'' if n == 1 else 's'}"


def two_processors():
    if os.cpu_count() < 2:
        raise Skip("needs two processors")


@scene("workers-2")
def workers_2(options):
    two_processors()
    for frame in (60, 1514):
        slices = one_thread(options, ["cores,cores=2,ports=4", ALONE],
                            frame=frame)
        yield mpps("workers-2" if frame == 60 else f"workers-2-{frame}",
                   slices, 0, 1, f"two workers, a pair each, {frame} B",
                   "one worker, one pair", frame,
                   must=1.8 if frame == 60 else None)


@scene("fan-in")
def fan_in(options):
    """
    One sender alone has a core for itself and its worker, and leaves the
    other to the receiver; of two senders one shares its core with it.
    """
    two_processors()
    base = "cores,layout=fan-in,cores=2,senders="
    for frame in (60, 1514):
        slices = one_thread(options, [f"{base}2", f"{base}1", ALONE,
                                      f"{base}8"], frame=frame)
        name = "fan-in" if frame == 60 else f"fan-in-{frame}"
        what = f"senders on two workers to one receiver, {frame} B"
        alone = "one sender, receiver on the other core"
        yield mpps(name, slices, 0, 1, f"two {what}", alone, frame,
                   must=0.8 if frame == 60 else None)
        yield mpps(f"{name}-one", slices, 0, 2, f"two {what}",
                   "one sender, receiver on its core", frame)
        yield mpps(f"{name}-8", slices, 3, 1, f"eight {what}", alone, frame)


TSO = 14 + 40 + 45 * 1448   # headers and data of a TCP packet


@scene("tso-64k")
def tso_64k(options):
    for name, what, geometry in (
            ("tso-64k", "2048-byte buffers", "buf=2048,slots=1024"),
            ("tso-64k-1", "65536-byte buffers", "buf=65536,slots=64")):
        slices = one_thread(
            options, [f"embed,vnet=12,{geometry}", f"memcpy,{geometry}"],
            frame=TSO)
        yield Result(name, compare(slices, 0, 1),
                     f"one thread, TCP packets of {TSO:,} B for segmentation "
                     f"offload in {what}", "memcpy of the same bytes",
                     0.6, 0.8)


SIZES = (60, 128, 256, 512, 1024, 1514, 4096, 16384, 65535)


@scene("pairs")
def pairs_(options):
    """N pairs of ports that send to each other, or to everybody."""
    two_processors()
    for spread, word, counts in ((0, "", (1, 2, 3, 4, 8, 16, 32)),
                                 (2, "-broadcast", (1, 2, 4, 8, 16))):
        for cores in (1, 2):
            sides = [f"cores,cores={cores},ports={2 * n},spread={spread}"
                     for n in counts]
            slices = one_thread(options, [ALONE, *sides], few(options))
            for i, n in enumerate(counts):
                yield mpps(f"pairs{word}-{n}-on-{cores}", slices, i + 1, 0,
                           f"{plural(n, 'pair')} of ports on "
                           f"{plural(cores, 'core')}, 60 B"
                           f"{', each to all others' if spread else ''}",
                           "one pair, one core", 60)
    yield from pairs_sizes(options)
    yield from pairs_rings(options)
    yield from pairs_destinations(options)


def pairs_sizes(options):
    for frame in SIZES:
        slices = one_thread(
            options, [ALONE, "cores,cores=2,ports=4"], few(options),
            frame=frame, fill=64)
        for side, cores in ((0, 1), (1, 2)):
            yield mpps(f"pairs-{frame}-B-on-{cores}", slices, side, 0,
                       f"a pair of ports per core, "
                       f"{plural(cores, 'core')}, {frame:,} B",
                       "one pair, one core", frame)


def pairs_rings(options):
    slices = one_thread(options, [
        ALONE, "cores,cores=1,ports=2,rings=2", "cores,cores=2,ports=2",
        "cores,cores=2,ports=2,rings=2"], few(options))
    for side, rings, cores in ((1, 2, 1), (2, 1, 2), (3, 2, 2)):
        yield mpps(f"pairs-{rings}-rings-on-{cores}", slices, side, 0,
                   f"one pair of ports with {plural(rings, 'ring')} each, "
                   f"{plural(cores, 'core')}, 60 B", "one ring, one core", 60)


def pairs_destinations(options):
    counts = (1, 2, 4, 8, 16, 32, 64)
    slices = one_thread(options, ["embed"] + [
        f"embed,ports={n + 1},spread=1" for n in counts], few(options))
    for i, n in enumerate(counts):
        yield mpps(f"pairs-to-{n}", slices, i + 1, 0,
                   f"one source, {plural(n, 'destination')} in turn, one "
                   "core, 60 B", "one address", 60)
