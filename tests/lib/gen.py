# SPDX-License-Identifier: BSD-2-Clause
# gen.py - runs glen-gen in tests and reads its reports.
"""
    with Gen(glend, "recv", "sw0:b", "--until-end") as recv:
        sent = gen_run(glend, "send", "sw0:a", "--count", "1000")
        report = recv.report()
    assert report["check"]["ok"]

A Gen is one process with --json; it is up when the switch has its port.
"""
import json
import os
import signal
import subprocess

from glen import RpcError, binary, die_with_parent, wait_until


class Gen:
    def __init__(self, glend, mode, *args, wait=True):
        self.argv = [binary("glen-gen"), mode, *map(str, args)]
        if "--json" not in self.argv:
            self.argv.append("--json")
        self.process = subprocess.Popen(
            self.argv, env=glend.env if glend else None, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=die_with_parent)
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

    def end(self, timeout=60):
        """Waits for the end; (exit code, standard output, errors)."""
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err

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
        self.process.communicate()


def gen_run(glend, mode, *args, timeout=60, code=0):
    """Runs glen-gen to its end and returns its report."""
    with Gen(glend, mode, *args, wait=False) as gen:
        return gen.report(timeout, code)


def cpus():
    """Processors that this process may use."""
    return sorted(os.sched_getaffinity(0))
