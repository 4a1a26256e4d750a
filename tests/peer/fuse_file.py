# SPDX-License-Identifier: BSD-2-Clause
# fuse_file.py - a front end whose descriptors nobody can close.
"""
    fuse_file.py SOCKET

Serves a file system with one file, in a mount namespace of its own; a child
sends descriptors of that file to a vhost-user back end, in messages that make
sense with them and in ones that do not. Whoever closes such a descriptor asks
the server (FUSE_FLUSH) and waits for an answer, which never comes. Says "flush
asked for" when it was asked for the first time, and lives until it is killed:
then the kernel answers. (A server that had its own file open would wait for
itself.)
"""
import array
import ctypes
import errno
import os
import signal
import socket
import struct
import sys
import tempfile

CLONE_NEWNS, MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = (
    0x20000, 2, 4, 1 << 14, 1 << 18)
LOOKUP, FORGET, GETATTR, OPEN, RELEASE = 1, 2, 3, 14, 18
FLUSH, INIT, INTERRUPT, BATCH_FORGET = 25, 26, 36, 42
SIZE = 1 << 20

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result:
        number = ctypes.get_errno()
        sys.exit(f"{what}: {os.strerror(number)}")


def attributes(node):
    mode = 0o40755 if node == 1 else 0o100666
    return struct.pack("<6Q10I", node, SIZE, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0,
                       0, 0, 4096, 0)


def answer(opcode, node):
    """(error, bytes) for a request."""
    if opcode == INIT:
        return 0, struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 12, 9, 16384, 1, 0,
                              0, *[0] * 8)
    if opcode == LOOKUP:
        return 0, struct.pack("<4Q2I", 2, 0, 3600, 3600, 0, 0) + attributes(2)
    if opcode == GETATTR:
        return 0, struct.pack("<Q2I", 3600, 0, 0) + attributes(node)
    if opcode == OPEN:
        return 0, struct.pack("<Q2I", 1, 0, 0)
    if opcode == RELEASE:
        return 0, b""
    return -errno.ENOSYS, b""


def serve(device):
    asked = False
    while True:
        request = os.read(device, 1 << 17)
        _, opcode, unique, node = struct.unpack_from("<2I2Q", request)
        if opcode == FLUSH:
            if not asked:
                print("flush asked for", flush=True)
            asked = True
        elif opcode not in (FORGET, INTERRUPT, BATCH_FORGET):
            error, data = answer(opcode, node)
            os.write(device, struct.pack("<IiQ", 16 + len(data), error,
                                         unique) + data)


def mount():
    """(device, path of the file)"""
    folder = tempfile.mkdtemp(dir=os.path.dirname(sys.argv[1]))
    check(libc.unshare(CLONE_NEWNS), "unshare")
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None),
          "private mounts")
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    check(libc.mount(b"fuse", folder.encode(), b"fuse", MS_NOSUID | MS_NODEV,
                     options.encode()), "mount")
    return device, os.path.join(folder, "f")


def send(path, request, payload, fds):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        message = struct.pack("<3I", request, 1, len(payload)) + payload
        sock.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                  array.array("i", fds))])
        # glend hangs up, or has dealt with it when it answers the next one.
        sock.sendall(struct.pack("<3I", 1, 1, 0))
        sock.recv(20)


def lie(path):
    fd = os.open(path, os.O_RDWR)
    region = struct.pack("<2I4Q", 1, 0, 0, SIZE, 1 << 28, 0)
    send(sys.argv[1], 5, region, [fd])                  # SET_MEM_TABLE
    send(sys.argv[1], 7, b"", [fd])                     # SET_LOG_FD
    send(sys.argv[1], 12, struct.pack("<Q", 0), [fd])   # SET_VRING_KICK
    send(sys.argv[1], 5, region, [fd] * 100)
    while True:
        signal.pause()


def main():
    device, path = mount()
    server = os.getpid()
    if os.fork() == 0:
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)   # PR_SET_PDEATHSIG
        os.close(device)
        if os.getppid() == server:
            lie(path)
        os._exit(1)
    serve(device)


main()
