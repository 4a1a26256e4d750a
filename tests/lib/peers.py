# SPDX-License-Identifier: BSD-2-Clause
# peers.py - clients of glend for tests: checked traffic, floods, liars.
"""
    with Peer(glend, "check", "s:a", "s:b") as traffic:
        ...
    assert traffic.report["left"]["lost"] == 0

What the roles do is said in tests/peer/peer.c. A Peer stops when its block
ends; kill9() and freeze() are for tests of what happens to the others.
"""
import json
import os
import signal
import subprocess

from glen import binary, die_with_parent


class Peer:
    """One process; .report is what it printed at the end, None if killed."""

    def __init__(self, glend, role, *ports, wait=True, **options):
        argv = [binary("peer"), "--socket", glend.socket]
        for name, value in options.items():
            argv += ["--" + name.replace("_", "-"), str(value)]
        self.launch([*argv, role, *ports], wait)

    def launch(self, argv, wait):
        self.report = None
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=die_with_parent)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        line = self.process.stdout.readline()
        if line != "ready\n":
            self.process.wait()
            raise RuntimeError(f"peer: {self.process.stderr.read()}")

    @property
    def pid(self):
        return self.process.pid

    def stop(self, timeout=60):
        """Lets it finish and returns its report."""
        if self.report is None:
            # Closing standard input asks it to end.
            out, err = self.process.communicate(timeout=timeout)
            self.report = json.loads(out) if out.strip() else {}
            self.report["exit"] = self.process.returncode
            self.report["stderr"] = err
        return self.report

    def kill9(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout,
                     self.process.stderr):
            pipe.close()

    def freeze(self):
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.report is not None or self.process.returncode == -9:
            return              # stopped or killed already
        if kind:
            self.kill9()
        else:
            self.stop()


class VhostPeer(Peer):
    """
    vhost_peer check PATH PATH: two guests without a machine. Options as for a
    Peer; one that is True is given without a value.
    """

    def __init__(self, *paths, wait=True, **options):
        argv = [binary("vhost_peer")]
        for name, value in options.items():
            argv.append("--" + name.replace("_", "-"))
            if value is not True:
                argv.append(str(value))
        self.launch([*argv, "check", *paths], wait)


def assert_intact(report, doubled=0):
    """Nothing lost or changed, nothing doubled, and something came at all."""
    assert report["exit"] == 0, report
    assert report["sent"] > 0, report
    for end in ("left", "right"):
        assert report[end]["received"] == report["sent"], report
        assert report[end]["lost"] == 0, report
        assert report[end]["corrupt"] == 0, report
        assert report[end]["doubled"] <= doubled, report


def hostile(glend, port, slots, seed=None, timeout=600):
    """Runs the hostile ring writer to its end and returns its report."""
    argv = [binary("hostile"), glend.socket, port, str(slots)]
    if seed is not None:
        argv.append(str(seed))
    done = subprocess.run(argv, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout, check=False,
                          preexec_fn=die_with_parent)
    print(done.stderr, end="")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
