# SPDX-License-Identifier: BSD-2-Clause
# test_stacks.py - stacks at both ends, several on one address, deaths.
import os
import signal
import subprocess
import time

import pytest

from glen import binary, die_with_parent, wait_until
from httpd import (ADDRESS, Httpd, Load, cpu_seconds, load, wait_traffic)

N_REQUESTS = 1_000_000


def clean(result, n):
    report, code = result
    assert (report["requests"], report["failed"], code) == (n, 0, 0), report


def test_a_million_requests(switch, scaled):
    n = scaled(N_REQUESTS)
    with Httpd(switch, "s:www", "--slots", 4096) as server:
        clean(load(switch, "s:load", "--slots", 4096, "--requests", n,
                   "--connections", 128, "--path", "/bytes/64", "--check"), n)
        large = max(n // 1000, 1)
        clean(load(switch, "s:load", "--slots", 4096, "--requests", large,
                   "--connections", 16, "--path", "/bytes/300000",
                   "--check"), large)
        code, out, _ = server.stop()
    assert code == 0
    assert f"{n + large} requests on " in out
    assert ", 0 connections broken off" in out
    switch.check_identity()


def test_one_of_two_is_killed(switch, scaled):
    n = scaled(100_000)
    with Httpd(switch, "s:www1", "--port", 80) as first, \
            Httpd(switch, "s:www2", "--port", 81):
        with Load(switch, "s:load1", "--duration", 1000, "--timeout", 1,
                  server=f"{ADDRESS}:80") as doomed, \
                Load(switch, "s:load2", "--requests", n, "--check",
                     address="10.0.0.4", server=f"{ADDRESS}:81") as other:
            wait_traffic(switch, "s:www1")
            wait_traffic(switch, "s:www2")
            first.process.kill()
            wait_traffic(switch, "s:www2")
            clean(other.result(), n)
            doomed.process.terminate()
            report, code = doomed.result()
        assert code == 1 and report["requests"] and report["failed"]
        # The claim is free again, and so is the name of the port.
        with Httpd(switch, "s:www1", "--port", 80):
            clean(load(switch, "s:load1", "--requests", 100,
                       server=f"{ADDRESS}:80"), 100)
    switch.check_identity()


def test_a_claim_is_taken(switch):
    with Httpd(switch, "s:www1"):
        with pytest.raises(RuntimeError) as refusal:
            Httpd(switch, "s:www2")
        assert "s:www1" in str(refusal.value) or "www1" in str(refusal.value)
        with Httpd(switch, "s:www2", "--port", 8080):
            pass


def test_glend_is_restarted_under_load(switch, scaled):
    n = scaled(50_000)
    with Httpd(switch, "s:www"), \
            Load(switch, "s:load", "--requests", n, "--check", "--timeout",
                 60) as running:
        for _ in range(3):
            wait_traffic(switch, "s:www", 100)
            switch.restart()
        clean(running.result(), n)
        wait_until(lambda: switch.rpc("tuple3.show", switch="s")["count"] ==
                   1, what="only the server's claim")


def test_a_claim_is_lost_and_found(switch):
    """Somebody else was quicker after a restart of glend."""
    with Httpd(switch, "s:www1") as first:
        os.kill(first.pid, signal.SIGSTOP)
        switch.restart()
        with Httpd(switch, "s:www2"):
            os.kill(first.pid, signal.SIGCONT)
            assert "somebody else" in first.process.stderr.readline()
            clean(load(switch, "s:load", "--requests", 100), 100)
        assert "claimed again" in first.process.stderr.readline()
        clean(load(switch, "s:load", "--requests", 100), 100)
        assert "100 requests on " in first.stop()[1]


def test_on_a_learning_bridge(glend):
    with Httpd(glend, "l:www"):
        clean(load(glend, "l:load", "--requests", 1000, "--check"), 1000)
    glend.check_identity()


def test_without_a_switch(tmp_path, scaled):
    n, link = scaled(20_000), str(tmp_path / "link")
    server = subprocess.Popen(
        [binary("glen-httpd"), "--memory", f"{link},0", "--address", ADDRESS],
        text=True, stdout=subprocess.PIPE, preexec_fn=die_with_parent)

    def run(*args):
        return subprocess.run(
            [binary("glen-http-load"), "--memory", f"{link},1", "--address",
             "10.0.0.2", "--connect", ADDRESS, "--check", *map(str, args)],
            text=True, capture_output=True, timeout=200)

    try:
        assert server.stdout.readline()
        for _ in range(2):      # The second one takes up the link.
            done = run("--requests", n)
            assert done.returncode == 0, done.stdout + done.stderr
        done = run("--slots", 64)
        assert done.returncode == 1 and "--slots" in done.stderr
    finally:
        server.terminate()
        out, _ = server.communicate(timeout=30)
    assert server.returncode == 0 and f"{2 * n} requests on " in out


def test_errors_are_counted(switch):
    with Httpd(switch, "s:www"):
        report, code = load(switch, "s:load", "--requests", 10, "--path",
                            "/missing")
        assert code == 1 and report["errors"]["status"] == 10
        report, code = load(switch, "s:load", "--requests", 10, "--timeout",
                            1, server=f"{ADDRESS}:99")
        assert code == 1 and report["errors"]["connect"] == 10


def test_sleeps_when_idle(switch):
    with Httpd(switch, "s:www") as server:
        clean(load(switch, "s:load", "--requests", 100), 100)
        before = cpu_seconds(server.pid)
        time.sleep(2)
        assert cpu_seconds(server.pid) - before <= 0.04


def test_its_port_is_taken_away(switch):
    with Httpd(switch, "s:www") as server:
        switch.rpc("port.del", port="s:www")
        server.process.wait(10)
        code, _, err = server.stop()
        assert code == 1 and "glen-httpd: " in err and len(err) > 20
        server.process.returncode = 0


@pytest.mark.parametrize("args, word", [
    ((), "--attach"),
    (("--attach", "s:a"), "--address"),
    (("--attach", "s:a", "--address", "10.0.0"), "10.0.0"),
    (("--attach", "s:a", "--address", "10.0.0.1/33"), "33"),
    (("--attach", "s:a", "--address", "10.0.0.1", "--port", "0"), "--port"),
    (("--attach", "s:a", "--address", "10.0.0.1", "--root", "/missing"),
     "/missing"),
    (("--attach", "s:a", "--address", "10.0.0.1", "--gateway", "10.1.0.1"),
     "10.1.0.1"),
    (("--attach", "s:a", "--address", "10.0.0.1", "--mac",
      "01:00:00:00:00:00"), "--mac"),
    (("--attach", "s:a", "--address", "10.0.0.1", "--slots", "100"), "100"),
])
def test_bad_options(args, word):
    done = subprocess.run([binary("glen-httpd"), *args], text=True,
                          capture_output=True, timeout=20)
    assert done.returncode == 2 and word in done.stderr


def test_losses_are_repaired(switch):
    """A ring too short for all windows: some packets get lost, none wrong."""
    with Httpd(switch, "s:www"):
        clean(load(switch, "s:load", "--slots", 64, "--requests", 48,
                   "--connections", 16, "--path", "/bytes/60000", "--check",
                   "--timeout", 100), 48)
    assert switch.check_identity()["switches"][0]["drops"]
