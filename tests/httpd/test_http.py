# SPDX-License-Identifier: BSD-2-Clause
# test_http.py - what glen-httpd answers: to curl, wrk, and bad requests.
import hashlib
import os
import re
import signal
import socket

import pytest
from scapy.all import ARP, Ether, raw

import glen
from httpd import ADDRESS, HOST, Httpd, pattern

pytestmark = [
    pytest.mark.skipif(bool(glen.why_no_root()),
                       reason=str(glen.why_no_root())),
    pytest.mark.skipif(bool(glen.why_missing("curl")),
                       reason="needs curl")]

URL = f"http://{ADDRESS}"


@pytest.fixture
def server(switch, host, site):
    with Httpd(switch, "s:www", "--root", site, "--bytes") as running:
        yield running


def head(ns, path, *args):
    """(status, {header: value}) of a path as it is."""
    text = ns.run(["curl", "-sI", "--path-as-is", "-m", "20", *args,
                   URL + path])
    first, *lines = text.strip().splitlines()
    return int(first.split()[1]), {
        name.lower(): value for name, value in
        (line.split(": ", 1) for line in lines)}


def status(ns, path, *args):
    return int(ns.run(["curl", "-s", "-o", "/dev/null", "--path-as-is", "-m",
                       "20", "-w", "%{http_code}", *args, URL + path]))


def fetch(ns, path, to):
    ns.run(["curl", "-sS", "-f", "-m", "60", "-o", str(to), URL + path])
    return to.read_bytes()


def test_files_arrive_whole(switch, host, server, site, tmp_path):
    out = tmp_path / "out"
    for file in sorted(site.glob("*.bin")):
        out.write_bytes(b"")
        want = file.read_bytes()
        got = fetch(host, f"/{file.name}", out)
        assert (hashlib.sha256(got).digest() ==
                hashlib.sha256(want).digest()), file.name
        code, fields = head(host, f"/{file.name}")
        assert code == 200
        assert fields["content-length"] == str(len(want))
        assert fields["content-type"] == "application/octet-stream"
    for n in (0, 1, 65521, 200_000):
        assert fetch(host, f"/bytes/{n}", out) == pattern(n)
    assert fetch(host, "/", out) == b"<p>top\n"
    assert fetch(host, "/sub/", out) == b"<p>sub\n"
    assert fetch(host, "/inside", out) == b"<p>sub\n"
    assert fetch(host, "/a%20b%25.txt?x=1", out) == b"odd name\n"
    assert head(host, "/")[1]["content-type"] == "text/html; charset=utf-8"
    code, fields = head(host, "/sub")
    assert (code, fields["location"]) == (301, "/sub/")
    switch.check_identity()


def test_nothing_outside_the_root(host, server):
    for path in ("/../secret", "/sub/../../secret", "/%2e%2e/secret",
                 "/..%2fsecret", "/sub/%2e./../../secret"):
        assert status(host, path) == 400, path
    for path in ("/out", "/absolute", "/up/secret", "/up/", "/fifo",
                 "/missing", "/0.bin/", "/empty/", "/bytes/", "/bytes/1x",
                 "/bytes/99999999999999999999", "/....//secret"):
        assert status(host, path) == 404, path
    assert status(host, "/sub/../0.bin") == 200
    assert status(host, "/0.bin", "-X", "POST", "-d", "x") == 405


def ask(ns, text, pieces=None):
    """All that is answered to text, until the server hangs up."""
    sock = ns.call(lambda: socket.create_connection((ADDRESS, 80), 20))
    with sock:
        sock.settimeout(20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces or [text]:
            sock.sendall(piece)
        got = b""
        while True:
            data = sock.recv(65536)
            if not data:
                return got
            got += data


HOSTED = b"Host: x\r\n"
BAD = {
    400: [b"\0\1\2\3\r\n\r\n", b"GET\r\n\r\n", b"GET /\r\n\r\n",
          b"GET / HTTP/1.1\r\n\r\n",                    # no Host
          b"GET / HTTP/1.1\r\n" + HOSTED * 2 + b"\r\n",
          b"GET  / HTTP/1.1\r\n" + HOSTED + b"\r\n",
          b"GET / HTTP/11\r\n" + HOSTED + b"\r\n",
          b"GET x HTTP/1.1\r\n" + HOSTED + b"\r\n",
          b"GET /#a HTTP/1.1\r\n" + HOSTED + b"\r\n",
          b"GET /%00 HTTP/1.1\r\n" + HOSTED + b"\r\n",
          b"GET /%4 HTTP/1.1\r\n" + HOSTED + b"\r\n",
          b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
          b"GET / HTTP/1.1\r\n" + HOSTED + b" folded\r\n\r\n",
          b"GET / HTTP/1.1\r\n" + HOSTED + b"A: \1\r\n\r\n",
          b"GET / HTTP/1.1\r\n" + HOSTED + b"Content-Length: 3\r\n\r\nabc",
          b"GET / HTTP/1.1\r\n" + HOSTED +
          b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    405: [b"POST / HTTP/1.1\r\n" + HOSTED + b"Content-Length: 100000\r\n\r\n" +
          bytes(100000), b"BREW / HTTP/1.1\r\n" + HOSTED + b"\r\n"],
    414: [b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\n" + HOSTED + b"\r\n"],
    431: [b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 2000, b"A" * 9000],
    505: [b"GET / HTTP/2.0\r\n" + HOSTED + b"\r\n"],
}


def test_bad_requests(switch, host, server):
    for code, texts in BAD.items():
        for text in texts:
            got = ask(host, text)
            assert got.startswith(b"HTTP/1.1 %d " % code), (text[:60], got)
            assert got.count(b"HTTP/1.1") == 1, (text[:60], got)
            assert b"\r\nConnection: close\r\n" in got
    assert status(host, "/") == 200
    switch.check_identity()


def test_requests_in_pieces_and_in_a_row(host, server):
    one = b"GET /bytes/3 HTTP/1.1\r\n" + HOSTED + b"\r\n"
    last = (b"GET /bytes/3 HTTP/1.1\r\n" + HOSTED +
            b"Connection: close\r\n\r\n")
    got = ask(host, None, [bytes([c]) for c in last])
    assert got.endswith(b"\r\n\r\n" + pattern(3))
    got = ask(host, one * 500 + last)
    assert got.count(b"HTTP/1.1 200 OK") == 501
    assert got.count(b"\r\n\r\n" + pattern(3)) == 501
    got = ask(host, b"GET /bytes/3 HTTP/1.0\r\n\r\n")
    assert got.endswith(b"\r\n\r\n" + pattern(3))
    got = ask(host, b"HEAD http://x/bytes/9 HTTP/1.0\r\n\r\n")
    assert b"Content-Length: 9\r\n" in got and got.endswith(b"\r\n\r\n")


def test_many_connections_of_wrk(switch, host, server):
    if glen.why_missing("wrk"):
        pytest.skip("needs wrk")
    for path in ("/bytes/64", "/65536.bin"):
        text = host.run(["wrk", "-t1", "-c64", "-d2s", URL + path])
        assert "Non-2xx" not in text and "Socket errors" not in text, text
        assert int(re.search(r"(\d+) requests in", text)[1]) > 0
    switch.check_identity()


def test_ends_after_what_is_under_way(host, server, site):
    sock = host.call(lambda: socket.create_connection((ADDRESS, 80), 20))
    with sock:
        sock.settimeout(20)
        sock.sendall(b"GET /3000001.bin HTTP/1.1\r\n" + HOSTED + b"\r\n")
        got = sock.recv(1000)
        os.kill(server.pid, signal.SIGTERM)
        while data := sock.recv(65536):
            got += data
    body = got.split(b"\r\n\r\n", 1)[1]
    assert body == (site / "3000001.bin").read_bytes()
    code, out, _ = server.stop()
    assert code == 0 and ", 0 connections broken off" in out


def who_has(ns, ifname):
    """Who says that he has ADDRESS: host and server."""
    mac = ns.links()[ifname]["address"]
    is_reply = lambda frame: ARP in Ether(frame) and Ether(frame)[ARP].op == 2
    with ns.wire(ifname) as wire:
        wire.send(raw(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") /
                      ARP(hwsrc=mac, psrc=HOST, pdst=ADDRESS)))
        return [Ether(frame)[ARP].hwsrc
                for frame in wire.recv_n(2, 20, want=is_reply)]


def test_shares_the_address_of_the_host(glend, netns, site):
    """Behind an uplink one address is glen-httpd's and the host's stack's."""
    glend.rpc("switch.add", switch="s", module="tuple3",
              options={"default": "host", "uplink": "net"})
    host, net = netns().no_ipv6(), netns().no_ipv6()
    for ns, name, address in ((host, "host", ADDRESS), (net, "net", HOST)):
        glend.rpc("port.add", port=f"s:{name}", driver="tap", netns=ns.name,
                  address=f"{address}/24")
    host.popen(["python3", "-m", "http.server", "8000", "--directory",
                str(site / "sub")], stdout=-3, stderr=-3)
    with Httpd(glend, "s:www", "--root", site, "--mac",
               host.links()["host"]["address"]):
        get = lambda port: net.run(
            ["curl", "-s", "-m", "20", f"{URL}:{port}/"], check=False)
        glen.wait_until(lambda: get(8000) == "<p>sub\n", 30, "the host's")
        mac = host.links()["host"]["address"]
        assert who_has(net, "net") == [mac, mac]
        for _ in range(5):
            net.run("ip neigh flush dev net")
            assert get(80) == "<p>top\n"
            assert get(8000) == "<p>sub\n"
        assert "0% packet loss" in net.run(f"ping -c 1 -W 5 {ADDRESS}")
    # What nobody claims any more is the host's, who refuses it.
    assert get(80) == "" and get(8000) == "<p>sub\n"
    glend.check_identity()
