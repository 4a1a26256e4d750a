# SPDX-License-Identifier: BSD-2-Clause
# vm.py - QEMU guests for tests: boot, run commands, QMP, migrate, kill.
"""
    with Rig() as rig:
        a, b = rig.guest(1), rig.guest(2)
        a.up()
        b.up()
        assert a.ping(b.ip) == 0

A Rig is a private glend with one switch, sw0; guest N is on its port vmN.

Guests run under TCG, so that no KVM is needed; they are slow, and only what
they do counts, never how fast. Guest number N has the MAC 52:54:00:00:00:NN
and, once up() has set its interface, the addresses 10.9.0.N and fd09::N.

Kernel and initramfs come from scripts/guest-image. A guest is driven through
its second serial port, where tests/vm/guest.c answers; the first one is its
console and goes to a file. Both of QEMU's sockets connect to us, who listen
before it starts: there is nothing to wait for and nothing to miss.

The folder of a guest goes away with it unless GLEN_KEEP is set. `alive` has
all guests that run; tests/vm/conftest.py shows their consoles after a failure.
"""
import atexit
import contextlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time

from glen import BUILD, SOURCE, Glend, die_with_parent, wait_until

QEMU = "qemu-system-x86_64"
BOOT_TIMEOUT = 200.0
RUN_TIMEOUT = 120.0
# Debian's QEMU 7.2 crashes when vhost-user uses MSI-X under TCG: INTx it is.
NO_MSIX = "vectors=0"
# On a busy machine the guest would miss ticks of the timer that it tries out,
# and panic; with memory slots it would set 64 MiB aside for DMA below 4 GiB.
# And it would fill new pages with zeros, which makes them dirty for a migration
# even if nobody says that glend wrote to them later.
KERNEL_ARGS = ("console=ttyS0 quiet panic=-1 no_timer_check nowatchdog "
               "swiotlb=noforce init_on_alloc=0")

alive = []


def why_not():
    """None if guests can run here, else the reason to skip."""
    if not shutil.which(QEMU):
        return f"needs {QEMU} (package qemu-system-x86)"
    done = subprocess.run([os.path.join(SOURCE, "scripts", "guest-image"),
                           BUILD], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode == 77:
        return done.stdout.strip()
    assert done.returncode == 0, done.stdout
    return None


def mac_of(number):
    return f"52:54:00:00:00:{number:02x}"


# What to attach: functions that return a function of the guest's number,
# which returns QEMU's arguments.

def options(**given):
    """{"guest_tso4": False} as ",guest_tso4=off"."""
    return "".join(
        f",{k}={('on' if v else 'off') if isinstance(v, bool) else v}"
        for k, v in given.items())


def vhost_user(path, role="client", queues=1, **device):
    """role: QEMU's side of the socket. device: options of virtio-net-pci."""
    chardev = f"socket,id=c0,path={path}"
    chardev += (",reconnect=1" if role == "client" else ",server=on,wait=off")
    if queues > 1:
        device["mq"] = True
    return lambda number: [
        "-chardev", chardev,
        "-netdev", f"vhost-user,id=n0,chardev=c0,queues={queues}",
        "-device", nic("virtio-net-pci," + NO_MSIX, number, **device)]


def nic(model, number, **device):
    """The -device argument; the root port is what makes it removable."""
    return (f"{model},id=nic0,netdev=n0,mac={mac_of(number)},bus=rp0,romfile="
            + options(**device))


def stream(path, model, server=False):
    """QEMU's -netdev stream: frames with a length over a Unix socket."""
    return lambda number: [
        "-netdev", f"stream,id=n0{options(server=server)},addr.type=unix,"
                   f"addr.path={path}",
        "-device", nic(model, number)]


def dgram(local, remote, model):
    """QEMU's -netdev dgram: a frame per datagram between two sockets."""
    return lambda number: [
        "-netdev", f"dgram,id=n0,local.type=unix,local.path={local},"
                   f"remote.type=unix,remote.path={remote}",
        "-device", nic(model, number)]


def no_nic():
    """For a guest that gets its interface later."""
    return lambda number: []


class Line:
    """A connection that QEMU makes to us, read with timeouts."""

    def __init__(self, path):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(1)
        self.sock = None
        self.data = b""

    def accept(self, process, timeout):
        """Waits for QEMU, but not if it has ended."""
        def came():
            with contextlib.suppress(BlockingIOError):
                self.sock = self.listener.accept()[0]
            if process.poll() is not None:
                raise ConnectionError(f"exit {process.returncode}")
            return self.sock

        self.listener.setblocking(False)
        wait_until(came, timeout, self.path)
        self.listener.close()

    def more(self, deadline):
        self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
        data = self.sock.recv(1 << 16)
        if not data:
            raise ConnectionError(f"{self.path}: QEMU hung up")
        self.data += data

    def line(self, deadline):
        while b"\n" not in self.data:
            self.more(deadline)
        line, self.data = self.data.split(b"\n", 1)
        return line

    def take(self, size, deadline):
        while len(self.data) < size:
            self.more(deadline)
        data, self.data = self.data[:size], self.data[size:]
        return data

    def send(self, data):
        self.sock.settimeout(RUN_TIMEOUT)
        self.sock.sendall(data)

    def close(self):
        self.listener.close()
        if self.sock:
            self.sock.close()


class Qmp:
    """QEMU's control connection."""

    def __init__(self, line):
        self.line = line
        self.events = []

    def read(self, deadline):
        return json.loads(self.line.line(deadline))

    def greet(self):
        assert "QMP" in self.read(time.monotonic() + BOOT_TIMEOUT)
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        """Runs a command; names with - are written with _."""
        arguments = {k.replace("_", "-"): v for k, v in arguments.items()}
        self.line.send(json.dumps({"execute": command,
                                   "arguments": arguments}).encode())
        deadline = time.monotonic() + RUN_TIMEOUT
        while True:
            reply = self.read(deadline)
            if "event" in reply:
                self.events.append(reply)
                continue
            assert "error" not in reply, f"{command} {arguments}: {reply}"
            return reply["return"]

    def wait(self, event, timeout=60.0, **data):
        """Waits for an event with these data and forgets those before it."""
        deadline = time.monotonic() + timeout
        while True:
            while self.events:
                got = self.events.pop(0)
                if (got["event"] == event and
                        data.items() <= got.get("data", {}).items()):
                    return got
            self.events.append(self.read(deadline))


class Job:
    """A command that runs in the background of a guest."""

    count = 0

    def __init__(self, guest, command):
        Job.count += 1
        self.guest = guest
        self.command = command
        self.base = f"/tmp/job{Job.count}"
        inner = f"{command}\necho $? >{self.base}.new"
        guest.run(f"({inner}; mv {self.base}.new {self.base}.rc) "
                  f">{self.base}.out 2>&1 &")

    def output(self, guest=None):
        return (guest or self.guest).run(f"cat {self.base}.out")

    def wait(self, guest=None, timeout=RUN_TIMEOUT, check=True):
        """
        Its output once it has ended. guest: where it is now, if its guest has
        been migrated.
        """
        guest = guest or self.guest

        def ended():
            return guest.run(f"cat {self.base}.rc 2>/dev/null",
                             check=False).strip()

        try:
            code = wait_until(ended, timeout, self.command)
        except TimeoutError as error:
            raise AssertionError(f"{guest.name}: {error}\n"
                                 f"{self.output(guest)}") from None
        text = self.output(guest)
        assert not check or code == "0", (
            f"{guest.name}: {self.command}: exit {code}\n{text}")
        return text


class Guest:
    """
    One QEMU. memory in MiB, by 1/128; slots: how many DIMMs may be plugged
    in; shared: whether its memory can be mapped by others, None: attach says
    where it lies; reboots: whether a reboot starts it again; incoming: wait
    for a migration; args: more arguments.
    """

    def __init__(self, number, attach, memory=96, smp=1, slots=0,
                 kernel="cloud", shared=True, reboots=False, incoming=False,
                 args=()):
        self.number = number
        self.name = f"guest {number}"
        self.ip, self.ip6 = f"10.9.0.{number}", f"fd09::{number:x}"
        self.mac = mac_of(number)
        self.dir = tempfile.mkdtemp(prefix="glen-vm-")
        self.console = os.path.join(self.dir, "console")
        self.agent = Line(os.path.join(self.dir, "agent"))
        control = Line(os.path.join(self.dir, "qmp"))
        self.qmp = Qmp(control)
        boot = os.path.join(BUILD, "guest", kernel)
        size = f"{int(memory * 1024)}K"
        self.argv = [
            QEMU, "-accel", "tcg", "-M", "q35", "-smp", str(smp), "-m",
            size + (f",slots={slots},maxmem=1G" if slots else ""),
            "-nodefaults", "-no-user-config", "-display", "none",
            "-serial", f"file:{self.console}",
            "-chardev", f"socket,id=agent,path={self.agent.path}",
            "-serial", "chardev:agent",
            "-chardev", f"socket,id=qmp,path={control.path}",
            "-mon", "chardev=qmp,mode=control",
            "-device", "pcie-root-port,id=rp0,chassis=1,slot=1",
            "-kernel", os.path.join(boot, "vmlinuz"),
            "-initrd", os.path.join(boot, "initrd"),
            "-append", KERNEL_ARGS,
            *attach(number), *args]
        if shared is not None:
            self.argv += ["-machine", "memory-backend=mem", "-object",
                          f"memory-backend-memfd,id=mem,size={size}"
                          + options(share=shared)]
        if not reboots:
            self.argv.append("-no-reboot")
        if incoming:
            self.argv += ["-incoming", "defer"]
        self.incoming = incoming
        atexit.register(self.close)
        alive.append(self)
        with open(os.path.join(self.dir, "stderr"), "wb") as errors:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=errors,
                stderr=errors, preexec_fn=die_with_parent)
        self.accept()

    def accept(self):
        try:
            for line in (self.agent, self.qmp.line):
                line.accept(self.process, BOOT_TIMEOUT)
            self.qmp.greet()
        except (OSError, ConnectionError) as error:
            text = self.log()
            self.close()
            raise RuntimeError(f"QEMU did not start: {error}\n{text}") from None

    @property
    def pid(self):
        return self.process.pid

    # Commands

    def ready(self):
        """Waits until it has booted."""
        deadline = time.monotonic() + BOOT_TIMEOUT
        try:
            while self.agent.line(deadline) != b"READY":
                pass
        except (OSError, ConnectionError) as error:
            raise AssertionError(
                f"{self.name} did not boot: {error}\n{self.log()}") from None

    def up(self, mtu=None):
        """Waits until it has booted and sets its interface."""
        self.ready()
        self.configure(mtu)

    def configure(self, mtu=None):
        # Addresses given to a link that is not up yet stay tentative.
        self.run((f"ip link set eth0 mtu {mtu} && " if mtu else "")
                 + "ip link set eth0 up")
        self.wait_for("grep -q up /sys/class/net/eth0/operstate")
        self.run(f"ip addr add {self.ip}/24 dev eth0 && "
                 f"ip addr add {self.ip6}/64 dev eth0")
        self.wait_for("! ip -6 addr show dev eth0 | grep -q tentative")

    def send(self, command):
        """Starts a command without waiting for its answer."""
        data = command.encode()
        self.agent.send(b"%d\n%s" % (len(data), data))

    def run(self, command, check=True, timeout=RUN_TIMEOUT):
        """Runs a shell command and returns what it prints."""
        self.send(command)
        deadline = time.monotonic() + timeout
        try:
            word, status, size = self.agent.line(deadline).split()
            assert word == b"DONE"
            text = self.agent.take(int(size), deadline).decode(
                errors="replace")
        except (OSError, ConnectionError, ValueError) as error:
            raise AssertionError(f"{self.name}: {command}: {error!r}\n"
                                 f"{self.log()}") from None
        assert not check or int(status) == 0, (
            f"{self.name}: {command}: exit {int(status)}\n{text}")
        self.status = int(status)
        return text

    def start(self, command):
        """Runs a shell command in the background."""
        return Job(self, command)

    def wait_for(self, command, timeout=RUN_TIMEOUT):
        """Repeats a command until it succeeds; returns what it printed."""
        def works():
            text = self.run(command, check=False)
            return self.status == 0 and (text or True)

        return wait_until(works, timeout, f"{self.name}: {command}")

    # Traffic

    def ping(self, address, count=5, interval=0.05, size=None, wait=10):
        """Pings; how many answers were missing."""
        text = self.run(
            f"ping -q -c {count} -i {interval} -W {wait} "
            + (f"-s {size} " if size else "") + address, check=False,
            timeout=RUN_TIMEOUT + count * interval)
        return lost(text)

    def stream_to(self, other, address, size, port=5001):
        """Sends a checked TCP stream to another guest."""
        sink = other.start(f"guest sink {port}")
        sent = self.run(f"guest send {address} {port} {size}")
        got = sink.wait()
        assert int(sent) == int(got) == size

    def offload(self, value, *names):
        for name in names:
            self.run(f"guest offload eth0 {name} {value}")

    # Life

    def reset(self):
        """The reset button: starts anew at once, and waits for it."""
        self.qmp("system_reset")
        self.ready()

    def reboot(self):
        """
        Ends in order, starts anew, and waits for it. The interface goes down
        first: kernels that disable their devices when they end (Debian's since
        2025) may spin for ever in what they send after that.
        """
        self.run("ip link set eth0 down")
        self.send("reboot -f")
        self.ready()

    def kill9(self):
        """QEMU dies; the guest has no say."""
        self.process.kill()
        self.process.wait()
        self.close()

    def log(self):
        """The end of its console and what QEMU said."""
        text = ""
        for name in ("console", "stderr"):
            with contextlib.suppress(FileNotFoundError), open(
                    os.path.join(self.dir, name), encoding="utf-8",
                    errors="replace") as file:
                text += f"--- {self.name}, {name}\n{file.read()[-4000:]}\n"
        return text

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self in alive:
            alive.remove(self)
        atexit.unregister(self.close)
        self.agent.close()
        self.qmp.line.close()
        if os.environ.get("GLEN_KEEP"):
            print(f"kept: {self.dir}: {shlex.join(self.argv)}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def lost(text):
    """How many packets the summary of a ping says were lost."""
    found = re.search(r"(\d+) packets transmitted, (\d+) (?:packets )?received",
                      text)
    assert found, f"this is not what ping prints:\n{text}"
    return int(found[1]) - int(found[2])


class Rig:
    """A glend and its guests; they end together."""

    name = "glend"

    def __init__(self, workers=1):
        self.glend = Glend(workers=workers)
        self.guests = []
        alive.append(self)

    def path(self, number):
        """The socket of guest NUMBER's port."""
        return os.path.join(self.glend.dir, f"vm{number}")

    def port(self, number, mode="server", **params):
        """Adds a guest's port; mode: glend's side of the socket."""
        name = f"sw0:vm{number}"
        self.glend.rpc("port.add", port=name, driver="vhost-user",
                       path=self.path(number), mode=mode, **params)
        return name

    def show(self, number):
        return self.glend.rpc("port.show", port=f"sw0:vm{number}")

    def stats(self, number, rings=False):
        """Of a guest's port; "in" is what the guest sent."""
        return self.glend.rpc("stats", port=f"sw0:vm{number}",
                              rings=rings)["ports"][0]

    def start(self, number, attach, **params):
        """Starts a guest attached to anything."""
        guest = Guest(number, attach, **params)
        self.guests.append(guest)
        return guest

    def guest(self, number, mode="server", port=None, **params):
        """
        Adds a port and starts a guest on it. port: its number, if it is not
        the guest's; the rest is as for again().
        """
        self.port(port or number, mode)
        return self.again(number, mode, port, **params)

    def again(self, number, mode="server", port=None, queues=1, nic=(),
              **params):
        """
        Starts a guest on a port that is there already. nic: options of its
        interface; the rest is as for Guest.
        """
        role = "client" if mode == "server" else "server"
        return self.start(number, vhost_user(self.path(port or number), role,
                                             queues, **dict(nic)), **params)

    def link(self, number, up, timeout=30.0):
        """Waits until the link of a guest's port is up or down."""
        wait_until(lambda: self.show(number)["link"] == up, timeout,
                   f"link of vm{number} {'up' if up else 'down'}")

    def log(self):
        return self.glend.log_text()

    def close(self, check=True):
        for guest in self.guests:
            guest.close()
        if self in alive:
            alive.remove(self)
        self.glend.stop(check=check)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(check=kind is None)
