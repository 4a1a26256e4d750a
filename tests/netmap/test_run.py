# SPDX-License-Identifier: BSD-2-Clause
# test_run.py - glen-run: what it runs, finds, passes on and says.
import os
import signal
import subprocess
import sys

import pytest

import glen

OPEN = "import os; os.close(os.open('/dev/netmap', os.O_RDWR))"


def glen_run(*args, env=None, **kwargs):
    return subprocess.run([glen.binary("glen-run"), *args], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          env={**os.environ, **(env or {})}, timeout=60,
                          **kwargs)


def generator(*args):
    return [glen.binary("netmap_generator"), *args]


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option):
    done = glen_run(option)
    assert done.returncode == 0
    assert "usage: glen-run" in done.stdout
    assert not done.stderr


def test_usage():
    for args in ([], ["--nonsense", "true"], ["--socket"]):
        done = glen_run(*args)
        assert done.returncode == 2
        assert "usage: glen-run" in done.stderr


def test_no_glend(tmp_path):
    done = glen_run("true", env={"GLEN_SOCKET": str(tmp_path / "none")})
    assert done.returncode == 125
    assert str(tmp_path / "none") in done.stderr
    assert "--private" in done.stderr


def test_exit_status(daemon):
    env = daemon.env
    assert glen_run("sh", "-c", "exit 7", env=env).returncode == 7
    assert glen_run("no-such-program", env=env).returncode == 127
    assert glen_run("/etc/passwd", env=env).returncode == 126


def test_socket_option(daemon, tmp_path):
    """It goes before the environment, and to the program."""
    done = glen_run("--socket", daemon.socket, *generator(
        "-i", "vale0:a", "-n", "10"),
        env={"GLEN_SOCKET": str(tmp_path / "none")})
    assert done.returncode == 0, done.stderr
    assert "sent 10" in done.stdout


@pytest.mark.skipif("SANITIZED" in os.environ, reason="a shell that preloads "
                    "a sanitizer's runtime cannot start programs that have "
                    "their own")
def test_private():
    """Two programs on a glend of their own, which ends with them."""
    rx = " ".join(generator("-i", "vale0:b", "-f", "rx", "-n", "100"))
    tx = " ".join(generator("-i", "vale0:a", "-n", "100"))
    done = glen_run("--private", "sh", "-c",
                    f"echo $GLEN_SOCKET; {rx} & "
                    f"until {glen.binary('glenctl')} port show vale0:b "
                    f">/dev/null 2>&1; do sleep 0.02; done; {tx}; wait",
                    env={"GLEN_SOCKET": "/nowhere"})
    assert done.returncode == 0, done.stderr
    assert "received 100 lost 0 bad 0" in done.stdout
    where = os.path.dirname(done.stdout.splitlines()[0])
    assert where.startswith("/tmp/glen-run-")
    assert not os.path.exists(where)


def test_private_exit_status():
    assert glen_run("-p", "sh", "-c", "exit 9").returncode == 9
    assert glen_run("-p", "sh", "-c", "kill -9 $$").returncode == 137
    assert glen_run("-p", "no-such-program").returncode == 127


@pytest.mark.skipif("TSAN_OPTIONS" in os.environ, reason="ThreadSanitizer keeps "
                    "signals back until a call that it knows, and a shell "
                    "makes none")
def test_private_passes_signals_on():
    child = subprocess.Popen(
        [glen.binary("glen-run"), "-p", "sh", "-c",
         "trap 'echo caught; exit 3' TERM; echo ready; "
         "while :; do sleep 0.05; done"],
        text=True, stdout=subprocess.PIPE, preexec_fn=glen.die_with_parent)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    assert child.stdout.read() == "caught\n"
    assert child.wait(30) == 3
    child.stdout.close()


def test_log(daemon, tmp_path):
    """Relative to where glen-run was started, wherever the program goes."""
    code = ("import os; os.chdir('/'); "
            "os.close(os.open('/dev/netmap', os.O_RDWR)); "
            "os.environ['GLEN_SOCKET'] = '/nowhere'; "
            "os.open('/dev/netmap', os.O_RDWR)")
    done = glen_run("--log", "log", sys.executable, "-c", code,
                    env=daemon.env, cwd=tmp_path)
    assert "OSError: [Errno 6]" in done.stderr   # ENXIO
    assert "no glend listens at /nowhere" in (tmp_path / "log").read_text()


def test_log_that_cannot_be(tmp_path):
    log = str(tmp_path / "none" / "log")
    done = glen_run("--private", "--log", log, "true")
    assert done.returncode == 125
    assert f"{log}: No such file or directory" in done.stderr


def test_nothing_on_descriptor_2(daemon):
    """Not even when everything goes wrong; and without a log."""
    code = ("import os\n"
            "os.environ['GLEN_SOCKET'] = '/nowhere'\n"
            "try:\n"
            "    os.open('/dev/netmap', os.O_RDWR)\n"
            "except OSError:\n"
            "    print('refused')\n")
    env = {**daemon.env}
    env.pop("GLEN_NETMAP_LOG", None)
    done = glen_run(sys.executable, "-c", code, env=env)
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_preload_is_kept(daemon):
    """What was to be preloaded before still is; children are run, too."""
    done = glen_run("sh", "-c", f"echo $LD_PRELOAD; exec {sys.executable} "
                    f"-c \"{OPEN}\"",
                    env={**daemon.env, "LD_PRELOAD": "libc.so.6"})
    assert done.returncode == 0, done.stderr
    words = done.stdout.strip().split(":")
    assert words[-1] == "libc.so.6"
    assert "libglen-netmap.so" in map(os.path.basename, words)


def test_glend_is_not_preloaded():
    done = glen_run("-p", "sh", "-c",
                    "for p in /proc/[0-9]*; do "
                    "if tr '\\0' ' ' 2>/dev/null <$p/cmdline | "
                    "grep -q \"^glend.*$GLEN_SOCKET \"; then "
                    "grep -c libglen-netmap $p/maps; fi; done")
    assert set(done.stdout.split()) == {"0"}
