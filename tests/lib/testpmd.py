# SPDX-License-Identifier: BSD-2-Clause
# testpmd.py - DPDK's testpmd with virtio-user ports, as a guest without a VM.
"""
    with Testpmd(VirtioUser(path_a), VirtioUser(path_b, packed=True)) as pmd:
        pmd.forward()
        ...
        pmd.stop()
        assert pmd.dropped() == 0

testpmd needs neither huge pages nor root. Its two ports are joined by "io"
forwarding, which sends a packet on as it is; with retries it waits for room and
drops nothing. It polls: one processor is busy as long as it forwards.

It is driven through a terminal, since it buffers what it writes to pipes. What
it prints is in .log.
"""
import contextlib
import glob
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time

from gen import cpus
from glen import die_with_parent

PROGRAM = "dpdk-testpmd"
PROMPT = b"testpmd> "
START_TIMEOUT = 60.0
RETRIES = 10**7         # of 1 us: far more than any test waits
MBUFS = 16384


def why_not():
    """None if testpmd can run here, else the reason to skip."""
    if not shutil.which(PROGRAM):
        return f"needs {PROGRAM} (package dpdk-dev)"
    if not glob.glob("/usr/lib/*/dpdk/pmds-*/librte_net_virtio.so*"):
        return "needs DPDK's net_virtio (package librte-net-virtio23)"
    return None


class VirtioUser:
    """
    One virtio-user port. server: it listens. The others are as DPDK names
    them; what glend does not offer is not negotiated.
    """

    def __init__(self, path, server=False, queues=1, packed=False,
                 mergeable=True, in_order=False, size=1024, **more):
        self.path = path
        self.server = server
        self.queues = queues
        self.size = size
        self.options = {"path": path, "queues": queues, "queue_size": size,
                        "packed_vq": int(packed), "mrg_rxbuf": int(mergeable),
                        "in_order": int(in_order), **more}
        if server:
            self.options["server"] = 1

    def argument(self, number):
        return f"net_virtio_user{number}," + ",".join(
            f"{name}={value}" for name, value in self.options.items())


class Testpmd:
    """
    A testpmd of our own, at its prompt. on: processors for the thread that
    forwards; any if not given. jumbo: the longest frame it has to take.
    """
    __test__ = False    # not pytest's

    def __init__(self, *ports, on=None, jumbo=0, args=()):
        self.dir = tempfile.mkdtemp(prefix="glen-pmd-")
        self.ports = ports
        for port in ports:
            if port.server:
                # One that was killed left it, and this one would not start.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(port.path)
        self.log = ""
        self.read = b""
        master, slave = pty.openpty()
        self.terminal = master
        try:
            self.process = subprocess.Popen(
                self.argv(on, jumbo, args), stdin=slave, stdout=slave,
                stderr=slave, env={**os.environ, "XDG_RUNTIME_DIR": self.dir},
                preexec_fn=die_with_parent)
        finally:
            os.close(slave)
        try:
            self.until_prompt(START_TIMEOUT)
            if len(re.findall(r"^Port \d+: ", self.log, re.M)) != len(ports):
                raise AssertionError(f"ports are missing:\n{self.log}")
        except BaseException:
            self.kill9()
            raise

    def argv(self, on, jumbo, args):
        anywhere = ",".join(map(str, cpus()))
        forwarding = ",".join(map(str, on)) if on else anywhere
        queues = self.ports[0].queues
        size = self.ports[0].size
        argv = [PROGRAM, "--lcores", f"0@({anywhere}),1@({forwarding})",
                "--no-huge", "-m", "192", "--no-pci", "--no-telemetry",
                "--file-prefix", os.path.basename(self.dir)]
        for number, port in enumerate(self.ports):
            argv += ["--vdev", port.argument(number)]
        argv += ["--", "-i", "--total-num-mbufs", str(MBUFS),
                 "--no-mlockall", "--rxq", str(queues), "--txq", str(queues),
                 "--rxd", str(size), "--txd", str(size)]
        if jumbo:
            argv += ["--max-pkt-len", str(jumbo), "--enable-scatter",
                     "--tx-offloads", "0x8000"]
        return [*argv, *args]

    @property
    def pid(self):
        return self.process.pid

    # Commands

    def until_prompt(self, timeout):
        """Reads to the next prompt and returns what came before it."""
        deadline = time.monotonic() + timeout
        while PROMPT not in self.read:
            left = deadline - time.monotonic()
            ready = select.select([self.terminal], [], [], max(left, 0))[0]
            if not ready:
                raise TimeoutError(f"testpmd: no prompt:\n{self.log}"
                                   + self.read.decode(errors="replace"))
            try:
                data = os.read(self.terminal, 1 << 16)
            except OSError:     # EIO: nobody has the terminal open any more
                data = b""
            if not data:
                self.process.wait()
                raise RuntimeError(
                    f"testpmd ended with {self.process.returncode}:\n"
                    f"{self.log}{self.read.decode(errors='replace')}")
            self.read += data
        text, self.read = self.read.split(PROMPT, 1)
        text = text.decode(errors="replace").replace("\r", "")
        self.log += text
        return text

    def command(self, line, timeout=30.0):
        """Runs a command and returns what it prints."""
        os.write(self.terminal, line.encode() + b"\n")
        text = self.until_prompt(timeout)
        for wrong in ("Bad arguments", "Command not found",
                      "Ambiguous command"):
            assert wrong not in text, f"testpmd: {line}: {text}"
        return text

    def forward(self, retries=RETRIES):
        """Joins the ports; waits for room that often, 1 us each."""
        self.command("set fwd io retry")
        self.command(f"set burst tx delay 1 retry {retries}")
        self.command("start")

    def stop(self):
        """Ends forwarding; {port: {"rx", "tx", "dropped"}} since start."""
        text = self.command("stop")
        stats = {}
        for part in re.split(r"Forward statistics for port ", text)[1:]:
            found = re.findall(r"([RT])X-packets: (\d+) +[RT]X-dropped: (\d+)",
                               part)[:2]
            numbers = {way: (int(n), int(lost)) for way, n, lost in found}
            stats[int(part.split()[0])] = {
                "rx": numbers["R"][0], "tx": numbers["T"][0],
                "dropped": numbers["R"][1] + numbers["T"][1]}
        assert len(stats) == len(self.ports), text
        return stats

    # Life

    def kill9(self):
        """SIGKILL, as if it had crashed."""
        self.process.kill()
        self.process.wait()
        self.clean()

    def clean(self):
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1
        # What EAL keeps: $XDG_RUNTIME_DIR for users, /var/run for root.
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(f"/var/run/dpdk/{os.path.basename(self.dir)}",
                      ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            print(f"--- testpmd ---\n{self.log}---")
        if self.process.poll() is None:
            self.kill9()
        self.clean()
