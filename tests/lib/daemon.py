# SPDX-License-Identifier: BSD-2-Clause
# daemon.py - what tests of glend itself need beside glen.py.
import json
import os
import subprocess

from glen import binary, wait_until

# The port lines are 6 and 7: tests of messages rely on it.
TOPOLOGY = """\
switches:
  sw0:
    module: learn
    options: {entries: 1024}
    ports:
      a: {driver: shm, mtu: 1500}
      b: {driver: shm, isolated: true}
"""


def run_glend(*args, env=None, timeout=20):
    """Runs a glend that is to end by itself; (exit code, output)."""
    done = subprocess.run([binary("glend"), *args], text=True, timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, **(env or {})}, check=False)
    return done.returncode, done.stdout


def n_fds(glend):
    return len(os.listdir(f"/proc/{glend.pid}/fd"))


def settled_fds(glend, want):
    """Waits until glend has as many descriptors open as it should."""
    wait_until(lambda: n_fds(glend) == want, what=f"{want} descriptors")


def open_port(glend, name, **params):
    """A connection that is a port; (connection, result, descriptors)."""
    conn = glend.connect()
    result = conn.call("port.open", {"port": name, **params})
    return conn, result, conn.take_fds()


def request(method, request_id=1, **params):
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method,
                       "params": params}).encode() + b"\n"
