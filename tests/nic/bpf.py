# SPDX-License-Identifier: BSD-2-Clause
# bpf.py - loads small BPF programs for tests, without a compiler.
import ctypes
import os
import struct
import subprocess

NR_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
libc = ctypes.CDLL(None, use_errno=True)
PROG_LOAD, OBJ_PIN, SCHED_CLS = 5, 6, 3


def bpf(command, attr):
    buf = ctypes.create_string_buffer(attr, max(len(attr), 128))
    fd = libc.syscall(NR_BPF, command, buf, len(buf))
    if fd < 0:
        raise OSError(ctypes.get_errno(), f"bpf({command})")
    return fd


def program(insns):
    """Loads a classifier; insns: (opcode, dst | src << 4, off, imm)."""
    code = b"".join(struct.pack("<BBhi", *insn) for insn in insns)
    text = ctypes.create_string_buffer(code, len(code))
    license = ctypes.create_string_buffer(b"GPL")
    return bpf(PROG_LOAD, struct.pack(
        "<IIQQ", SCHED_CLS, len(code) // 8, ctypes.addressof(text),
        ctypes.addressof(license)))


def attach_classifier(ns, ifname, fd):
    """Puts the program on the way out of an interface, by a pin that is
    removed again."""
    folder = "/sys/fs/bpf"
    path = f"{folder}/glen-test-{os.getpid()}"
    mounted = os.path.ismount(folder)
    if not mounted:
        subprocess.run(["mount", "-t", "bpf", "bpf", folder], check=True)
    try:
        name = ctypes.create_string_buffer(path.encode())
        bpf(OBJ_PIN, struct.pack("<QI", ctypes.addressof(name), fd))
        ns.run(f"tc qdisc add dev {ifname} clsact")
        subprocess.run(["nsenter", f"--net={ns.path}", "tc", "filter", "add",
                        "dev", ifname, "egress", "bpf", "direct-action",
                        "object-pinned", path], check=True)
        os.unlink(path)
    finally:
        os.close(fd)
        if not mounted:
            subprocess.run(["umount", folder], check=True)
