# SPDX-License-Identifier: BSD-2-Clause
# pairs.py - run the sides of a benchmark in turns and compare them.
"""
    play = Play(options)
    play.party("0:embed", "1:limit")        # one process, one thread
    slices = play.run(sides=2, rounds=100)
    ratio = compare(slices, 0, 1)           # how much better 0 is than 1

A slice is a dict as printed by bench/conduct.c. Pairs of slices of one round
are compared; those whose probes of the core distance differ by more than
PROBE_SPREAD are discarded.
"""
import contextlib
import functools
import json
import math
import os
import select
import subprocess
import tempfile

from glen import binary, die_with_parent

PROBE_SPREAD = 1.2
PAIRS_MIN = 5       # fewer say nothing
NICE = -10


realtime = False    # set by bench/run


def favour(pid=0, blocks=False):
    """
    Other programs shall disturb a process less, if we may say so. Those that
    block get no real-time priority: they are about how the scheduler wakes.
    """
    if os.geteuid() != 0:
        return
    for tid in os.listdir(f"/proc/{pid or os.getpid()}/task"):
        if realtime and not blocks:
            os.sched_setscheduler(int(tid), os.SCHED_RR, os.sched_param(1))
        else:
            os.setpriority(os.PRIO_PROCESS, int(tid), NICE)


def promote(pid):
    """
    For programs that spin and obey commands meanwhile: with real-time
    priority their main thread goes before the others. Not for programs that
    start others, and to be undone before they are ended: at this priority,
    waiting for the end of a process and ending can hang (Linux 6.18 spins in
    shrink_dcache_parent() for a thread that does not get to run).
    """
    if not realtime or os.geteuid() != 0:
        return
    for tid in os.listdir(f"/proc/{pid}/task"):
        os.sched_setscheduler(int(tid), os.SCHED_RR, os.sched_param(
            2 if int(tid) == pid else 1))


def demote(pid):
    """Undoes promote()."""
    if not realtime or os.geteuid() != 0:
        return
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for tid in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(tid), os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def promoted():
    """This thread as well, for as long as it starts nothing."""
    if not realtime or os.geteuid() != 0:
        yield
        return
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def child(blocks=False):
    die_with_parent()
    favour(blocks=blocks)


class Play:
    """The processes of one benchmark."""

    def __init__(self, slice_ms=100, skip_ms=10, blocks=False):
        self.preexec = functools.partial(child, blocks)
        folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        fd, self.share = tempfile.mkstemp(prefix="glen-bench-", dir=folder)
        os.close(fd)
        self.slice_ms = slice_ms
        self.skip_ms = skip_ms
        self.processes = []

    def start(self, *argv, env=None):
        self.processes.append(subprocess.Popen(
            [str(a) for a in argv], env=env, stdout=subprocess.DEVNULL,
            preexec_fn=self.preexec))

    def party(self, *specs, env=None):
        """Starts a process that plays these sides; see bench/party.c."""
        self.start(binary("party"), self.share, *specs, env=env)

    def run(self, sides, rounds):
        """All slices, once conduct has given the last turn."""
        conduct = subprocess.Popen(
            [binary("conduct"), self.share, str(len(self.processes)),
             str(sides), str(rounds), str(self.slice_ms), str(self.skip_ms)],
            stdout=subprocess.PIPE, text=True, preexec_fn=self.preexec)
        self.processes.append(conduct)
        slices = []
        while not select.select([conduct.stdout], [], [], 0.2)[0]:
            self.check()        # until the first slice is done
        for line in conduct.stdout:
            slices.append(json.loads(line))
            self.check()
        if conduct.wait():
            raise RuntimeError(f"conduct ended with {conduct.returncode}")
        return slices

    def check(self):
        """None of the parties failed."""
        for process in self.processes:
            if process.poll():
                raise RuntimeError(f"{' '.join(process.args)} ended with "
                                   f"{process.returncode}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        os.unlink(self.share)


def rate(s):
    """Packets per second of a slice."""
    return s["packets"] / s["ns"] * 1e9 if s["ns"] else 0


def speed_of(key):
    """How quick round trips were: the inverse of p50 or p99."""
    return lambda s: 1e9 / s[key] if s.get(key) else 0


def median(values):
    values = sorted(values)
    n = len(values)
    if not n:
        return None
    return (values[(n - 1) // 2] + values[n // 2]) / 2


def interval(values):
    """95 % confidence interval of the median, by order statistics."""
    values = sorted(values)
    n = len(values)
    low = math.floor(n / 2 - 0.98 * math.sqrt(n))
    high = math.ceil(n / 2 + 0.98 * math.sqrt(n))
    return values[max(low, 0)], values[min(high, n - 1)]


class Ratio:
    """What pairs of two sides say."""

    def __init__(self, pairs, discarded=0):
        self.value = median([a for a, _ in pairs])
        self.reference = median([b for _, b in pairs])
        ratios = [a / b for a, b in pairs if b]
        self.kept, self.discarded = len(ratios), discarded
        self.ratio = self.low = self.high = None
        if len(ratios) >= PAIRS_MIN:
            self.ratio = median(ratios)
            self.low, self.high = interval(ratios)


def steady(*slices):
    """The cores were equally far apart all the time."""
    probes = [s[k] for s in slices for k in ("before", "after")]
    return max(probes) <= PROBE_SPREAD * min(probes)


def pairs_of(slices, a, b, measure):
    """Steady pairs (of a, of b), and how many were not."""
    rounds = {}
    for s in slices:
        rounds.setdefault(s["round"], {})[s["side"]] = s
    pairs, discarded = [], 0
    for sides in rounds.values():
        x, y = sides.get(a), sides.get(b)
        if not x or not y:
            continue
        if not steady(x, y):
            discarded += 1
            continue
        pairs.append((measure(x), measure(y)))
    return pairs, discarded


def compare(slices, a, b, measure=rate):
    """The Ratio of side a to side b."""
    return Ratio(*pairs_of(slices, a, b, measure))


def difference(slices, a, b):
    """
    How many ns more a packet takes with side a than with b: median, low and
    high; None if too few pairs were steady.
    """
    pairs, _ = pairs_of(slices, a, b, rate)
    more = [1e9 / x - 1e9 / y for x, y in pairs if x and y]
    if len(more) < PAIRS_MIN:
        return None
    return (median(more), *interval(more))
