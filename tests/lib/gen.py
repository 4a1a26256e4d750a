# SPDX-License-Identifier: BSD-2-Clause
# gen.py - runs glen-gen in tests and reads its reports.
"""
    with Gen(glend, "recv", "sw0:b", "--until-end") as recv:
        sent = gen_run(glend, "send", "sw0:a", "--count", "1000")
        report = recv.report()
    assert report["check"]["ok"]

A Gen is one process with --json; it is up when the switch has its port. What
it prints goes to files, so that a test can look while it runs.

A switch drops what a receiver's ring has no room for, and nobody knows when
the receiver runs. A test that wants to see every packet therefore sends no
more than the ring holds (--slots; a packet longer than --buf-size takes
several), or waits with received() before it sends more.
"""
import contextlib
import json
import os
import signal
import subprocess
import tempfile

from glen import RpcError, binary, die_with_parent, wait_until


def real_time(pid, priority):
    """Above all ordinary processes, where that is allowed."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_RR | os.SCHED_RESET_ON_FORK,
                              os.sched_param(priority))


class Gen:
    """priority: real-time, for tests that must not be kept waiting."""

    def __init__(self, glend, mode, *args, wait=True, priority=0):
        def prepare():
            die_with_parent()
            if priority:
                real_time(0, priority)

        self.argv = [binary("glen-gen"), mode, *map(str, args)]
        if "--json" not in self.argv:
            self.argv.append("--json")
        self.files = [tempfile.TemporaryFile("w+") for _ in range(2)]
        self.process = subprocess.Popen(
            self.argv, env=glend.env if glend else None,
            stdout=self.files[0], stderr=self.files[1],
            preexec_fn=prepare)
        if wait and glend and mode != "embedded":
            self.port = args[0]
            wait_until(lambda: self.is_up(glend), what=f"port {self.port}")

    def is_up(self, glend):
        """
        The port is there and, for receivers, the addresses were announced,
        so that traffic to it is not flooded. True as well if it has ended.
        """
        if self.process.poll() is not None:
            return True
        try:
            glend.rpc("port.show", port=self.port)
            if self.argv[1] not in ("recv", "pong"):
                return True
            return glend.port_stats(self.port)["in"]["packets"] > 0
        except RpcError:
            return False

    def stop(self):
        """SIGINT: end in order."""
        self.process.send_signal(signal.SIGINT)

    def printed(self):
        """(standard output, errors) until now."""
        return tuple(os.pread(file.fileno(), 1 << 24, 0).decode()
                     for file in self.files)

    def received(self, packets):
        """Waits until a receiver started with --every has taken so many."""
        def enough():
            lines = self.printed()[0].splitlines(keepends=True)
            whole = [json.loads(x) for x in lines if x.endswith("\n")]
            return whole and whole[-1].get("packets", 0) >= packets

        wait_until(enough, timeout=60, what=f"{packets} packets received")

    def end(self, timeout=60):
        """Waits for the end; (exit code, standard output, errors)."""
        self.process.wait(timeout)
        return (self.process.returncode, *self.printed())

    def report(self, timeout=60, code=0):
        """Waits for the end; the exit code must be code. The report."""
        got, out, err = self.end(timeout)
        assert got == code, (f"{' '.join(self.argv)}: exit {got}, not {code}\n"
                             f"{out}{err}")
        return json.loads(out.splitlines()[-1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for file in self.files:
            file.close()


def gen_run(glend, mode, *args, timeout=60, code=0, priority=0):
    """Runs glen-gen to its end and returns its report."""
    with Gen(glend, mode, *args, wait=False, priority=priority) as gen:
        return gen.report(timeout, code)


def cpus():
    """Processors that this process may use."""
    return sorted(os.sched_getaffinity(0))
