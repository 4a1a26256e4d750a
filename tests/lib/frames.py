# SPDX-License-Identifier: BSD-2-Clause
# frames.py - single frames to and from ports of every kind, judged by scapy.
"""
    with Guest(path, "offloads") as guest, Stream(other_path) as port:
        guest.send(frame, hdr)
        assert finished(port.recv()) == ...

Every class has recv(), the next frame or an error after a while, and whatever
it opened goes away with its block. A Guest is a vhost-user front end without a
machine, a Client one of libglen's (tests/peer/frames.c); recv_hdr() of a Guest
also returns virtio's header.
"""
import contextlib
import os
import select
import socket
import struct
import subprocess
import threading

from scapy.all import Ether, IP, IPv6, TCP, UDP, raw

from glen import binary, die_with_parent

TIMEOUT = 30.0
HDR_LEN = 12


class Pipe:
    """A process that prints frames and takes them."""

    def __init__(self, *argv):
        self.process = subprocess.Popen(
            [binary("frames"), *argv], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, bufsize=0, preexec_fn=die_with_parent)
        self.data = b""
        assert self.take(6) == b"ready\n"

    def take(self, size):
        while len(self.data) < size:
            ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT)
            data = os.read(self.process.stdout.fileno(), 1 << 17) if ready \
                else b""
            assert data, ("frames has ended" if ready else
                          f"no frame within {TIMEOUT} s")
            self.data += data
        data, self.data = self.data[:size], self.data[size:]
        return data

    def send(self, frame, hdr=bytes(HDR_LEN)):
        data = struct.pack("=I", len(frame)) + hdr + frame
        while data:
            data = data[self.process.stdin.write(data):]

    def recv_hdr(self):
        size, = struct.unpack("=I", self.take(4))
        return self.take(HDR_LEN), self.take(size)

    def recv(self):
        return self.recv_hdr()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Guest(Pipe):
    """words: see frames.c."""

    def __init__(self, path, *words):
        super().__init__("vhost", path, *words)


class Client(Pipe):
    """claims: such as "tcp/80/10.0.0.1", for switches with module tuple3."""

    def __init__(self, glend, port, *claims):
        super().__init__("shm", glend.socket, port, *claims)


class Stream:
    """The other end of a stream port, as a QEMU would be."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(path)

    def take(self, size):
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            assert more, "glend hung up"
            data += more
        return data

    def send(self, frame):
        self.sock.sendall(struct.pack(">I", len(frame)) + frame)

    def recv(self):
        size, = struct.unpack(">I", self.take(4))
        return self.take(size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


class Recorder:
    """
    Between a stream port, at path, and who connects to .path: passes frames
    both ways. Those from the port are in .frames, of all connections.
    """

    def __init__(self, path):
        self.port = path
        self.path = path + ".wire"
        self.frames = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                near, far = self.listener.accept()[0], Stream(self.port).sock
                far.settimeout(None)
                for way in ((near, far, None), (far, near, self.frames)):
                    threading.Thread(target=self.pump, args=way,
                                     daemon=True).start()

    @staticmethod
    def pump(source, target, frames):
        data = b""
        with contextlib.suppress(OSError):
            while more := source.recv(1 << 20):
                target.sendall(more)
                if frames is None:
                    continue
                data += more
                while (len(data) >= 4 and len(data) >= 4 + (
                        size := int.from_bytes(data[:4], "big"))):
                    frames.append(data[4:4 + size])
                    data = data[4 + size:]
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        """The connections that there are end with their ends."""
        self.listener.close()


class Dgram:
    """The other end of a dgram port; to be opened first."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.bind(path)

    def recv(self):
        return self.sock.recv(1 << 17)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


class Interface:
    """A TAP port's interface in a Netns; frames of others do not count."""

    def __init__(self, netns, ifname, source):
        self.wire = netns.wire(ifname, timeout=TIMEOUT)
        self.source = bytes.fromhex(source.replace(":", ""))

    def recv(self):
        frames = self.wire.recv_n(1, TIMEOUT, lambda f: f[6:12] == self.source)
        assert frames, f"no frame within {TIMEOUT} s"
        return frames[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()


# Judgement

def parse(frame):
    """As scapy sees it, with two tags of a provider bridge as well."""
    packet = Ether(frame)
    assert raw(packet) == frame
    return packet


def finished(frame):
    """
    Fails unless the lengths and checksums in a frame are what scapy would
    write there. Returns it parsed. Fragments are to be put together before.
    """
    packet = parse(frame)
    again = packet.copy()
    for layer, fields in ((IP, ("len", "chksum")), (IPv6, ("plen",)),
                          (TCP, ("chksum",)), (UDP, ("len", "chksum"))):
        if again.haslayer(layer):
            for field in fields:
                delattr(again[layer], field)
    # UDP may go without a checksum over IPv4.
    if packet.haslayer(IP) and packet.haslayer(UDP) and \
            packet[UDP].chksum == 0:
        again[UDP].chksum = 0
    assert raw(again) == frame, (
        f"scapy would have sent\n{again.__class__(raw(again)).show2(True)}\n"
        f"but this came\n{packet.show2(True)}")
    return packet
