# SPDX-License-Identifier: BSD-2-Clause
# test_daemon_killed.py - glend dies without warning; its clients go on.
"""
Clients wait in glen_wait(), poll glen_port_fd(), or never sleep at all. Each
must resume by itself within a second of the new glend's first answer (see
glen.Stopwatch for which second).
"""
import os

import pytest

import glen
from peers import Peer

DEATHS = 20
RESUME_S = 5.0 if os.environ.get("SANITIZED") else 1.0
WINDOW = 100                    # packets of the exchange under way


def packets_in(glend, port):
    try:
        return glend.port_stats(port)["in"]["packets"]
    except glen.RpcError:
        return 0                # not resumed yet


def await_traffic(glend, ports, watch=None):
    """
    Returns when each of ports has sent something into this glend; with a
    Stopwatch, says how many seconds it showed then.
    """
    glen.wait_until(lambda: all(packets_in(glend, p) for p in ports), 60,
                    "clients resume")
    return watch.seconds() if watch else None


def no_port_drops(glend):
    """Packets that came when their receiver had not resumed yet."""
    return sum(glend.port_stats(p)["in"]["drops"].get("in_no_port", 0)
               for p in ("s:a", "s:b"))


@pytest.mark.parametrize("idle,region", [
    ("wait", None), ("poll", None), ("busy", None), ("wait", "group"),
    ("busy", "group")])
def test_clients_resume(glend, idle, region, scaled):
    """
    What lay in the rings is still there. It may come twice, if glend died after
    it had delivered a batch and before it noted that; and it is dropped, and
    counted, if it is for a client that has not resumed yet. Nothing else is
    lost. The same where packets move by reference, in a region of both.
    """
    more = {"region": region} if region else {}
    deaths = scaled(DEATHS, 5)
    slowest = 0.0
    dropped = 0
    with Peer(glend, "check", "s:a", "s:b", idle=idle,
              window=WINDOW, **more) as traffic:
        await_traffic(glend, ["s:a", "s:b"])
        for _ in range(deaths):
            dropped += no_port_drops(glend)
            glend.kill9()
            glend.start()
            watch = glen.Stopwatch(glend.pid, traffic.pid)
            took = await_traffic(glend, ["s:a", "s:b"], watch)
            assert took < RESUME_S, f"clients took {took:.3f} s to resume"
            slowest = max(slowest, took)
        dropped += no_port_drops(glend)
    report = traffic.report
    print(f"slowest: {slowest * 1000:.0f} ms; {dropped} dropped; {report}")
    assert report["left"]["lost"] <= dropped
    assert report["right"]["lost"] <= dropped
    for end in ("left", "right"):
        # glend may die again before the client has read its answer.
        assert 0 < report[end]["reconnects"] <= deaths
        assert report[end]["error"] == ""
        assert report[end]["corrupt"] == 0
        assert report[end]["doubled"] <= 2 * WINDOW * deaths
    glend.check_identity()


def test_a_silent_client_resumes_too(glend):
    """One that sleeps with nothing to send or receive."""
    with Peer(glend, "drain", "s:a") as client:
        for _ in range(5):
            glend.restart()
            watch = glen.Stopwatch(glend.pid, client.pid)
            glen.wait_until(
                lambda: [p["port"] for p in glend.rpc("port.list")
                         if p["attached"]] == ["s:a"], 60, "resume")
            assert watch.seconds() < RESUME_S
    assert client.report["reconnects"] == 5


def test_many_clients_resume(glend, scaled):
    n = scaled(32, 8)
    clients = [Peer(glend, "drain", f"s:p{i}") for i in range(n)]
    for _ in range(3):
        glend.restart()
        glen.wait_until(
            lambda: len([p for p in glend.rpc("port.list")
                         if p["attached"]]) == n, 60, "all resume")
    for client in clients:
        assert client.stop()["reconnects"] == 3
    assert glen.wait_until(lambda: not glend.rpc("port.list"), 10) is True


def test_name_of_a_client_is_kept_for_it(glend):
    """After a restart nobody else gets the port before its client is back."""
    client = Peer(glend, "drain", "s:a")
    glend.kill9()
    client.freeze()
    glend.start()
    with pytest.raises(RuntimeError) as refused:
        Peer(glend, "drain", "s:a")
    print(refused.value)
    assert "s:a" in str(refused.value)
    assert "s:a" in glend.rpc("status")["resumable"]
    watch = glen.Stopwatch(glend.pid, client.pid)
    client.thaw()
    glen.wait_until(lambda: not glend.rpc("status")["resumable"], 60)
    assert watch.seconds() < RESUME_S
    assert client.stop()["reconnects"] == 1


def test_deleted_port_tells_its_client(glend):
    """Closed for good: the client must not come back."""
    client = Peer(glend, "drain", "s:a")
    glend.rpc("port.del", port="s:a")
    client.process.wait(timeout=10)
    report = client.stop()
    assert report["reconnects"] == 0
    assert "s:a" in report["error"]


def test_without_state_clients_give_up():
    """--no-state: a new glend knows nobody, and says so."""
    with glen.Glend(args=["--no-state"]) as glend:
        client = Peer(glend, "drain", "s:a")
        glend.restart()
        client.process.wait(timeout=10)
        assert "s:a" in client.stop()["error"]


def test_a_recording_outlives_glend(glend, tmp_path):
    """What was written before the kill is set aside, not emptied."""
    path = tmp_path / "out.pcap"
    glend.rpc("port.add", port="s:file", driver="pcap", write=str(path))
    with Peer(glend, "flood", "s:a"):
        glen.wait_until(lambda: path.stat().st_size > 100, 30, "a recording")
    glend.restart()
    glen.wait_until(lambda: (tmp_path / "out.pcap.1").exists(), 30,
                    "the old recording")
    assert (tmp_path / "out.pcap.1").stat().st_size > 100
    assert path.stat().st_size == 24
