# SPDX-License-Identifier: BSD-2-Clause
# modules.py - benchmarks: what it costs that a module looks into packets.
"""
The same packets through two embedded switches, on one core: `static` decides
without looking at them. What counts is the difference, in ns per packet.
"""
from pairs import compare, difference
from scenes import Result, few, one_thread, scene

MANY = 1000


def costs(options, what, sides, rounds=None):
    """
    One Result for each of sides (name, text, module, options of the party,
    most ns more than static or None), which come with the same packets
    through static.
    """
    kinds, to = [], "static"
    for _, _, module, party, _ in sides:
        kinds += [f"embed,module={m},{party}" for m in (module, to)]
    slices = one_thread(options, kinds, rounds)
    for i, (name, text, module, _, most) in enumerate(sides):
        yield Result(name, compare(slices, 2 * i, 2 * i + 1),
                     f"{what}, {text}, {module}", to,
                     more=difference(slices, 2 * i, 2 * i + 1), most=most)


@scene("learn-cost")
def learn_cost(options):
    yield from costs(options, "one thread, 60 B", [
        ("learn-cost", "1,000 addresses in turn", "learn",
         f"addrs={MANY}", 10)])
    yield from costs(options, "one thread, 60 B", [
        ("learn-cost-1", "one address each way", "learn", "addrs=1", None)],
        few(options))


@scene("tuple3-cost")
def tuple3_cost(options):
    """To claims and from them; 32,000 claims do not fit into L1 and L2."""
    yield from costs(options, "one thread, 60 B", [
        ("tuple3-cost", "to 1,000 claims over IPv4", "tuple3",
         f"flows={MANY}", 15),
        ("tuple3-cost-out", "from 1,000 claims", "tuple3",
         f"flows={MANY},out=1", 15)])
    yield from costs(options, "one thread", [
        ("tuple3-cost-1", "60 B, to one claim", "tuple3", "flows=1", None),
        ("tuple3-cost-32k", "60 B, to 32,000 claims", "tuple3",
         "flows=32000", None),
        ("tuple3-cost-ipv6", "64 B, to 1,000 claims over IPv6", "tuple3",
         f"flows={MANY},ip=6,frame=64", None)], few(options))


@scene("steer-cost")
def steer_cost(options):
    """Rules that look at protocol, ports and networks; 1,000 flows."""
    for n in (10, 1000, 100000):
        yield from costs(options, "one thread, 60 B", [
            (f"steer-cost-{n}", f"{n:,} rules", "steer",
             f"flows={MANY},rules={n}", None)], few(options))
