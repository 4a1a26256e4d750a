# SPDX-License-Identifier: BSD-2-Clause
# nmraw.py - netmap ports over glend's methods, without the preload library.
"""
An Open is what the preload library makes of open("/dev/netmap"): a descriptor
H, and once it is registered the rings of its port, mapped as they are. Indexes
are written as the library would, but nothing is checked.
"""
import array
import mmap
import os
import socket
import struct

from glen import Rpc

EXCLUSIVE, RX_ONLY, TX_ONLY, VNET = 0x800, 0x2000, 0x4000, 0x8000
ALL_NIC, SW, NIC_SW, ONE_NIC, NULL, ONE_SW = 1, 2, 3, 4, 7, 8
MONITOR_TX, MONITOR_RX, MONITOR_ZCOPY = 0x100, 0x200, 0x400
MOREFRAG, TXMON = 0x20, 0x40


class Ring:
    """One ring, by the addresses in an open's netmap_if."""

    def __init__(self, op, ofs, line):
        self.op, self.win, self.line = op, op.window, line
        self.at = ofs
        (self.buf_ofs, self.slots, self.buf_size, self.ringid, self.dir,
         self.head, self.cur, self.tail) = struct.unpack_from(
             "<qIIHHIII", self.win, ofs)

    def u32(self, at, value=None):
        if value is None:
            return struct.unpack_from("<I", self.win, at)[0]
        struct.pack_into("<I", self.win, at, value)

    def slot(self, i):
        return struct.unpack_from("<IHHQ", self.win, self.at + 256 + 16 * i)

    def set_slot(self, i, buf, length, flags=0, ptr=0):
        struct.pack_into("<IHHQ", self.win, self.at + 256 + 16 * i, buf,
                         length, flags, ptr)

    def publish(self, head):
        self.head = head % self.slots
        self.u32(64 * self.line + 4, self.head)
        self.u32(64 * self.line, self.head)

    @property
    def hwcur(self):
        return self.u32(4096 + 64 * self.line)

    @property
    def hwtail(self):
        return self.u32(4096 + 64 * self.line + 4)

    @property
    def need_kick(self):
        return self.u32(4096 + 64 * self.line + 8)

    def buffer(self, index):
        return index * self.buf_size

    def put(self, frame, flags=0):
        """A frame in the next TX slot, not yet published."""
        buf = self.slot(self.head)[0]
        at = self.buffer(buf)
        self.op.bufs[at:at + len(frame)] = frame
        self.set_slot(self.head, buf, len(frame), flags)
        self.head = (self.head + 1) % self.slots

    def send(self, frame):
        self.put(frame)
        self.publish(self.head)
        if self.need_kick:
            self.op.kick()

    def take(self):
        """The next packet of an RX ring, or None."""
        if self.head == self.hwtail:
            return None
        buf, length, flags, _ = self.slot(self.head)
        at = self.buffer(buf)
        frame = bytes(self.op.bufs[at:at + length])
        self.publish(self.head + 1)
        return frame, flags


class Open:
    """open("/dev/netmap")."""

    def __init__(self, path, h=None):
        self.path = path
        self.window = self.bufs = None
        self.rings = {}
        if h is None:
            with Rpc(path) as rpc:
                rpc.call("netmap.open")
                (h,) = rpc.take_fds()
        self.h = h
        self.info = None

    def call(self, method, **params):
        with Rpc(self.path) as rpc:
            result = rpc.call("netmap." + method, params, [self.h])
            return result, rpc.take_fds()

    def register(self, name, mode=ALL_NIC, **params):
        info, fds = self.call("register", name=name, mode=mode, **params)
        return self.use(info, fds)

    def attach(self):
        return self.use(*self.call("attach"))

    def use(self, info, fds):
        self.info = info
        if not info["bound"]:
            assert not fds
            return info
        window, bufs = fds
        self.window = mmap.mmap(window, 0)
        self.bufs = mmap.mmap(bufs, 0)
        os.close(window)
        os.close(bufs)
        return info

    def ring(self, rx, i):
        """Ring i, host rings counted behind the NIC's; None: not bound."""
        if (rx, i) not in self.rings:
            self.rings[rx, i] = self.find(rx, i)
        return self.rings[rx, i]

    def find(self, rx, i):
        info = self.info
        nifp = (3 + info["open"] // 4) * 4096 + info["open"] % 4 * 1024
        n_tx, _, _, htx, hrx = struct.unpack_from("<IIIII", self.window,
                                                  nifp + 24)
        at = (n_tx + htx + i) if rx else i
        ofs = struct.unpack_from("<q", self.window, nifp + 56 + 8 * at)[0]
        if not ofs:
            return None
        first = 0
        if info["end"]:
            first = sum(info["n_" + k] for k in ("tx", "rx", "host_tx",
                                                 "host_rx"))
        line = first + i
        if rx:
            line += info["n_tx"] + info["n_host_tx"]
        return Ring(self, nifp + ofs, line)

    def tx(self, i=0):
        return self.ring(False, i)

    def rx(self, i=0):
        return self.ring(True, i)

    def kick(self):
        try:
            socket_send(self.h)
        except (BlockingIOError, BrokenPipeError):
            pass                # one is pending, or the port was closed

    def close(self):
        if self.window:
            self.window.close()
            self.bufs.close()
            self.window = self.bufs = None
        if self.h >= 0:
            os.close(self.h)
            self.h = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def socket_send(fd, data=b"\0", fds=()):
    """Bytes on a socket that is only a number."""
    sock = socket.socket(fileno=os.dup(fd))
    try:
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                array.array("i", fds))] if fds else []
        sock.sendmsg([data], anc, socket.MSG_DONTWAIT)
    finally:
        sock.close()


def frame(to, source, text=b"", length=60):
    head = bytes([2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, source, 0x88, 0xb5])
    return (head + text).ljust(length, b"\0")
