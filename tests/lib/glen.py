# SPDX-License-Identifier: BSD-2-Clause
# glen.py - what Python tests need: a private glend, RPC, namespaces.
"""
A test looks like this:

    from glen import Glend, Netns

    with Glend(workers=1) as glend, Netns() as a:
        glend.rpc("port.add", port="sw0:a", driver="tap", netns=a.name)
        a.run("ip addr add 10.0.0.1/24 dev a")
        ...
        glend.check_identity()

Everything made here is undone when the `with` block ends, when the program
ends (atexit), and, should it have been killed, by the next program that uses
this file: namespaces carry the maker's pid in their name.

Environment: GLEN_BUILD is the meson build directory (default: build in the
source tree); GLEN_KEEP=1 keeps temporary directories for a look at the log.
"""
import array
import atexit
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("GLEN_BUILD") or
                        os.path.join(SOURCE, "build"))
NETNS_DIR = "/run/netns"
CLONE_NEWNET = 0x40000000
FDS_MAX = 8
ETH_P_ALL = 3

libc = ctypes.CDLL(None, use_errno=True)


def binary(name):
    """Path of a program that the build made, e.g. "glend"."""
    for folder in ("ctl", "tools", "bench", "tests/unit", "tests/peer",
                   "tests/netmap", "netmap", "netmap/preload",
                   "examples/httpd", ""):
        path = os.path.join(BUILD, folder, name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise FileNotFoundError(
        f"{name} is not in {BUILD}: build first, or set GLEN_BUILD")


def why_no_root():
    """None if namespaces and TAPs can be made here, else the reason."""
    if os.geteuid() != 0:
        return "needs root: makes network namespaces and TAP interfaces"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    if not shutil.which("ip"):
        return "needs ip (package iproute2)"
    return None


def why_missing(*programs):
    """None if all programs are installed, else the reason to skip."""
    missing = [p for p in programs if not shutil.which(p)]
    return f"needs {', '.join(missing)}" if missing else None


def wait_until(condition, timeout=10.0, what="condition"):
    """Polls until condition() is true and returns its value."""
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def run_delay(pid):
    """Seconds that the threads of a process were ready but did not run."""
    total = 0
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(
                    f"/proc/{pid}/task/{task}/schedstat",
                    encoding="ascii") as stat:
                total += int(stat.read().split()[1])
    return total / 1e9


class Stopwatch:
    """
    Time since it was made, without what this process and some others (pids, or
    functions that return one) spent waiting for a processor: how busy the
    machine is decides no test.
    """

    def __init__(self, *pids):
        self.pids = [pid if callable(pid) else lambda pid=pid: pid
                     for pid in (os.getpid(), *pids)]
        self.delays = {}
        self.start = time.monotonic()
        for pid in self.pids:
            self.delays[pid()] = run_delay(pid())

    def seconds(self):
        waited = sum(run_delay(pid()) - self.delays.get(pid(), 0)
                     for pid in self.pids)
        return time.monotonic() - self.start - waited


class RpcError(Exception):
    """glend's refusal: .code (negative errno), .message, .errno_name."""

    def __init__(self, error):
        super().__init__(f"{error.get('message')} ({error.get('code')})")
        self.code = error.get("code")
        self.message = error.get("message", "")
        self.errno_name = (error.get("data") or {}).get("errno")


class Rpc:
    """One connection to glend's control socket."""

    def __init__(self, path, timeout=30.0):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise
        self.data = b""
        self.fds = []           # received, not yet taken; the reader's
        self.notes = []         # notifications, in order
        self.next_id = 1

    def send(self, message, fds=()):
        """Sends an object (or bytes as they are) with descriptors."""
        if not isinstance(message, bytes):
            message = json.dumps(message).encode() + b"\n"
        anc = []
        if fds:
            anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                    array.array("i", fds))]
        sent = self.sock.sendmsg([message], anc)
        if sent < len(message):
            self.sock.sendall(message[sent:])

    def receive(self):
        """The next message as an object; None if glend hung up."""
        while b"\n" not in self.data:
            size = array.array("i").itemsize
            data, anc, _, _ = self.sock.recvmsg(
                1 << 16, socket.CMSG_SPACE(FDS_MAX * size))
            for level, kind, body in anc:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds = array.array("i")
                    fds.frombytes(body[:len(body) // size * size])
                    self.fds.extend(fds)
            if not data:
                return None
            self.data += data
        line, self.data = self.data.split(b"\n", 1)
        return json.loads(line)

    def call(self, method, params=None, fds=()):
        """Result of a call; RpcError on refusal, ConnectionError if gone."""
        request_id = self.next_id
        self.next_id += 1
        request = {"jsonrpc": "2.0", "id": request_id, "method": method}
        if params:
            request["params"] = params
        self.send(request, fds)
        while True:
            reply = self.receive()
            if reply is None:
                raise ConnectionError(f"glend hung up during {method}")
            if "method" in reply:
                self.notes.append(reply)
                continue
            if reply.get("id") not in (request_id, None):
                continue
            if "error" in reply:
                raise RpcError(reply["error"])
            return reply["result"]

    def take_fds(self):
        fds, self.fds = self.fds, []
        return fds

    def close(self):
        for fd in self.take_fds():
            os.close(fd)
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def die_with_parent():
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)   # PR_SET_PDEATHSIG


class Glend:
    """
    A glend of our own: socket, state file and log in a temporary directory.
    args: more command-line arguments; env: more environment; prefix: a
    command to run it under, such as ["setpriv", "--reuid", "65534", ...].
    """

    def __init__(self, workers=1, args=(), env=None, prefix=(), start=True):
        self.dir = tempfile.mkdtemp(prefix="glen-test-")
        os.chmod(self.dir, 0o755)
        self.socket = os.path.join(self.dir, "glend.sock")
        self.log = os.path.join(self.dir, "glend.log")
        self.argv = [*prefix, binary("glend"), "--socket", self.socket,
                     "--workers", str(workers), *args]
        self.env = {**os.environ, "XDG_RUNTIME_DIR": self.dir,
                    "GLEN_SOCKET": self.socket, **(env or {})}
        self.env.pop("NOTIFY_SOCKET", None)
        self.process = None
        self.rpc_conn = None
        atexit.register(self.stop, check=False)
        if start:
            self.start()

    # Life

    def start(self, timeout=15.0):
        """Starts it and returns when it answers."""
        assert self.process is None, "glend runs already"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.env, preexec_fn=die_with_parent)
        deadline = time.monotonic() + timeout
        while True:
            if self.process.poll() is not None:
                code, self.process = self.process.returncode, None
                raise RuntimeError(
                    f"glend ended with {code}:\n{self.log_text()}")
            try:
                self.rpc("version")
                return
            except (FileNotFoundError, ConnectionError):
                if time.monotonic() > deadline:
                    text = self.log_text()
                    self.kill9()
                    raise TimeoutError(f"glend does not answer:\n{text}")
                time.sleep(0.005)

    @property
    def pid(self):
        return self.process.pid

    def hang_up(self):
        if self.rpc_conn:
            self.rpc_conn.close()
            self.rpc_conn = None

    def kill9(self):
        """SIGKILL, as if it had crashed. start() or restart() follow."""
        self.hang_up()
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self):
        """SIGKILL and start again with the same socket and state file."""
        self.kill9()
        self.start()

    def stop(self, check=True, timeout=15.0):
        """
        SIGTERM; with check, its exit code must be 0 and the log free of
        sanitizer reports. Removes the directory.
        """
        self.hang_up()
        process, self.process = self.process, None
        code = 0
        if process:
            process.terminate()
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                code = "no answer to SIGTERM"
        text = self.log_text()
        atexit.unregister(self.stop)
        if not os.environ.get("GLEN_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
        if check and (code != 0 or re.search(
                r"Sanitizer|runtime error:", text)):
            raise AssertionError(f"glend ended with {code}:\n{text}")

    def log_text(self):
        with contextlib.suppress(OSError), open(
                self.log, encoding="utf-8", errors="replace") as log:
            return log.read()
        return ""

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            print(f"--- glend's log ---\n{self.log_text()}---")
        self.stop(check=kind is None)

    # Control

    def connect(self):
        """A connection of its own (for port.open, captures, garbage)."""
        return Rpc(self.socket)

    def rpc(self, method, **params):
        """Calls on a connection that is kept open."""
        if not self.rpc_conn:
            self.rpc_conn = Rpc(self.socket)
        try:
            return self.rpc_conn.call(method, params)
        except (ConnectionError, BrokenPipeError):
            self.hang_up()
            raise

    def ctl(self, *args, check=True, **kwargs):
        """Runs glenctl ARGS and returns its CompletedProcess."""
        return subprocess.run([binary("glenctl"), *args], env=self.env,
                              text=True, capture_output=True, check=check,
                              timeout=60, **kwargs)

    def port_stats(self, port):
        return self.rpc("stats", port=port)["ports"][0]

    def drops(self, port):
        """{"in": {...}, "out": {...}} of a port, only what is not zero."""
        stats = self.port_stats(port)
        return {way: stats[way]["drops"] for way in ("in", "out")}

    def quiet_stats(self, timeout=10.0):
        """stats once nothing moves any more (two equal reads in a row)."""
        last = [None]

        def settled():
            now = self.rpc("stats")
            now.pop("now_ns", None)
            same = now == last[0]
            last[0] = now
            if not same:
                time.sleep(0.03)
            return now if same else None

        return wait_until(settled, timeout, "counters settle")

    def check_identity(self):
        """Every packet is accounted for: the sums over each switch agree."""
        stats = self.quiet_stats()
        for sw in stats["switches"]:
            drops = sw.get("drops", 0)
            if isinstance(drops, dict):
                drops = sum(drops.values())
            came = sw["in_packets"] + sw["replicated"]
            assert came == sw["out_packets"] + drops, (
                f"switch {sw['switch']}: {came} packets came, "
                f"{sw['out_packets']} went, {drops} dropped: {stats}")
        return stats


def setns_call(path, function):
    """Runs function() in the network namespace at path; in a thread."""
    box = {}

    def work():
        try:
            with open(path, "rb") as ns:
                if libc.setns(ns.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns", path)
            box["value"] = function()
        except BaseException as error:  # passed on below
            box["error"] = error

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if "error" in box:
        raise box["error"]
    return box["value"]


class Wire:
    """
    Whole frames to and from an interface, as bytes, with their VLAN tags.
    With vnet each is preceded by the 10 bytes of a virtio_net_hdr.
    """

    SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR = 263, 8, 15
    STATUS_VLAN_VALID, STATUS_VLAN_TPID_VALID = 0x10, 0x40
    OUTGOING = 4

    def __init__(self, sock, vnet, timeout):
        self.sock = sock
        self.vnet = vnet
        self.timeout = timeout

    @classmethod
    def bind(cls, ifname, vnet):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.setsockopt(cls.SOL_PACKET, cls.PACKET_AUXDATA, 1)
        if vnet:
            sock.setsockopt(cls.SOL_PACKET, cls.PACKET_VNET_HDR, 1)
        sock.bind((ifname, ETH_P_ALL))
        return sock

    def send(self, frame, vnet_hdr=bytes(10)):
        data = (vnet_hdr if self.vnet else b"") + bytes(frame)
        assert self.sock.send(data) == len(data)

    def recv(self, timeout=None):
        """The next frame that came in, or None. With vnet: (hdr, frame)."""
        deadline = time.monotonic() + (
            self.timeout if timeout is None else timeout)
        while True:
            self.sock.settimeout(max(deadline - time.monotonic(), 1e-6))
            try:
                data, anc, _, addr = self.sock.recvmsg(1 << 17, 256)
            except (TimeoutError, BlockingIOError):
                return None
            if addr[2] != self.OUTGOING:
                break
        hdr, frame = (data[:10], data[10:]) if self.vnet else (b"", data)
        for level, kind, body in anc:
            if (level, kind) == (self.SOL_PACKET, self.PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH",
                                                              body[:20])
                if status & self.STATUS_VLAN_VALID:
                    if not status & self.STATUS_VLAN_TPID_VALID:
                        tpid = 0x8100
                    frame = (frame[:12] + struct.pack(">HH", tpid, tci) +
                             frame[12:])
        return (hdr, frame) if self.vnet else frame

    def recv_n(self, n, timeout=5.0, want=None):
        """Up to n frames for which want(frame) holds, until the timeout."""
        deadline = time.monotonic() + timeout
        got = []
        while len(got) < n:
            item = self.recv(max(deadline - time.monotonic(), 0))
            if item is None:
                break
            if not want or want(item):
                got.append(item)
        return got

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Netns:
    """A network namespace that goes away with all that runs in it."""

    count = 0

    def __init__(self, name=None):
        Netns.remove_stale()
        if not name:
            Netns.count += 1
            name = f"glent-{os.getpid()}-{Netns.count}"
        self.name = name
        self.path = os.path.join(NETNS_DIR, name)
        self.processes = []
        subprocess.run(["ip", "netns", "add", name], check=True)
        atexit.register(self.close)
        self.run("ip link set lo up")

    @staticmethod
    def remove_stale():
        """Removes namespaces whose maker is dead."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(NETNS_DIR):
                found = re.fullmatch(r"glent-(\d+)-.*", name)
                if found and not os.path.exists(f"/proc/{found[1]}"):
                    subprocess.run(["ip", "netns", "del", name], check=False,
                                   stderr=subprocess.DEVNULL)

    def argv(self, command):
        if isinstance(command, str):
            command = command.split()
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, command, check=True, timeout=60, **kwargs):
        """Runs a command to its end; returns its standard output."""
        done = subprocess.run(self.argv(command), text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout,
                              **kwargs)
        if check and done.returncode:
            raise AssertionError(
                f"{self.name}: {command}: exit {done.returncode}\n"
                f"{done.stdout}")
        return done.stdout

    def popen(self, command, **kwargs):
        """Starts a command; it ends with the namespace at the latest."""
        process = subprocess.Popen(self.argv(command),
                                   preexec_fn=die_with_parent, **kwargs)
        self.processes.append(process)
        return process

    def call(self, function):
        """Runs a Python function inside, in a thread of its own."""
        return setns_call(self.path, function)

    def no_ipv6(self):
        """Interfaces made from now on send nothing by themselves."""
        self.run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
        return self

    def wire(self, ifname, vnet=False, timeout=5.0):
        """A Wire on an interface."""
        return Wire(self.call(lambda: Wire.bind(ifname, vnet)), vnet, timeout)

    def links(self):
        """{ifname: what `ip -j -d link` says}."""
        return {link["ifname"]: link
                for link in json.loads(self.run("ip -j -d link"))}

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.processes = []
        atexit.unregister(self.close)
        if os.path.exists(self.path):
            subprocess.run(["ip", "netns", "del", self.name], check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
