# SPDX-License-Identifier: BSD-2-Clause
# httpd.py - servers and clients with their own stacks, for tests of them.
import contextlib
import json
import os
import signal
import subprocess

from glen import binary, die_with_parent, wait_until

ADDRESS, CLIENT, HOST = "10.0.0.1", "10.0.0.2", "10.0.0.3"
PERIOD = 65521


def why_not():
    """None if the example was built, else the reason to skip."""
    try:
        binary("glen-httpd")
    except FileNotFoundError:
        return "needs lwIP (package liblwip-dev) when glen is built"
    return None


def pattern(n):
    """The first n bytes of /bytes/N."""
    period = bytes((k * 31 + k // 251) & 255 for k in range(PERIOD))
    return (period * (n // PERIOD + 1))[:n]


class Httpd:
    """A glen-httpd on a port of a switch that serves already."""

    def __init__(self, glend, port, *args, address=ADDRESS):
        self.process = subprocess.Popen(
            [binary("glen-httpd"), "--attach", port, "--address", address,
             *map(str, args)], env=glend.env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        self.first = self.process.stdout.readline()
        if not self.first:
            _, text = self.process.communicate(timeout=10)
            raise RuntimeError(text)

    @property
    def pid(self):
        return self.process.pid

    def stop(self, number=signal.SIGTERM):
        """What it says at its end, and how it ends."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        code, out, err = self.stop()
        if kind:
            print(f"--- glen-httpd ended with {code}: ---\n{out}{err}")
            return
        assert code in (0, -signal.SIGKILL), (code, out, err)


class Load:
    """A glen-http-load that runs."""

    def __init__(self, glend, port, *args, address=CLIENT, server=ADDRESS):
        self.process = subprocess.Popen(
            [binary("glen-http-load"), "--attach", port, "--address", address,
             "--connect", server, "--json", *map(str, args)],
            env=glend.env, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=die_with_parent)

    def result(self, timeout=280):
        """(its report, exit code)."""
        out, err = self.process.communicate(timeout=timeout)
        assert out, err
        return json.loads(out), self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()


def load(glend, port, *args, **kwargs):
    with Load(glend, port, *args, **kwargs) as running:
        return running.result()


def received(glend, port):
    """Packets that a port has got."""
    with contextlib.suppress(Exception):
        return glend.port_stats(port)["out"]["packets"]
    return 0


def wait_traffic(glend, port, n=1000):
    """Until port got n packets more."""
    start = received(glend, port)
    wait_until(lambda: received(glend, port) >= start + n, 60,
               f"{n} packets to {port}")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
