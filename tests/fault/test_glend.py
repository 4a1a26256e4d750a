# SPDX-License-Identifier: BSD-2-Clause
# test_glend.py - glend's start and end, and what survives them.
import os
import signal
import socket
import stat
import subprocess

import pytest

import glen
from daemon import TOPOLOGY, open_port, run_glend
from glen import Glend, Rpc, RpcError, Stopwatch, binary, wait_until


# Command line

def test_help_and_version():
    code, text = run_glend("--help")
    assert code == 0
    for option in ("--config", "--socket", "--workers", "--cpus", "--poll",
                   "--state", "--no-state", "--group", "--mode",
                   "--log-level", "--module-dir", "--no-seccomp",
                   "--no-netns"):
        assert option in text
    assert max(len(line) for line in text.splitlines()) <= 80
    code, text = run_glend("--version")
    assert (code, text.split()[0]) == (0, "glend")


@pytest.mark.parametrize("args, text", [
    (["--workers", "0"], "--workers needs a number from 1 to 64, not 0"),
    (["--workers", "two"], "not two"),
    (["--cpus", "1-"], "--cpus needs a list"),
    (["--cpus", "1000"], "CPU 1000 does not exist"),
    (["--cpus", "0", "--workers", "2"], "as many CPUs"),
    (["--mode", "9"], "octal"),
    (["--log-level", "loud"], "not loud"),
    (["extra"], "word too many: extra"),
    (["--nothing"], "unrecognized option"),
])
def test_bad_options(args, text):
    code, output = run_glend(*args)
    assert code == 2
    assert text in output
    assert "glend --help" in output or "CPU" in output


# The socket

def test_socket_is_private_and_group_opens_it(tmp_path):
    with Glend() as glend:
        mode = os.stat(glend.socket).st_mode
        assert stat.S_IMODE(mode) == 0o600
    with Glend(args=["--group", str(os.getgid())]) as glend:
        assert stat.S_IMODE(os.stat(glend.socket).st_mode) == 0o660
    with Glend(args=["--mode", "0666"]) as glend:
        assert stat.S_IMODE(os.stat(glend.socket).st_mode) == 0o666
    code, text = run_glend("--socket", str(tmp_path / "s"), "--group",
                           "nosuchgroup")
    assert code == 1
    assert "there is no group 'nosuchgroup'" in text
    assert not (tmp_path / "s").exists()


def test_socket_taken(glend):
    code, text = run_glend("--socket", glend.socket, "--no-state")
    assert code == 1
    assert f"process {glend.pid} listens on {glend.socket}" in text
    assert "--socket" in text
    assert glend.rpc("version")["protocol"] == 1


def test_socket_taken_by_another_program(tmp_path):
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(path)
        other.listen(1)
        code, text = run_glend("--socket", path, "--no-state")
        assert code == 1
        assert f"process {os.getpid()} listens on {path}" in text
    # Nobody listens there any more: it is replaced.
    assert os.path.exists(path)
    proc = subprocess.Popen([binary("glend"), "--socket", path, "--no-state"],
                            stderr=subprocess.DEVNULL)
    try:
        def answers():
            try:
                with Rpc(path) as rpc:
                    return rpc.call("version")
            except OSError:
                return None

        assert wait_until(answers, what="glend answers")
    finally:
        proc.terminate()
        assert proc.wait(10) == 0
    assert not os.path.exists(path)


def test_socket_path_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    code, text = run_glend("--socket", str(path), "--no-state")
    assert code == 1
    assert "is not a socket" in text
    assert path.read_text() == "precious"


def test_socket_path_too_long(tmp_path):
    code, text = run_glend("--socket", "/tmp/" + "x" * 200, "--no-state")
    assert code == 1
    assert "socket path must have 1 to 107 bytes" in text


def test_socket_directory_cannot_be_made():
    code, text = run_glend("--socket", "/proc/nowhere/sock", "--no-state")
    assert code == 1
    assert "/proc/nowhere" in text


def test_stale_socket_after_sigkill(glend):
    glend.kill9()
    assert os.path.exists(glend.socket)
    glend.start()
    assert glend.rpc("version")


def test_two_start_at_once(tmp_path):
    """Of several that race for a stale socket just one wins."""
    path = str(tmp_path / "sock")
    for _ in range(5):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
            stale.bind(path)
        procs = [subprocess.Popen([binary("glend"), "--socket", path,
                                   "--no-state"], stderr=subprocess.DEVNULL)
                 for _ in range(4)]
        wait_until(lambda: sum(p.poll() is None for p in procs) <= 1,
                   what="all but one gave up")
        winner = [p for p in procs if p.poll() is None]
        assert len(winner) == 1

        def pid():
            try:
                with Rpc(path) as rpc:
                    return rpc.call("status")["pid"]
            except OSError:
                return None

        assert wait_until(pid) == winner[0].pid
        winner[0].terminate()
        assert winner[0].wait(10) == 0


# Configuration file

@pytest.mark.parametrize("text, message", [
    (TOPOLOGY.replace("mtu", "mut"), "6: driver shm has no option 'mut'"),
    (TOPOLOGY.replace("learn", "lern"), "3: there is no module 'lern'"),
    (TOPOLOGY.replace("entries", "entires"), "4: "),
    (TOPOLOGY.replace("shm, iso", "smh, iso"), "7: there is no driver 'smh'"),
    (TOPOLOGY.replace("      b:", "      a:"), "7: 'a' is there twice"),
    (TOPOLOGY.replace("ports:", "port:"), "5: a switch has no member 'port'"),
    (TOPOLOGY.replace("switches", "switchs"), "1: unknown member 'switchs'"),
    (TOPOLOGY.replace("sw0", "sw/0"), "2: switch name"),
    (TOPOLOGY.replace("1500", "lots"), "6: mtu must be"),
    (TOPOLOGY.replace("true", "yes"), "7: isolated must be true or false"),
    (TOPOLOGY.replace("mtu: 1500", "slots: 9999"), "6: slots must be"),
    (TOPOLOGY.replace("mtu: 1500", "vnet_hdr_len: 11"), "6: vnet_hdr_len"),
    (TOPOLOGY + "  x: {", "9: "),
])
def test_bad_config_file(tmp_path, text, message):
    config = tmp_path / "net.yaml"
    config.write_text(text)
    sock = tmp_path / "sock"
    code, output = run_glend("--config", str(config), "--socket", str(sock))
    assert code == 1
    assert f"{config}:{message}" in output
    assert not sock.exists()


def test_config_file_missing(tmp_path):
    code, output = run_glend("--config", "/nonexistent/net.yaml", "--socket",
                             str(tmp_path / "sock"))
    assert code == 1
    assert "cannot open /nonexistent/net.yaml" in output


def test_config_and_sighup(tmp_path):
    config = tmp_path / "net.yaml"
    config.write_text(TOPOLOGY)
    with Glend(args=["--config", str(config)]) as glend:
        got = glend.rpc("config.get")["switches"]["sw0"]
        assert got["options"] == {"entries": 1024}
        assert got["ports"] == {"a": {"driver": "shm", "mtu": 1500},
                                "b": {"driver": "shm", "isolated": True}}
        conn, _, fds = open_port(glend, "sw0:b")
        config.write_text(TOPOLOGY.replace("1500", "9000")
                          .replace("      b:", "      c:"))
        os.kill(glend.pid, signal.SIGHUP)
        wait_until(lambda: "c" in glend.rpc("config.get")
                   ["switches"]["sw0"]["ports"], what="SIGHUP")
        ports = {p["port"]: p for p in glend.rpc("port.list")}
        assert ports["sw0:a"]["mtu"] == 9000
        # Its client keeps it until it goes.
        assert ports["sw0:b"]["configured"] is False
        assert ports["sw0:b"]["attached"] is True
        # A file that is wrong changes nothing.
        config.write_text("switches: {sw0: {module: lern}}")
        os.kill(glend.pid, signal.SIGHUP)
        wait_until(lambda: "lern" in glend.log_text(), what="complaint")
        assert glend.rpc("config.get")["switches"]["sw0"]["module"] == "learn"
        for fd in fds:
            os.close(fd)
        conn.close()


# Notification

def test_systemd_notify(tmp_path):
    path = str(tmp_path / "notify")
    config = tmp_path / "net.yaml"
    config.write_text(TOPOLOGY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(10)
        proc = subprocess.Popen(
            [binary("glend"), "--socket", str(tmp_path / "sock"), "--config",
             str(config)], env={**os.environ, "NOTIFY_SOCKET": path},
            stderr=subprocess.DEVNULL)
        try:
            assert notify.recv(100) == b"READY=1"
            proc.send_signal(signal.SIGHUP)
            assert notify.recv(100).startswith(
                b"RELOADING=1\nMONOTONIC_USEC=")
            assert notify.recv(100) == b"READY=1"
            proc.terminate()
            assert notify.recv(100) == b"STOPPING=1"
        finally:
            proc.terminate()
            assert proc.wait(10) == 0


# Privileges

def test_locks(glend):
    with open(f"/proc/{glend.pid}/status", encoding="ascii") as file:
        status = dict(line.split(":\t", 1) for line in file)
    assert status["NoNewPrivs"].strip() == "1"
    # CAP_NET_ADMIN, _NET_RAW, _IPC_LOCK, _SYS_ADMIN, _BPF
    allowed = 1 << 12 | 1 << 13 | 1 << 14 | 1 << 21 | 1 << 39
    for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        assert int(status[name], 16) & ~allowed == 0
    with open(binary("glend"), "rb") as file:
        sanitized = b"__sanitizer_" in file.read()
    assert status["Seccomp"].strip() == ("0" if sanitized else "2")


def test_gives_up_netns():
    with Glend(args=["--no-netns"]) as glend:
        assert "sys_admin" not in glend.rpc("status")["capabilities"]


def test_runs_as_nobody():
    reason = glen.why_missing("setpriv")
    if os.geteuid() != 0 or reason:
        pytest.skip(reason or "needs root, to become somebody else")
    glend = Glend(start=False, prefix=[
        "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])
    os.chown(glend.dir, 65534, 65534)
    with glend:
        glend.start()
        conn, result, fds = open_port(glend, "sw0:a")
        assert len(fds) == 4
        assert glend.rpc("status")["capabilities"] == []
        with pytest.raises(RpcError) as error:
            glend.rpc("port.add", port="sw0:t", driver="tap")
        assert error.value.errno_name in ("EPERM", "EACCES")
        assert "CAP_NET_ADMIN" in error.value.message
        glend.kill9()
        glend.start()
        conn.close()
        with glend.connect() as again:
            assert again.call("port.resume", {
                "port": "sw0:a", "token": result["token"]}, fds)
        for fd in fds:
            os.close(fd)


# Death and return

def test_sigkill_keeps_configuration_and_clients(glend):
    glend.rpc("switch.add", switch="kept", module="static",
              options={"default": "drop"})
    glend.rpc("port.add", port="kept:r", driver="shm", mtu=1400)
    glend.rpc("port.add", port="implicit:r", driver="shm")
    conn, result, fds = open_port(glend, "other:c", slots=32)
    config = glend.rpc("config.get")
    for _ in range(20):
        watch = Stopwatch(lambda: glend.pid)
        glend.restart()
        assert glend.rpc("config.get") == config
        assert glend.rpc("status")["resumable"] == ["other:c"]
        conn.close()
        conn = glend.connect()
        again = conn.call("port.resume", {"port": "other:c",
                                          "token": result["token"]}, fds)
        assert again == result
        assert watch.seconds() < 1
        assert conn.take_fds() == []
    names = {sw["switch"]: sw["configured"]
             for sw in glend.rpc("switch.list")}
    assert names == {"kept": True, "implicit": False, "other": False}
    conn.close()
    wait_until(lambda: len(glend.rpc("switch.list")) == 2)
    for fd in fds:
        os.close(fd)


def test_resume_is_checked(glend):
    conn, result, fds = open_port(glend, "s:a")
    other, _, other_fds = open_port(glend, "s:b")
    glend.restart()
    conn.close()
    other.close()
    with glend.connect() as conn:
        def refused(name, token, sent):
            with pytest.raises(RpcError) as error:
                conn.call("port.resume", {"port": "s:a", **token}, sent)
            assert error.value.errno_name == name

        good = {"token": result["token"]}
        refused("EACCES", {"token": "0" * 32}, fds)
        refused("EACCES", {"token": ""}, fds)
        refused("EINVAL", {}, fds)
        refused("EINVAL", good, fds[:3])
        refused("EINVAL", good, [])
        refused("EINVAL", good, other_fds)
        refused("EINVAL", good, [fds[1], fds[0], fds[2], fds[3]])
        refused("EINVAL", good, [fds[0], fds[1], fds[3], fds[2]])
        null = os.open("/dev/null", os.O_RDWR)
        refused("EINVAL", good, [fds[0], fds[1], null, null])
        os.close(null)
        with glend.connect() as thief, pytest.raises(RpcError) as error:
            thief.call("port.open", {"port": "s:a"})
        assert error.value.errno_name == "EBUSY"
        assert conn.call("port.resume", {"port": "s:a", **good}, fds)
        with glend.connect() as twice, pytest.raises(RpcError) as error:
            twice.call("port.resume", {"port": "s:a", **good}, fds)
        assert error.value.errno_name == "EBUSY"
        # A pending name can be freed by hand.
        assert glend.rpc("status")["resumable"] == ["s:b"]
        glend.rpc("port.del", port="s:b")
        assert glend.rpc("status")["resumable"] == []
        with glend.connect() as late, pytest.raises(RpcError) as error:
            late.call("port.resume", {"port": "s:b", **good}, other_fds)
        assert error.value.errno_name == "ENOENT"
    for fd in fds + other_fds:
        os.close(fd)


def test_sigterm_lets_clients_resume(glend):
    conn, result, fds = open_port(glend, "s:a")
    glend.hang_up()
    glend.process.terminate()
    assert glend.process.wait(10) == 0
    glend.process = None
    assert conn.receive() is None       # no port.closed
    conn.close()
    assert not os.path.exists(glend.socket)
    glend.start()
    with glend.connect() as conn:
        assert conn.call("port.resume", {"port": "s:a",
                                         "token": result["token"]}, fds)
    for fd in fds:
        os.close(fd)


def test_sigint_ends_for_good(glend):
    conn, _, fds = open_port(glend, "s:a")
    glend.rpc("switch.add", switch="gone")
    glend.hang_up()
    glend.process.send_signal(signal.SIGINT)
    assert glend.process.wait(10) == 0
    glend.process = None
    assert conn.receive()["method"] == "port.closed"
    assert conn.receive() is None
    conn.close()
    assert set(os.listdir(glend.dir)) == {"glend.log"}
    glend.start()
    assert glend.rpc("switch.list") == []
    for fd in fds:
        os.close(fd)


def test_without_state_nothing_is_kept():
    with Glend(args=["--no-state"]) as glend:
        conn, result, fds = open_port(glend, "s:a")
        glend.restart()
        conn.close()
        assert glend.rpc("switch.list") == []
        with glend.connect() as conn, pytest.raises(RpcError) as error:
            conn.call("port.resume", {"port": "s:a",
                                      "token": result["token"]}, fds)
        assert error.value.errno_name == "ENOENT"
        assert not os.path.exists(glend.socket + ".state")
        for fd in fds:
            os.close(fd)


def test_damaged_state_file(glend):
    glend.rpc("switch.add", switch="a")
    state = glend.rpc("status")["state_file"]
    glend.kill9()
    with open(state, "r+b") as file:
        file.seek(20)
        file.write(b"\x99")
    glend.start()
    assert glend.rpc("switch.list") == []
    assert os.path.exists(state + ".bad")
    assert "its header is damaged" in glend.log_text()


def test_state_file_in_use(glend, tmp_path):
    state = glend.rpc("status")["state_file"]
    code, text = run_glend("--socket", str(tmp_path / "s"), "--state", state)
    assert code == 1
    assert "in use by another glend" in text


def test_crash_beats_config_file_and_clean_end_does_not(tmp_path):
    config = tmp_path / "net.yaml"
    config.write_text(TOPOLOGY)
    with Glend(args=["--config", str(config)]) as glend:
        glend.rpc("switch.add", switch="extra")
        glend.restart()
        names = [sw["switch"] for sw in glend.rpc("switch.list")]
        assert sorted(names) == ["extra", "sw0"]
        glend.hang_up()
        glend.process.terminate()
        assert glend.process.wait(10) == 0
        glend.process = None
        glend.start()
        assert [sw["switch"] for sw in glend.rpc("switch.list")] == ["sw0"]
