# SPDX-License-Identifier: BSD-2-Clause
# test_glend.py - glend's start, end, and clients that behave badly.
import json
import os
import random
import resource
import signal
import socket
import stat
import subprocess
import time

import pytest

import glen
from glen import Glend, Rpc, RpcError, binary, wait_until


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


# Command line

def test_help_and_version():
    code, text = run_glend("--help")
    assert code == 0
    for option in ("--config", "--socket", "--workers", "--cpus", "--poll",
                   "--state", "--no-state", "--group", "--mode",
                   "--log-level", "--no-seccomp", "--no-netns"):
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
    (["extra"], "what is extra"),
    (["--nothing"], "bad option"),
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

TOPOLOGY = """\
switches:
  sw0:
    module: learn
    options: {entries: 1024}
    ports:
      a: {driver: shm, mtu: 1500}
      b: {driver: shm, isolated: true}
"""


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
    allowed = 1 << 12 | 1 << 21     # CAP_NET_ADMIN, CAP_SYS_ADMIN
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


# Garbage

def test_garbage_on_the_socket(glend):
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print("SEED =", seed)
    rng = random.Random(seed)
    good = [request("version"), request("stats"), request("port.list"),
            request("switch.add", switch="x"), request("port.open"),
            b'{"jsonrpc":"2.0","id":[],"method":{}}\n', b"\n", b"[" * 5000,
            b'{"a":' * 3000, b"\xff" * 100, b"\0" * 100, b"[]\n",
            b"GET / HTTP/1.0\r\n\r\n"]
    glend.rpc("version")
    before = n_fds(glend)
    for _ in range(150):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(5)
        sock.connect(glend.socket)
        for _ in range(rng.randrange(1, 6)):
            data = bytearray(rng.choice(good))
            for _ in range(rng.randrange(4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            try:
                sock.sendall(data[:rng.randrange(1, len(data) + 1)])
            except BrokenPipeError:
                break
        if rng.random() < 0.5:
            sock.shutdown(socket.SHUT_WR)
            try:
                while sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
        sock.close()
    assert glend.rpc("version")["protocol"] == 1
    settled_fds(glend, before)


def test_errors_name_the_cause(glend):
    def error_of(data):
        with glend.connect() as conn:
            conn.send(data)
            return conn.receive()

    assert error_of(b"nonsense\n")["error"]["code"] == -32700
    assert error_of(b"[]\n")["error"]["code"] == -32600
    assert error_of(b"[" * 100 + b"\n")["error"]["code"] == -32700
    reply = error_of(request("no.such.method", 9))
    assert (reply["id"], reply["error"]["code"]) == (9, -32601)
    assert "no.such.method" in reply["error"]["message"]
    reply = error_of(request("port.add", port="x", driver="shm"))
    assert reply["error"]["data"]["errno"] == "EINVAL"
    reply = error_of(request("switch.add", switch="a", bogus=1))
    assert "bogus" in reply["error"]["message"]


def test_line_too_long(glend):
    with glend.connect() as conn:
        try:
            conn.sock.sendall(b"x" * (1 << 20) + b"y")
        except (BrokenPipeError, ConnectionResetError):
            pass
        reply = conn.receive()
        assert "longer than 1 MiB" in reply["error"]["message"]
        try:
            assert conn.receive() is None
        except ConnectionResetError:
            pass
    # One byte less, with its newline, is fine.
    with glend.connect() as conn:
        line = request("version")
        conn.send(b" " * ((1 << 20) - len(line)) + line)
        assert conn.receive()["result"]["protocol"] == 1


def test_many_requests_at_once(glend):
    """Pipelined requests are all answered, in order, and others get in."""
    with glend.connect() as conn:
        conn.send(b"".join(request("version", i) for i in range(2000)))
        start = time.monotonic()
        glend.rpc("version")
        assert time.monotonic() - start < 2
        for i in range(2000):
            assert conn.receive()["id"] == i


def test_requests_then_hang_up(glend):
    """What a client asked for before it closed is still done."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(glend.socket)
    sock.sendall(b"".join(request("switch.add", switch=f"s{i}")
                          for i in range(40)))
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass
    sock.close()
    assert len(glend.rpc("switch.list")) == 40


def test_client_that_does_not_read(glend):
    for i in range(200):
        glend.rpc("port.add", port=f"s:p{i}", driver="shm")
    before = n_fds(glend)
    stuck = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stuck.connect(glend.socket)
    stuck.setblocking(False)
    line = request("port.list")
    sent = 0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            sent += stuck.send(line * 50)
        except BlockingIOError:
            start = time.monotonic()
            assert len(glend.rpc("port.list")) == 200
            assert time.monotonic() - start < 1
            if sent > 100 * len(line):
                break
        except (BrokenPipeError, ConnectionResetError):
            break
    settled_fds(glend, before + 1)
    # It is cut off in the end, and the log says why.
    wait_until(lambda: n_fds(glend) == before, timeout=30,
               what="the stuck client is cut off")
    assert "did not read its answers" in glend.log_text()
    stuck.close()


def test_incomplete_request_is_cut_off(glend):
    glend.rpc("version")
    before = n_fds(glend)
    stuck = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stuck.connect(glend.socket)
    stuck.sendall(b'{"jsonrpc": "2.0", ')
    settled_fds(glend, before + 1)
    wait_until(lambda: n_fds(glend) == before, timeout=30,
               what="the incomplete request is cut off")
    stuck.close()


# Descriptors

def test_surplus_descriptors_are_closed(glend):
    glend.rpc("version")
    before = n_fds(glend)
    with glend.connect() as conn:
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(60)]
        for count in (1, 4, 5, 60):
            # With a request that takes none, one that fails, and half a line.
            conn.send(request("version"), fds[:count])
            assert "result" in conn.receive()
            conn.send(request("port.resume", port="s:a", token="0" * 32),
                      fds[:count])
            assert conn.receive()["error"]["data"]["errno"] == "ENOENT"
            settled_fds(glend, before + 1)
        for _ in range(20):
            conn.send(b'{"jsonrpc": "2.0"', fds)
        assert n_fds(glend) <= before + 1 + 4
        for fd in fds:
            os.close(fd)
    settled_fds(glend, before)


def test_out_of_descriptors():
    """Refuses what it cannot serve, goes on with the rest, recovers."""
    def limit():
        glen.die_with_parent()
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    glend = Glend(start=False, prefix=["prlimit", "--nofile=64:64",
                                       "setpriv", "--bounding-set",
                                       "-sys_resource", "--inh-caps",
                                       "-sys_resource"])
    if os.geteuid() != 0 or glen.why_missing("setpriv", "prlimit"):
        glend.prefix = ["prlimit", "--nofile=64:64"]
    with glend:
        glend.start()
        glend.rpc("version")
        before = n_fds(glend)
        conns, refused = [], 0
        for _ in range(100):
            conn = glend.connect()
            try:
                conn.call("version")
                conns.append(conn)
            except (RpcError, ConnectionError) as error:
                refused += 1
                if isinstance(error, RpcError):
                    assert "descriptor" in error.message
                conn.close()
        assert refused and conns
        # A port needs some too: an error, not a half-made port.
        with pytest.raises(RpcError):
            conns[0].call("port.open", {"port": "s:a"})
        assert glend.rpc("port.list") == []
        assert glend.rpc("switch.list") == []
        for conn in conns:
            conn.close()
        settled_fds(glend, before)
        conn, _, fds = open_port(glend, "s:a")
        assert len(fds) == 4
        for fd in fds:
            os.close(fd)
        conn.close()


# Ports and their connections

def test_one_user_per_port(glend):
    conn, _, fds = open_port(glend, "s:a")
    with glend.connect() as other:
        with pytest.raises(RpcError) as error:
            other.call("port.open", {"port": "s:a"})
        assert error.value.errno_name == "EBUSY"
        assert f"process {os.getpid()}" in error.value.message
    with pytest.raises(RpcError) as error:
        conn.call("port.open", {"port": "s:b"})
    assert error.value.errno_name == "EBUSY"
    with pytest.raises(RpcError):
        conn.call("switch.del", {"switch": "s"})
    assert conn.call("stats", {"port": "s:a"})["ports"][0]["port"] == "s:a"
    conn.close()
    for fd in fds:
        os.close(fd)
    wait_until(lambda: not glend.rpc("switch.list"), what="the switch goes")


def test_reservation_outlives_its_client(glend):
    for bad in ({"slots": 3}, {"rings": 99}, {"mtu": "x"}, {"x": 1}):
        with pytest.raises(RpcError) as error:
            glend.rpc("port.add", port="s:a", driver="shm", **bad)
        assert list(bad)[0] in error.value.message
        assert glend.rpc("switch.list") == []
    glend.rpc("port.add", port="s:a", driver="shm", isolated=True, slots=64)
    with pytest.raises(RpcError):
        glend.rpc("port.set", port="s:a", slots=3)
    show = glend.rpc("port.show", port="s:a")
    assert (show["attached"], show["configured"]) == (False, True)
    for _ in range(3):
        conn, result, fds = open_port(glend, "s:a", slots=512, mtu=900)
        assert result["slots"] == 64    # what was reserved goes first
        show = glend.rpc("port.show", port="s:a")
        assert show["attached"] and show["isolated"]
        assert show["mtu"] == 900
        conn.close()
        for fd in fds:
            os.close(fd)
        wait_until(lambda: not glend.rpc("port.show", port="s:a")["attached"],
                   what="detached")
    assert glend.rpc("port.show", port="s:a")["mtu"] == 0
    glend.rpc("port.del", port="s:a")
    assert glend.rpc("switch.list") == []


def test_port_del_tells_the_client(glend):
    conn, _, fds = open_port(glend, "s:a")
    glend.rpc("port.del", port="s:a")
    note = conn.receive()
    assert note["method"] == "port.closed"
    assert note["params"]["port"] == "s:a"
    assert "deleted" in note["params"]["reason"]
    assert conn.receive() is None
    for fd in fds:
        os.close(fd)


def test_port_wait(glend):
    glend.rpc("version")
    before = n_fds(glend)
    with glend.connect() as waiter, glend.connect() as second:
        waiter.send(request("port.wait", 1, port="s:a", timeout_ms=20000))
        waiter.send(request("version", 2))
        with pytest.raises(RpcError) as error:
            second.call("port.wait", {"port": "s:a", "timeout_ms": 50})
        assert error.value.errno_name == "ETIMEDOUT"
        conn, _, fds = open_port(glend, "s:a")
        reply = waiter.receive()
        assert (reply["id"], reply["result"]["port"]) == (1, "s:a")
        assert waiter.receive()["id"] == 2
        conn.close()
        for fd in fds:
            os.close(fd)
    # One that goes while it waits is forgotten.
    settled_fds(glend, before)
    with glend.connect() as waiter:
        waiter.send(request("port.wait", port="s:never"))
        settled_fds(glend, before + 1)
    settled_fds(glend, before)


def test_thousand_ports_come_and_go(glend):
    glend.rpc("version")
    before = n_fds(glend)
    for i in range(1000):
        conn, _, fds = open_port(glend, f"s:p{i % 7}", slots=16)
        for fd in fds:
            os.close(fd)
        conn.close()
        if i % 7 == 6:
            wait_until(lambda: not glend.rpc("switch.list"))
    settled_fds(glend, before)


# Death and return

def test_sigkill_keeps_configuration_and_clients(glend):
    glend.rpc("switch.add", switch="kept", module="static",
              options={"default": "drop"})
    glend.rpc("port.add", port="kept:r", driver="shm", mtu=1400)
    glend.rpc("port.add", port="implicit:r", driver="shm")
    conn, result, fds = open_port(glend, "other:c", slots=32)
    config = glend.rpc("config.get")
    for _ in range(20):
        start = time.monotonic()
        glend.restart()
        assert glend.rpc("config.get") == config
        assert glend.rpc("status")["resumable"] == ["other:c"]
        conn.close()
        conn = glend.connect()
        again = conn.call("port.resume", {"port": "other:c",
                                          "token": result["token"]}, fds)
        assert again == result
        assert time.monotonic() - start < 1
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


# config.apply

def apply(glend, ports, dry_run=False, **switch):
    config = {"switches": {"s": {"ports": ports, **switch}}}
    return glend.rpc("config.apply", config=config,
                     dry_run=dry_run)["changes"]


def test_apply_says_what_it_changes(glend):
    shm = {"driver": "shm"}
    assert apply(glend, {"a": shm}, dry_run=True) == [
        "added switch s (module learn)", "added port s:a"]
    assert glend.rpc("switch.list") == []
    assert apply(glend, {"a": shm}) == [
        "added switch s (module learn)", "added port s:a"]
    assert apply(glend, {"a": shm}) == []
    conn, _, fds = open_port(glend, "s:a")
    assert apply(glend, {"a": {**shm, "mtu": 1500}, "b": shm}) == [
        "changed port s:a (mtu)", "added port s:b"]
    assert glend.rpc("port.show", port="s:a")["mtu"] == 1500
    assert apply(glend, {"a": {**shm, "mtu": 1500}, "b": shm},
                 module="static") == ["set module static of switch s"]
    assert apply(glend, {"a": shm}, module="static") == [
        "removed port s:b", "changed port s:a (mtu)"]
    assert glend.rpc("port.show", port="s:a")["mtu"] == 0
    assert glend.rpc("port.show", port="s:a")["attached"]
    assert glend.rpc("config.apply", config={})["changes"] == [
        "removed port s:a", "removed switch s"]
    # The client still has its port.
    assert glend.rpc("port.show", port="s:a")["configured"] is False
    conn.close()
    for fd in fds:
        os.close(fd)
    wait_until(lambda: not glend.rpc("switch.list"))


def test_documented_topology(glend, tmp_path):
    with open(os.path.join(glen.SOURCE, "docs", "topology.md"),
              encoding="utf-8") as file:
        text = file.read().split("```yaml\n")[1].split("```")[0]
    path = tmp_path / "net.yaml"
    path.write_text(text)
    done = glend.ctl("apply", "--dry-run", str(path))
    assert "added port vale0:probe" in done.stdout
    assert "added switch wire (module static)" in done.stdout


def test_saved_topology_applies_without_change(glend, tmp_path):
    path = tmp_path / "net.yaml"
    path.write_text(TOPOLOGY)
    glend.ctl("apply", str(path))
    saved = tmp_path / "saved.yaml"
    saved.write_text(glend.ctl("save").stdout)
    assert "mtu: 1500" in saved.read_text()
    before = glend.rpc("config.get")
    glend.ctl("apply", str(saved))
    assert glend.rpc("config.get") == before
    assert glend.rpc("config.apply", config=before)["changes"] == []


def test_apply_refuses_before_it_touches_anything(glend):
    shm = {"driver": "shm"}
    apply(glend, {"a": shm})
    before = glend.rpc("config.get")
    for ports, path in (
            ({"b": shm, "c": {"driver": "nix"}}, "switches/s/ports/c/driver"),
            ({"b": shm, "c": {"driver": "shm", "slot": 1}},
             "switches/s/ports/c/slot"),
            ({"b": shm, "-c": shm}, "switches/s/ports/-c"),
            ({"b": {"driver": "shm", "mac": "01:00:00:00:00:00"}},
             "switches/s/ports/b/mac")):
        with glend.connect() as conn:
            conn.send(request("config.apply",
                              config={"switches": {"s": {"ports": ports}}}))
            error = conn.receive()["error"]
        assert error["data"]["path"] == path
        assert glend.rpc("config.get") == before


def test_apply_undoes_what_it_did_when_a_step_fails(glend, tmp_path):
    shm = {"driver": "shm"}
    apply(glend, {"a": {**shm, "mtu": 1000}, "z": shm})
    before = glend.rpc("config.get")
    with pytest.raises(RpcError) as error:
        glend.rpc("config.apply", config={"switches": {
            "s": {"module": "static", "ports": {
                "a": shm,
                "p": {"driver": "pcap", "read": "/nonexistent/x.pcap"}}},
            "t": {}}})
    assert "/nonexistent/x.pcap" in error.value.message
    assert glend.rpc("config.get") == before
    assert glend.rpc("status")["switches"] == 1
