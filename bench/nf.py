# SPDX-License-Identifier: BSD-2-Clause
# nf.py - benchmarks: network functions, by reference through pipes.
"""
What an NF costs beyond the yardsticks handover1 (one thread) and handover (two
threads on two cores), which exchange buffers and touch packets and do nothing
else. A chain is source, NFs that read each packet's first eight bytes, sink.
"""
import contextlib
import os
import tempfile

from pairs import Play, Ratio, compare, rate, steady
from scenes import Result, Skip, scene, yardstick

LENGTHS = range(1, 11)


@contextlib.contextmanager
def beside(options, layout, frame, *kinds):
    """A Play of sides of one process, and the yardstick as the last one."""
    with tempfile.TemporaryDirectory() as folder, \
            Play(options.slice_ms) as play:
        path = yardstick("bare-rings.c", folder)
        play.party(*[f"{i}:{kind},frame={frame}"
                     for i, kind in enumerate(kinds)])
        play.start(path, play.share, len(kinds), layout, frame)
        yield play


def per_hop(slices, long, short, hops, other):
    """
    The Ratio of a hop, (long - short) / hops, to side other; as rates, so that
    more is better. Only rounds in which the cores were steady count.
    """
    pairs, discarded = [], 0
    for sides in rounds_of(slices):
        if not steady(*(sides[i] for i in (long, short, other))):
            discarded += 1
            continue
        a, b = cost(sides[long]), cost(sides[short])
        if a > b:
            pairs.append((hops * 1e9 / (a - b), rate(sides[other])))
    return Ratio(pairs, discarded)


def rounds_of(slices):
    """Of each round its slices by side."""
    rounds = {}
    for s in slices:
        rounds.setdefault(s["round"], {})[s["side"]] = s
    return rounds.values()


def cost(s):
    """ns per packet; rate() is 0 where nothing arrived."""
    return 1e9 / (rate(s) or 1)


@scene("nf-chain")
def nf_chain(options):
    """Another NF, from the difference of chains; each length; 10 over 2."""
    kinds = [f"nf-chain,touch=1,nfs={n}" for n in LENGTHS]
    with beside(options, "handover1", 60, *kinds) as play:
        slices = play.run(len(kinds) + 1, options.pairs)
    last = len(kinds)
    to = "yardstick handover1"
    yield Result("nf-chain", per_hop(slices, 9, 0, 9, last),
                 "one more NF in one thread, 60 B", to, 1 / 3, 1 / 1.5)
    for n in LENGTHS:
        yield Result(f"nf-chain-{n}", compare(slices, n - 1, last),
                     f"source, {n} NF{'s' * (n > 1)}, sink, one thread", to)
    yield Result("nf-chain-10-2", hop_to_hop(slices),
                 "hop 10 (of 6 to 10) in one thread", "hop 2 (of 1 to 5)",
                 1 / 1.1, 1.0)


def hop_to_hop(slices):
    """Hops 6 to 10 beside hops 1 to 5: the mean of each half."""
    pairs = []
    for sides in rounds_of(slices):
        ns = [cost(sides[n - 1]) for n in LENGTHS]
        late, early = ns[9] - ns[4], ns[4] - ns[0]
        if late > 0 and early > 0:
            pairs.append((5e9 / late, 4e9 / early))
    return Ratio(pairs)


@scene("nf-hop")
def nf_hop(options):
    """Where the time of one more NF goes."""
    kinds = ["nf-chain,nfs=9", "nf-chain,nfs=1", "nf-chain,nfs=9,touch=1",
             "nf-chain,nfs=1,touch=1", "nf-chain,nfs=9,spread=2",
             "nf-chain,nfs=1,spread=2"]
    with beside(options, "handover1", 60, *kinds) as play:
        slices = play.run(len(kinds) + 1, options.pairs)
    to = "yardstick handover1"
    for name, long, what in (
            ("nf-hop", 2, "one more NF that reads 8 bytes"),
            ("nf-hop-empty", 0, "the same, callback empty: taking from the "
             "ring and handing over"),
            ("nf-hop-steer", 4, "the same, each hop to two instances by "
             "flow")):
        yield Result(name, per_hop(slices, long, long + 1, 8, 6), what, to)


@scene("nf-pair")
def nf_pair(options):
    """Two threads on two cores by reference."""
    if os.cpu_count() < 2:
        raise Skip("needs two processors")
    for frame in (60, 1514):
        with beside(options, "handover", frame, "nf-pair") as play:
            slices = play.run(2, options.pairs)
        yield Result("nf-pair" if frame == 60 else f"nf-pair-{frame}",
                     compare(slices, 0, 1),
                     f"two threads on two cores, {frame} B",
                     "yardstick handover", 0.6, 0.85)
    with Play(options.slice_ms) as play:
        play.party("0:nf-pair,frame=1514", "1:nf-pair,frame=60")
        slices = play.run(2, options.pairs)
    yield Result("nf-pair-size", compare(slices, 0, 1),
                 "two threads on two cores, 1514 B", "the same, 60 B", 0.9)


@scene("firewall-10k")
def firewall_10k(options):
    """A firewall of so many rules, beyond an NF that does nothing."""
    kinds = [("firewall-10", "rules=10", "10 rules"),
             ("firewall-1k", "rules=1000", "1,000 rules"),
             ("firewall-10k", "rules=10000", "10,000 rules"),
             ("firewall-10k-stateful", "rules=10000,touch=1",
              "10,000 rules and 512 established connections")]
    sides = ["nf-firewall,rules=0"]
    sides += [f"nf-firewall,{option}" for _, option, _ in kinds]
    with beside(options, "handover1", 60, *sides) as play:
        slices = play.run(len(sides) + 1, options.pairs)
    for i, (name, _, what) in enumerate(kinds, 1):
        yield Result(name, per_hop(slices, i, 0, 1, len(sides)),
                     f"firewall in one thread, {what}",
                     "yardstick handover1")
