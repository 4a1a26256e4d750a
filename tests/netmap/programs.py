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
    "api.info_*": "PORT_INFO_GET is to come",
    "api.header_version": "PORT_INFO_GET is to come",
    "api.pools_*": "POOLS_INFO_GET is to come",
    "api.option_failure_leaves_no_port": "VALE_LIST is to come",
    "api.port_goes_with_its_last_open": "VALE_LIST is to come",
    "api.list_*": "VALE_LIST is to come",
    "api.newif_*": "persistent ports are to come",
    "api.delif_*": "persistent ports are to come",
    "api.persistent_*": "persistent ports are to come",
    "api.attach*": "VALE_ATTACH is to come",
    "api.detach_*": "VALE_ATTACH is to come",
    "api.hdr_*": "PORT_HDR_SET is to come",
    "api.register_vnet_header_needs_consent": "PORT_HDR_SET is to come",
    "api.names_of_*": "names are not checked yet",
    "api.legacy_*": "what legacy requests ask for is to come",
    "api.region_goes_with_its_last_port": "PORT_INFO_GET is to come",
    "api.offsets_*": "the option OFFSETS is to come",
    "api.option_consumed_has_status_0": "the option OFFSETS is to come",
    "api.option_one_of_two_unknown": "the option OFFSETS is to come",
    "api.extmem_*": "the option EXTMEM is to come",
    "api.pipe_*": "pipes are to come",
    "api.monitor*": "monitors are to come",
    "api.null_*": "null ports are to come",
    "api.csb_*": "CSB_ENABLE is to come",
    "api.kloop_*": "SYNC_KLOOP_START is to come",
    "data.no_learn": "NS_NO_LEARN is to come",
    "data.destination_override": "the override of destinations is to come",
    "data.vnet_*": "PORT_HDR_SET is to come",
    "data.checksum_*": "PORT_HDR_SET is to come",
    "data.gso_*": "PORT_HDR_SET is to come",
    "data.pipe*": "pipes are to come",
    "data.monitor*": "monitors are to come",
    "nic.*": "interfaces by name are to come",
    "programs.test_generators_in_a_pipe": "pipes are to come",
    "programs.test_bridge_of_two_pipes_swaps": "pipes are to come",
    "programs.test_rings_and_memory_by_name": "PORT_INFO_GET is to come",
    "torture.descriptor_copies": "VALE_LIST is to come",
    "torture.descriptor_that_is_overwritten": "VALE_LIST is to come",
    "torture.fork_shares_a_port": "VALE_LIST is to come",
    "torture.fork_before_register": "VALE_LIST is to come",
    "torture.scm_rights_*": "VALE_LIST is to come",
    "torture.exec_with_cloexec_closes": "VALE_LIST is to come",
    "torture.close_all_*": "VALE_LIST is to come",
    "torture.close_all_behind_libc*": "stale numbers are not noticed yet",
    "roles.test_liar_harms_nobody*pipe*": "pipes are to come",
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

