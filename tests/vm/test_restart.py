# SPDX-License-Identifier: BSD-2-Clause
# test_restart.py - glend is killed under the traffic of guests, and comes back.
import time

import pytest

from glen import Stopwatch, wait_until
from vm import Rig

STOP = "/tmp/stop"
ROUNDS = 2
# Seconds until traffic is back: QEMU tries to connect once a second.
LIMIT = {"server": 3.0, "client": 0.2}


def moving(rig, since):
    """True if both guests have sent and been sent to since then."""
    return all(rig.stats(number)[way]["packets"] > since[number][way]["packets"]
               for number in since for way in ("in", "out"))


def seconds_until_traffic(rig):
    """What passes from now on, without waiting for a processor."""
    watch = Stopwatch(rig.glend.pid, *(guest.pid for guest in rig.guests))
    since = {guest.number: rig.stats(guest.number) for guest in rig.guests}
    deadline = time.monotonic() + 60
    while not moving(rig, since):
        assert time.monotonic() < deadline, "traffic did not come back"
        time.sleep(0.005)
    return watch.seconds()


@pytest.mark.parametrize("mode", ["server", "client"])
def test_glend_killed(mode):
    """
    mode: glend's side of the sockets; in the other one it connects. One guest
    has split rings, the other one packed rings.
    """
    with Rig() as rig:
        a, b = (rig.guest(n, mode, nic={"packed": n == 2}) for n in (1, 2))
        a.up()
        b.up()
        assert a.ping(b.ip) == 0
        # Checked streams both ways, and pings, all the time.
        sinks = [g.start("guest sink 7000") for g in (b, a)]
        sends = [g.start(f"guest send {o.ip} 7000 {1 << 40} {STOP}")
                 for g, o in ((a, b), (b, a))]
        a.start(f"ping -q -i 0.02 {b.ip}")
        for _ in range(ROUNDS):
            since = {n: rig.stats(n) for n in (1, 2)}
            wait_until(lambda: rig.stats(1)["in"]["packets"] >
                       since[1]["in"]["packets"] + 500, 60, "traffic")
            rig.glend.restart()
            seconds = seconds_until_traffic(rig)
            print(f"traffic back after {seconds:.3f} s")
            assert seconds <= LIMIT[mode]
        a.run("killall -INT ping")
        a.run(f"touch {STOP}")
        b.run(f"touch {STOP}")
        # Nothing that TCP did not mend, and nothing damaged that it did not
        # see.
        assert [int(s.wait()) for s in sends] == [int(s.wait()) for s in sinks]
        assert a.ping(b.ip6) == 0
        rig.glend.check_identity()
