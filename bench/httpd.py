# SPDX-License-Identifier: BSD-2-Clause
# httpd.py - HTTP from a user-level stack: over a switch, over bare memory.
"""
glen-httpd and glen-http-load (examples/httpd), lwIP at both ends, with a
glend and module tuple3 between them, or with nothing but the memory of one
file. All stay up; the loads are stopped and go on in turns. What counts is
answers for each second of processor time of load, server and glend: other work
on the machine takes time from three processes otherwise than from two.
"""
import contextlib
import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time

from glen import (Glend, Netns, binary, wait_until, why_missing,
                  why_no_root)
import pairs
from pairs import Ratio, child
from scenes import Result, Skip, private_glend, scene

SKIP_S, SETTLE_S = 0.02, 0.01
# (bytes, connections): as many as fill the rings with answers, at most.
SIZES = ((64, 256), (1024, 256), (16384, 64), (262144, 16), (1048576, 16))
# Processors of server, load, glend.
LAYOUTS = {"": ({0}, {0}, {0}), "-two": ({0}, {1}, {1})}
SERVER, CLIENT = "10.0.0.1", "10.0.0.2"
SLOTS = "1024"


def size_name(n):
    return f"{n >> 20}m" if n >= 1 << 20 else f"{n >> 10}k" if n >= 1 << 10 \
        else f"{n}"


def on(cpus, blocks=True):
    """For preexec_fn: on these processors, before others."""
    def prepare():
        child(blocks)
        os.sched_setaffinity(0, cpus)
    return prepare


def program(name, *args, cpus, env=None, **kwargs):
    return subprocess.Popen(
        [binary(name), *map(str, args)], env=env, stdin=subprocess.DEVNULL,
        preexec_fn=on(cpus), text=True, **kwargs)


def run_ns(pid):
    """Nanoseconds that a process has run."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(
                f"/proc/{pid}/task/{task}/schedstat",
                encoding="ascii") as stat:
            total += int(stat.read().split()[0])
    return total


class Loader:
    """A glen-http-load without end, stopped while it is not its turn."""

    def __init__(self, link, env, server, switch, cpus, size, conns):
        self.others = [pid for pid in (server, switch) if pid]
        self.process = program(
            "glen-http-load", *link, "--address", CLIENT, "--connect", SERVER,
            "--slots", SLOTS, "--path", f"/bytes/{size}", "--connections",
            conns, "--duration", 100000, "--timeout", 100000, cpus=cpus,
            env=env, stdout=subprocess.PIPE)
        wait_until(self.handles_signals, what="glen-http-load starts")
        wait_until(lambda: self.look()["requests"], what="answers")
        self.process.send_signal(signal.SIGSTOP)

    def handles_signals(self):
        with open(f"/proc/{self.process.pid}/status",
                  encoding="ascii") as status:
            caught = next(x for x in status if x.startswith("SigCgt:"))
        return int(caught.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1

    def look(self):
        """What it has done so far, and what that took."""
        if self.process.poll() is not None:
            raise RuntimeError("glen-http-load ended")
        self.process.send_signal(signal.SIGUSR1)
        if not select.select([self.process.stdout], [], [], 20)[0]:
            raise RuntimeError("glen-http-load does not answer")
        now = json.loads(self.process.stdout.readline())
        if now["failed"]:
            raise RuntimeError(f"{now['failed']} requests failed")
        now["cpu_ns"] += sum(map(run_ns, self.others))
        return now

    def turn(self, seconds):
        """What it does in so many seconds."""
        self.process.send_signal(signal.SIGCONT)
        time.sleep(SKIP_S)
        a = self.look()
        time.sleep(seconds)
        b = self.look()
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(SETTLE_S)
        return {key: b[key] - a[key] for key in a}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Stage:
    """Servers over both kinds of links."""

    def __init__(self, layout):
        self.server_cpus, self.load_cpus, switch_cpus = LAYOUTS[layout]
        self.stack = contextlib.ExitStack()
        self.servers = []
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(
                prefix="glen-bench-", dir="/dev/shm"))
            self.glend = Glend(args=[], start=False)
            stack.callback(self.glend.stop)
            self.confined(switch_cpus, self.glend.start)
            self.glend.rpc("switch.add", switch="s", module="tuple3")
            self.links = (["--attach", "s:load"],
                          ["--memory", f"{folder}/link,1"])
            for link in (["--attach", "s:www"],
                         ["--memory", f"{folder}/link,0"]):
                self.serve(stack, link)
            self.stack = stack.pop_all()

    @staticmethod
    def confined(cpus, start):
        """What start() starts runs on these processors only."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cpus)
        try:
            start()
        finally:
            os.sched_setaffinity(0, before)

    def serve(self, stack, link):
        server = program("glen-httpd", *link, "--address", SERVER, "--slots",
                         SLOTS, cpus=self.server_cpus, env=self.glend.env,
                         stdout=subprocess.PIPE)
        stack.callback(server.wait)
        stack.callback(server.kill)
        self.servers.append(server)
        if not server.stdout.readline():
            raise RuntimeError("glen-httpd did not start")

    def loads(self, stack, size, conns):
        """Two stopped loads."""
        return [stack.enter_context(Loader(
            side, self.glend.env if not i else None, self.servers[i].pid,
            self.glend.pid if not i else None, self.load_cpus, size, conns))
            for i, side in enumerate(self.links)]

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        return self.stack.__exit__(*problem)


def compare_links(stage, size, conns, rounds, slice_s):
    """Slices (over the switch, over memory) in turns."""
    with contextlib.ExitStack() as stack:
        loads = stage.loads(stack, size, conns)
        return [tuple(load.turn(slice_s) for load in loads)
                for _ in range(rounds)]


def ratio_of(slices, what="requests", of="cpu_ns"):
    return Ratio([tuple(s[what] / s[of] * 1e9 for s in pair)
                  for pair in slices])


@scene("httpd")
def httpd(options):
    try:
        binary("glen-httpd")
    except FileNotFoundError as why:
        raise Skip("needs lwIP (package liblwip-dev)") from why
    for layout in LAYOUTS:
        with Stage(layout) as stage:
            for size, conns in SIZES if not layout else SIZES[::2]:
                slices = compare_links(stage, size, conns, options.pairs,
                                       options.slice_ms / 1e3)
                wall = ratio_of(slices, of="time_ns")
                gbit = ratio_of(slices, "bytes", "time_ns")
                yield Result(
                    f"httpd-{size_name(size)}{layout}", ratio_of(slices),
                    f"glen-httpd over glend, {size} B, {conns} connections",
                    "the same stacks over bare memory",
                    0.8 if not layout else None,
                    unit="requests/processor-second", invert=False,
                    note=f"{wall.value:.0f} and {wall.reference:.0f} "
                         f"requests/s, {gbit.value * 8e-9:.2f} and "
                         f"{gbit.reference * 8e-9:.2f} Gbit/s")


# Beside nginx

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 80; root {folder}/site; }}
}}
"""
WRK_S, WRK_CONNECTIONS = 1, 32
FAVOURED = ["nice", "-n", str(pairs.NICE)]


def start_nginx(ns, folder):
    conf = os.path.join(folder, "nginx.conf")
    with open(conf, "w", encoding="ascii") as file:
        file.write(NGINX.format(folder=folder))
    ns.popen([*FAVOURED, "nginx", "-p", folder, "-c", conf], stderr=subprocess.DEVNULL)


def bridged(stack, address, server):
    """Namespaces of client and server, joined by a bridge and veth."""
    mid, a, b = (stack.enter_context(contextlib.closing(Netns().no_ipv6()))
                 for _ in range(3))
    mid.run("ip link add br0 type bridge")
    mid.run("ip link set br0 up")
    for ns, port, addr in ((a, "toa", address), (b, "tob", server)):
        mid.run(f"ip link add {port} type veth peer name eth0 "
                f"netns {ns.name}")
        mid.run(f"ip link set {port} master br0 up")
        ns.run(f"ip addr add {addr}/24 dev eth0")
        ns.run("ip link set eth0 up")
    return a, b


def tapped(stack, glend, switch, port, address):
    """A namespace behind a TAP port."""
    ns = stack.enter_context(contextlib.closing(Netns().no_ipv6()))
    glend.rpc("port.add", port=f"{switch}:{port}", driver="tap",
              netns=ns.name, ifname="eth0", address=f"{address}/24")
    return ns


def wrk(ns, size):
    text = ns.run([*FAVOURED, "wrk", "-t1", f"-c{WRK_CONNECTIONS}", f"-d{WRK_S}s",
                   f"http://{SERVER}/{size}"])
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    return float(re.search(r"Requests/sec: +([0-9.]+)", text)[1])


def nginx_sides(stack):
    """[(client's namespace, name)]: glen-httpd first, then both nginx."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(
        prefix="glen-bench-"))
    os.chmod(folder, 0o755)
    os.mkdir(f"{folder}/site")
    for size, _ in SIZES:
        with open(f"{folder}/site/{size}", "wb") as file:
            file.write(os.urandom(size))
    glend = stack.enter_context(private_glend())
    pairs.favour(glend.pid, blocks=True)
    glend.rpc("switch.add", switch="t", module="tuple3",
              options={"default": "host"})
    sides = [(tapped(stack, glend, "t", "host", CLIENT), "glen-httpd"),
             (tapped(stack, glend, "l", "a", CLIENT),
              "nginx behind a TAP port of the same glend")]
    start_nginx(tapped(stack, glend, "l", "b", SERVER), folder)
    a, b = bridged(stack, CLIENT, SERVER)
    os.mkdir(f"{folder}/2")
    os.symlink(f"{folder}/site", f"{folder}/2/site")
    start_nginx(b, f"{folder}/2")
    sides.append((a, "nginx, Linux bridge + veth"))
    server = program("glen-httpd", "--attach", "t:www", "--address", SERVER,
                     "--root", f"{folder}/site", cpus={0, 1}, env=glend.env,
                     stdout=subprocess.PIPE)
    stack.callback(server.wait)
    stack.callback(server.kill)
    if not server.stdout.readline():
        raise RuntimeError("glen-httpd did not start")
    for ns, name in sides:
        wait_until(lambda ns=ns: "HTTP/1.1 200" in ns.run(
            ["curl", "-sI", "-m", "2", f"http://{SERVER}/64"], check=False),
            30, name)
    return sides


@scene("httpd-nginx")
def httpd_nginx(options):
    why = why_no_root() or why_missing("wrk", "nginx", "curl")
    if why:
        raise Skip(why)
    with contextlib.ExitStack() as stack:
        sides = nginx_sides(stack)
        for size, _ in SIZES:
            rounds = [[wrk(ns, size) for ns, _ in sides]
                      for _ in range(max(options.pairs // 10, 5))]
            for i in (1, 2):
                ratio = Ratio([(r[0], r[i]) for r in rounds])
                gbit = [x * size * 8e-9
                        for x in (ratio.value, ratio.reference)]
                yield Result(
                    f"httpd-nginx-{size_name(size)}" + ("-tap" if i == 1
                                                        else ""), ratio,
                    f"wrk over a TAP port to glen-httpd, {size} B",
                    sides[i][1], unit="requests/s", invert=False,
                    slice_ms=WRK_S * 1000,
                    note=f"{gbit[0]:.2f} and {gbit[1]:.2f} Gbit/s")
