# SPDX-License-Identifier: BSD-2-Clause
# test_soak.py - 10^8 packets through glend, each one checked.
"""
One process sends, another receives, through glend; every packet carries a
sequence number and a CRC32C. First a short search finds the highest rate at
which nothing is lost; the soak then runs at SHARE of it, and nothing may be
lost, reordered, duplicated or damaged, and glend's counters must add up to the
same figures.

GLEN_SOAK is the number of packets (default 10^8 times GLEN_SCALE).
"""
import os

from gen import Gen, gen_run

SHARE = 0.75
PACKETS = int(float(os.environ.get("GLEN_SOAK", "0")))
PORT = ["--slots", 4096]


def trial(glend, rate, *stop):
    """Sends at a rate (0: unlimited); both reports."""
    limit = ["--rate", int(rate)] if rate else []
    with Gen(glend, "recv", "sw0:b", "--until-end", "--busy",
             *PORT) as receiver:
        sent = gen_run(glend, "send", "sw0:a", "--busy", *PORT, *limit, *stop,
                       timeout=3600)
        return sent, receiver.report(timeout=60)


def is_lossless(glend, rate, seconds):
    """One lossy trial does not reject a rate; two do."""
    for _ in range(2):
        sent, got = trial(glend, rate, "--time", seconds)
        # It also must have been sent at that rate.
        if got["check"]["ok"] and sent["sent"]["pps"] > 0.95 * rate:
            return True
    return False


def highest_lossless(glend, seconds):
    """Packets per second; binary search between 1/32 and all of the rate that
    arrives when the sender knows no limit."""
    _, got = trial(glend, 0, "--time", seconds)
    top = got["received"]["pps"]
    low, high = top / 32, top
    assert is_lossless(glend, low, seconds), (
        f"packets are lost even at {low:.0f} a second, where {top:.0f} can "
        "pass")
    for _ in range(5):
        middle = (low * high) ** 0.5
        if is_lossless(glend, middle, seconds):
            low = middle
        else:
            high = middle
    return low


def test_soak(glend, scaled):
    count = PACKETS or scaled(10**8, least=10**5)
    best = highest_lossless(glend, min(3, max(0.3, count / 3e7)))
    rate = SHARE * best
    sent, got = trial(glend, rate, "--count", count)
    print(f"{count} packets at {got['received']['pps'] / 1e6:.3f} Mpps; "
          f"highest lossless {best / 1e6:.3f} Mpps")
    check = got["check"]
    assert sent["sent"]["packets"] == count
    assert check["sent"] == count
    wrong = {name: check[name] for name in
             ("lost", "reordered", "duplicated", "stale", "truncated",
              "corrupted", "foreign")}
    assert not any(wrong.values()), wrong
    assert got["received"]["packets"] == count
    assert check["ok"]
    # glend says the same: packets, end markers, the receiver's announcement.
    assert sent["port_stats"]["in_packets"] >= count
    assert sent["port_stats"]["in_drops"] == 0
    assert got["port_stats"]["out_drops"] == 0
    assert got["port_stats"]["out_packets"] >= count
    # The slowest that still is a soak: what it ran at is what it asked for.
    assert sent["sent"]["pps"] > 0.9 * rate
    stats = glend.check_identity()
    assert stats["switches"][0]["in_packets"] >= count
