# SPDX-License-Identifier: BSD-2-Clause
# vhost_sides.py - the programs of the vhost benchmarks: switches and guests.
"""
A Client is a dpdk-testpmd with virtio-user ports on processor 1, in the place
of guests. A switch (GlenSwitch, OvsSwitch, IoSwitch) runs on processor 0 and
connects to the sockets at which its client listens. Switches that are not
being measured are stopped with SIGSTOP, so that they do not poll beside the
one that is.

    switch.connect(paths)       the client listens there, or will
    switch.wait_ready()         once the client has come up
    switch.learned()            it has seen a packet of every port
    switch.counters()           (packets that came in, busy cycles), so far
    switch.pause(), resume()
"""
import functools
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import time

from glen import Glend, wait_until
import pairs

OVS_VSWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
OVS_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
PROMPT = b"testpmd> "
START_S = 30        # DPDK programs zero their memory when they start
BURST = 32          # packets that testpmd sends at a time
MBUFS_PER_PORT = 4096
MBUF_SIZE = 2176
TSO_FRAMES = 16     # that circulate in each direction; 33 descriptors each
TSO_SEGMENT = 1448
TSO_FRAME = 45 * TSO_SEGMENT + 54


def address(port):
    """The MAC address of a client's port."""
    return f"02:00:00:00:00:{port + 1:02x}"


def number(pattern, text):
    """The number behind the last place that pattern matches."""
    found = re.findall(pattern + r"(\d+)", text)
    if not found:
        raise RuntimeError(f"no '{pattern}' in:\n{text}")
    return int(found[-1])


class Process:
    """A program that ends with the object."""

    def __init__(self, argv, env=None, **kwargs):
        self.process = subprocess.Popen(
            argv, env={**os.environ, **(env or {})},
            preexec_fn=functools.partial(pairs.child, blocks=True),
            **kwargs)

    @property
    def pid(self):
        return self.process.pid

    def close(self):
        pairs.demote(self.pid)
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()


class Testpmd(Process):
    """A dpdk-testpmd; its one forwarding thread runs on processor cpu."""

    def __init__(self, folder, name, cpu, vdevs, args, n_ports, prefix=()):
        run = os.path.join(folder, name)
        os.mkdir(run)
        argv = [*prefix, "stdbuf", "-oL", "dpdk-testpmd",
                "--lcores", f"0@{min(1, os.cpu_count() - 1)},1@{cpu}",
                "--main-lcore", "0", "--no-huge", "-m", "512", "--no-pci",
                "--no-telemetry", "--file-prefix", name]
        for vdev in vdevs:
            argv += ["--vdev", vdev]
        argv += ["--", "-i", "--disable-device-start", "--no-flush-rx", *args,
                 f"--total-num-mbufs={MBUFS_PER_PORT * n_ports}"]
        super().__init__(argv, env={"RUNTIME_DIRECTORY": run},
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT)
        self.n_ports = n_ports
        self.data = b""

    def configure(self):
        """What is to be set before ports are started."""

    def start_ports(self):
        """Starts its ports, once it is there."""
        text = self.answer()
        self.configure()
        text += self.command("port start all")
        n = len(re.findall(r"^Port \d+: [0-9A-F:]{17}", text, re.M))
        if n != self.n_ports:
            raise RuntimeError(f"testpmd has {n} ports, not {self.n_ports}:\n"
                               f"{text}")

    def answer(self):
        """All it says until it waits for a command."""
        out = self.process.stdout.fileno()
        while PROMPT not in self.data:
            if not select.select([out], [], [], START_S)[0]:
                raise TimeoutError(f"testpmd hangs: {self.data.decode()}")
            data = os.read(out, 1 << 16)
            if not data:
                raise RuntimeError(f"testpmd ended: {self.data.decode()}")
            self.data += data
        text, _, self.data = self.data.partition(PROMPT)
        return text.decode(errors="replace")

    def command(self, text):
        """What it answers to a command."""
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()


class Kind:
    """What traffic it is, and over what ports."""

    def __init__(self, frame=64, n_pairs=1, packed=False, tso=False,
                 slots=None):
        self.frame = TSO_FRAME if tso else frame
        self.n_ports = 2 * n_pairs
        self.packed, self.tso = packed, tso
        self.slots = slots or 1024

    def text(self):
        pairs_ = f", {self.n_ports // 2} pairs" if self.n_ports > 2 else ""
        return (f"{'packed' if self.packed else 'split'} rings{pairs_}, "
                f"{'TSO ' if self.tso else ''}{self.frame} B")


class Client(Testpmd):
    """
    Ports 0 and 1, 2 and 3, ... are pairs. What arrives at one of a pair is
    sent again by the other, so after seed() a constant number of packets goes
    round both ways while the client runs, and waits in rings while it does not.
    """

    def __init__(self, folder, name, kind):
        self.kind = kind
        self.paths = [os.path.join(folder, f"{name}{i}")
                      for i in range(kind.n_ports)]
        options = f"queue_size={kind.slots},packed_vq={int(kind.packed)}"
        vdevs = [f"net_virtio_user{i},path={path},server=1,mac={address(i)},"
                 f"{options}" for i, path in enumerate(self.paths)]
        args = [f"--txd={kind.slots}", f"--rxd={kind.slots}"]
        args += [f"--eth-peer={i},{address(i ^ 1)}"
                 for i in range(kind.n_ports)]
        n_ports = kind.n_ports
        if kind.tso:    # these two are where the first frames come from
            for i in range(2):
                path = os.path.join(folder, f"{name}{i}.pcap")
                tso_pcap_write(path, i)
                vdevs.append(f"net_pcap{i},rx_pcap={path},tx_pcap=/dev/null")
            n_ports += 2
        super().__init__(folder, name, min(1, os.cpu_count() - 1), vdevs,
                         args, n_ports)
        self.seeds = 0      # packets that were sent to go round
        self.dropped = 0    # packets that it could not send again

    def learn(self):
        """Each port sends a little that nobody sends again."""
        self.command("set fwd rxonly")
        if self.kind.tso:
            self.command("set portlist 0,1")
        self.command("start tx_first 1")
        wait_until(lambda: self.passed_on("RX") >= self.kind.n_ports * BURST,
                   what="packets of all ports to arrive")
        self.stop()
        self.drain()

    def passed_on(self, way):
        """Packets received (RX) or sent (TX) since start()."""
        text = self.command("show fwd stats all").rpartition("Accumulated")[2]
        return number(rf"{way}-packets: +", text)

    def configure(self):
        if not self.kind.tso:
            return
        for i in range(self.kind.n_ports):
            self.command(f"port config {i} rx_offload tcp_lro on")
            self.command(f"port config {i} rx_offload tcp_cksum on")
            self.command(f"port config {i} tx_offload multi_segs on")
            self.command(f"csum set tcp hw {i}")
            self.command(f"tso set {TSO_SEGMENT} {i}")

    def seed(self):
        """From here on packets go round."""
        if self.kind.tso:
            self.seed_tso()
            return
        self.command(f"set txpkts {self.kind.frame}")
        self.command("set fwd io")
        bursts = max(self.kind.slots // BURST // 2, 1)
        self.command(f"start tx_first {bursts}")
        self.stop()
        self.seeds = self.kind.n_ports * bursts * BURST

    def seed_tso(self):
        """Frames from files, sent with segmentation left to the receiver."""
        self.command("set fwd csum")
        self.command("set portlist 2,0,3,1")
        self.command("start")
        wait_until(lambda: self.passed_on("TX") == self.kind.n_ports *
                   TSO_FRAMES, what="frames from files")
        self.stop()
        self.command("set portlist 0,1")
        self.seeds = self.kind.n_ports * TSO_FRAMES

    def start(self):
        self.command("start")

    def stop(self):
        """Packets that arrived since start()."""
        text = self.command("stop").rpartition("Accumulated")[2]
        self.dropped += number(r"TX-dropped: +", text)
        return number(r"RX-packets: +", text)

    def promote(self):
        """
        Its main thread spins until the other, on processor 1, has stopped; if
        it goes before that one it must do so elsewhere.
        """
        pairs.promote(self.pid)
        if pairs.realtime:
            os.sched_setaffinity(self.pid, {0})

    def drain(self):
        """Takes all packets that are on their way; how many there were."""
        self.command("set fwd rxonly")
        left = 0
        while True:
            self.start()
            time.sleep(0.05)
            n = self.stop()
            left += n
            if not n:
                return left

    def lost(self):
        """Of the packets that went round, how many do not any more."""
        left = self.drain()
        if left > self.seeds:
            raise RuntimeError(f"{left} packets went round, but only "
                               f"{self.seeds} were sent")
        return self.seeds - left


def tso_pcap_write(path, port):
    """A file of TSO_FRAMES TCP frames from a port to the other of its pair."""
    pair = [bytes.fromhex(address(i).replace(":", "")) for i in (0, 1)]
    ips = [bytes([10, 0, 0, i + 1]) for i in (0, 1)]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, TSO_FRAME - 14, 0, 0x4000, 64,
                     6, 0, ips[port], ips[port ^ 1])
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xffff) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~total & 0xffff) + ip[12:]
    tcp = struct.pack("!HHIIBBHHH", 1000, 2000, 1, 1, 0x50, 0x10, 65535, 0, 0)
    frame = (pair[port ^ 1] + pair[port] + b"\x08\x00" + ip + tcp +
             bytes(TSO_FRAME - 54))
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 1 << 18, 1))
        for i in range(TSO_FRAMES):
            f.write(struct.pack("<IIII", 0, i, TSO_FRAME, TSO_FRAME) + frame)


class Switch:
    """What they have in common; self.pid is the one to stop."""

    def learned(self):
        """It has seen a packet of every port."""

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)


class GlenSwitch(Switch):
    """A glend whose only worker is pinned."""

    name = "glend"

    def __init__(self, ghz):
        self.ghz = ghz      # of the time-stamp counter
        self.glend = Glend(workers=1, args=["--log-level", "warning",
                                            "--cpus", "0"])
        pairs.favour(self.glend.pid, blocks=True)
        self.pid = self.glend.pid
        self.ports = []

    def connect(self, paths):
        for i, path in enumerate(paths):
            self.ports.append(f"vm:p{i}")
            self.glend.rpc("port.add", port=self.ports[-1],
                           driver="vhost-user", path=path, mode="client",
                           queues=1)

    def wait_ready(self):
        wait_until(lambda: all(p["link"]
                               for p in self.glend.rpc("port.list")),
                   timeout=START_S, what="links of glend's ports")

    def counters(self):
        worker = self.glend.rpc("status")["workers"][0]
        return worker["packets"], worker["busy_ns"] * self.ghz

    def close(self):
        pairs.demote(self.glend.pid)
        self.glend.kill9()
        self.glend.stop(check=False)


class OvsSwitch(Switch):
    """An Open vSwitch of our own with DPDK: one bridge, one thread."""

    name = "OVS-DPDK"

    def __init__(self, folder, tso=False):
        self.dir = os.path.join(folder, "ovs")
        os.mkdir(self.dir)
        self.env = {key: self.dir for key in (
            "OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR",
            "RUNTIME_DIRECTORY")}
        self.db = f"unix:{self.dir}/db.sock"
        self.control = f"{self.dir}/vswitchd.ctl"
        self.processes = []
        self.n_ports = 0
        self.run("ovsdb-tool", "create", f"{self.dir}/conf.db", OVS_SCHEMA)
        self.start("ovsdb-server", f"{self.dir}/conf.db", "--no-chdir",
                   f"--remote=p{self.db}",
                   f"--unixctl={self.dir}/ovsdb.ctl")
        wait_until(lambda: os.path.exists(f"{self.dir}/db.sock"),
                   what="socket of ovsdb-server")
        memory = "--no-huge --legacy-mem -m 1024 --no-pci --no-telemetry"
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".",
                   *(f"other_config:{setting}" for setting in (
                       "dpdk-init=true", "pmd-cpu-mask=0x1",
                       f"dpdk-lcore-mask={min(2, os.cpu_count())}",
                       "per-port-memory=true",
                       f"userspace-tso-enable={str(tso).lower()}",
                       f'dpdk-extra="{memory} --file-prefix=ovs"')))
        # It makes interfaces whose names every Open vSwitch uses.
        self.pid = self.start("unshare", "--net", OVS_VSWITCHD, self.db, "--no-chdir",
                              f"--unixctl={self.control}")
        self.vsctl("add-br", "br0", "--", "set", "Bridge", "br0",
                   "datapath_type=netdev",
                   "other_config:mac-aging-time=3600")

    def start(self, *argv):
        """Starts a daemon; its pid."""
        with open(f"{self.dir}/log", "ab") as log:
            self.processes.append(Process(argv, env=self.env,
                                          stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log))
        return self.processes[-1].pid

    def run(self, *argv):
        done = subprocess.run(argv, env={**os.environ, **self.env}, text=True,
                              stdout=subprocess.PIPE, timeout=2 * START_S,
                              stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            with open(f"{self.dir}/log", errors="replace") as log:
                tail = log.read()[-2000:]
            raise RuntimeError(f"{' '.join(argv)}: {done.stdout}\n{tail}")

    def vsctl(self, *argv):
        self.run("ovs-vsctl", "--timeout=30", f"--db={self.db}", *argv)

    def connect(self, paths):
        for i, path in enumerate(paths):
            self.vsctl("add-port", "br0", f"v{i}", "--", "set", "Interface",
                       f"v{i}", "type=dpdkvhostuserclient",
                       f"options:vhost-server-path={path}",
                       f"ofport_request={i + 1}")
        self.n_ports = len(paths)
        self.normal()

    def learned(self):
        self.direct()

    def flows(self, *flows):
        """Replaces all flows, those that are in use already included."""
        path = f"{self.dir}/flows"
        with open(path, "w", encoding="ascii") as f:
            f.writelines(f"{flow}\n" for flow in flows)
        self.run("ovs-ofctl", "replace-flows", f"unix:{self.dir}/br0.mgmt",
                 path)
        self.appctl("revalidator/wait")

    def direct(self):
        """What comes from one of a pair goes to the other."""
        self.flows(*(f"in_port={i + 1},actions=output:{(i ^ 1) + 1}"
                     for i in range(self.n_ports)))

    def normal(self):
        """A switch that learns addresses."""
        self.flows("actions=NORMAL")

    def appctl(self, command):
        """What ovs-appctl would print, without starting a program."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(START_S)
            sock.connect(self.control)
            sock.sendall(json.dumps({"id": 0, "method": command,
                                     "params": []}).encode())
            data = b""
            while True:
                part = sock.recv(1 << 16)
                if not part:
                    raise ConnectionError(f"Open vSwitch hung up: {data!r}")
                data += part
                try:
                    return json.loads(data)["result"]
                except ValueError:
                    continue

    def wait_ready(self):
        wait_until(lambda: self.appctl("dpif-netdev/pmd-rxq-show").count(
            "(enabled)") == self.n_ports, timeout=START_S,
                   what="ports of Open vSwitch")

    def counters(self):
        text = self.appctl("dpif-netdev/pmd-stats-show")
        text = text.partition("main thread")[0]
        return (number("packets received: ", text),
                number("processing cycles: ", text))

    def close(self):
        for process in reversed(self.processes):
            process.close()


class IoSwitch(Switch):
    """dpdk-testpmd that passes packets on between vhost ports."""

    name = "testpmd io"

    def __init__(self, folder, n_ports, tso=False):
        self.folder, self.n_ports, self.tso = folder, n_ports, tso
        self.testpmd = None

    @property
    def pid(self):
        return self.testpmd.pid

    def connect(self, paths):
        vdevs = [f"net_vhost{i},iface={path},client=1,tso={int(self.tso)}"
                 for i, path in enumerate(paths)]
        self.testpmd = Testpmd(self.folder, "io", 0, vdevs,
                               ["--record-core-cycles"], self.n_ports)
        self.testpmd.start_ports()

    def wait_ready(self):
        wait_until(lambda: len(re.findall(
            r"\bup\b", self.testpmd.command("show port summary all"))) ==
            self.n_ports, timeout=START_S, what="links of testpmd's ports")
        self.testpmd.command("start")

    def counters(self):
        text = self.testpmd.command("show fwd stats all")
        packets = number(r"RX-packets: +",
                         text.rpartition("Accumulated")[2])
        return packets, number("total cycles=", text) if packets else 0

    def close(self):
        if self.testpmd:
            self.testpmd.close()
