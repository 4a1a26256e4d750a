# SPDX-License-Identifier: BSD-2-Clause
# programs.py - runs programs written for netmap under glen-run.
"""
A C program here is a list of points (nmt.h); cases() makes a pytest case of
each, for both ways it was compiled, and check_point() runs one.

PENDING: points of parts that are not built yet; they are skipped with the
reason. Whoever builds the part removes the line. GLEN_NETMAP_ALL=1 runs them.
"""
import fnmatch
import os
import subprocess

import pytest

import glen

WAYS = ("ours", "raw")
SKIPPED = 77

# fnmatch pattern of PROGRAM.POINT: the reason.
PENDING = {
    "api.attach_to_two_switches": "a port on two switches is to come",
    "api.pipe_256_rings": "more than 16 rings are to come",
}


def why_no_netmap():
    """None if programs for netmap can be run, else the reason."""
    try:
        glen.binary("glen-run")
    except FileNotFoundError:
        return "needs glen-run, which is not built yet"
    return None


def argv(program, *args):
    return [glen.binary("glen-run"), glen.binary(program),
            *(str(arg) for arg in args)]


def run(daemon, program, *args, timeout=150, check=True, prefix=(), **kwargs):
    """Runs a program to its end; returns its CompletedProcess."""
    done = subprocess.run([*prefix, *argv(program, *args)], env=daemon.env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=timeout,
                          **kwargs)
    if check and done.returncode:
        raise AssertionError(f"{program} {args} ended with "
                             f"{done.returncode}:\n{done.stdout}")
    return done


def start(daemon, program, *args, **kwargs):
    """Starts one; its end is the caller's business."""
    return subprocess.Popen(argv(program, *args), env=daemon.env,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, errors="replace",
                            preexec_fn=glen.die_with_parent, **kwargs)


def cases(program):
    """Pytest parameters (way, point) of all points of netmap_PROGRAM."""
    found = []
    for way in WAYS:
        binary = glen.binary(f"netmap_{program}_{way}")
        listed = subprocess.run([binary, "--list"], check=True, text=True,
                                capture_output=True)
        found += [pytest.param(way, point, id=f"{way}-{point}")
                  for point in listed.stdout.split()]
    return found


def pending(program, point):
    if os.environ.get("GLEN_NETMAP_ALL"):
        return None
    for pattern, reason in PENDING.items():
        if fnmatch.fnmatch(f"{program}.{point}", pattern):
            return reason
    return None


def check_point(daemon, program, way, point, prefix=()):
    """Runs one point; fails, or skips, with what it says."""
    reason = pending(program, point)
    if reason:
        pytest.skip(reason)
    done = run(daemon, f"netmap_{program}_{way}", point, check=False,
               prefix=prefix)
    assert daemon.process.poll() is None, (
        f"glend ended with {daemon.process.returncode}")
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip("# \n"))
    if done.returncode:
        pytest.fail(f"ended with {done.returncode}: {done.stdout[-4000:]}",
                    pytrace=False)


class Daemon:
    """A glend for many points, which is started again should it die."""

    def __init__(self, **kwargs):
        self.kwargs = kwargs
        self.glend = None

    def get(self):
        if not self.glend or self.glend.process.poll() is not None:
            self.close(check=False)
            self.glend = glen.Glend(**self.kwargs)
        return self.glend

    def close(self, check=True):
        glend, self.glend = self.glend, None
        if glend:
            glend.stop(check=check)


def wait_ports(daemon, n):
    """Until a glend has so many ports."""
    glen.wait_until(lambda: len(daemon.rpc("stats")["ports"]) >= n, 20,
                    f"{n} ports")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))

