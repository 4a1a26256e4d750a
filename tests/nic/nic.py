# SPDX-License-Identifier: BSD-2-Clause
# nic.py - stations behind veths whose other ends glend takes.
"""
A station is a namespace with an interface "eth"; its veth's other end, named
after the station, lies in a namespace for the switch, where glend attaches to
it:

    a: eth 10.0.0.1 ---- x1 \\
                             sw0     (x1, x2 in the switch's namespace)
    b: eth 10.0.0.2 ---- x2 /
"""
import contextlib
import json
import shutil
import socket
import subprocess

from glen import wait_until


class Bed:
    """Stations made by station(); ports on the other ends by port()."""

    def __init__(self, glend, netns):
        self.glend = glend
        self.make = netns
        self.sw = netns().no_ipv6()
        self.stations = []

    def station(self, mtu=1500, queues=1, ipv6=False):
        """A namespace with interface eth, 10.0.0.N, fd00::N; .far is the
        name of the other end."""
        n = len(self.stations) + 1
        ns = self.make()
        if not ipv6:
            ns.no_ipv6()
        ns.far = f"x{n}"
        ns.ip = f"10.0.0.{n}"
        ns.ip6 = f"fd00::{n}"
        of_queues = f"numrxqueues {queues} numtxqueues {queues}"
        self.sw.run(f"ip link add {ns.far} mtu {mtu} {of_queues} type veth "
                    f"peer name eth mtu {mtu} {of_queues} netns {ns.name}")
        self.sw.run(f"ip link set dev {ns.far} up")
        ns.run("ip link set dev eth up")
        if queues > 1:
            self.sw.run(f"ethtool -L {ns.far} rx {queues} tx {queues}")
            ns.run(f"ethtool -L eth rx {queues} tx {queues}")
        ns.run(f"ip addr add {ns.ip}/24 dev eth")
        if ipv6:
            ns.run(f"ip addr add {ns.ip6}/64 dev eth nodad")
        ns.mac = ns.links()["eth"]["address"]
        self.stations.append(ns)
        return ns

    def port(self, ns, driver="xdp", **options):
        """A port of glend on the other end of a station's veth."""
        return self.glend.rpc("port.add", port=f"sw0:{ns.far}", driver=driver,
                              netns=self.sw.name, **options)

    def two(self, station=None, **options):
        """Two stations with ports alike."""
        pair = [self.station(**(station or {})) for _ in range(2)]
        for ns in pair:
            self.port(ns, **options)
        return pair

    def show(self, ns):
        return self.glend.rpc("port.show", port=f"sw0:{ns.far}")

    def xdp_of(self, ns):
        """The XDP program on the other end, as ip(8) tells; None: none."""
        link = json.loads(self.sw.run(f"ip -j -d link show dev {ns.far}"))[0]
        return link.get("xdp")


def unreachable(ns, address):
    text = ns.run(["ping", "-c", "2", "-i", "0.05", "-W", "0.3", address],
                  check=False)
    return " 100% packet loss" in text


def tcp(a, b, address, size=4 << 20, seed=b"glen"):
    """Sends bytes from a to b by TCP and compares what arrives."""
    import hashlib
    want = hashlib.shake_128(seed).digest(1 << 16) * (size >> 16)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def listen():
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.bind((address, 0))
        sock.listen(1)
        sock.settimeout(60)
        return sock

    listener = b.call(listen)
    out = a.call(lambda: socket.socket(family, socket.SOCK_STREAM))
    out.settimeout(60)
    import threading
    got = bytearray()

    def receive():
        with contextlib.suppress(OSError):
            conn, _ = listener.accept()
            conn.settimeout(60)
            while data := conn.recv(1 << 16):
                got.extend(data)
            conn.close()

    thread = threading.Thread(target=receive)
    thread.start()
    try:
        out.connect(listener.getsockname()[:2])
        out.sendall(want)
    finally:
        out.close()
        thread.join()
        listener.close()
    assert bytes(got) == want, f"{len(got)} of {len(want)} bytes are right"


def why_not():
    """None if AF_XDP works here, else the reason to skip."""
    try:
        socket.socket(44, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return "needs CAP_NET_RAW"
    except OSError:
        return "needs a kernel with AF_XDP"
    if not shutil.which("ethtool"):
        return "needs ethtool"
    return None


def settled(bed, ns, **want):
    """Waits until port.show has these values."""
    def same():
        show = bed.show(ns)
        return all(show.get(k) == v for k, v in want.items()) and show

    return wait_until(same, what=f"port of {ns.far}: {want}")


def run_ok(*command):
    return subprocess.run(command, check=False,
                          capture_output=True).returncode == 0
