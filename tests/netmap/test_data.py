# SPDX-License-Identifier: BSD-2-Clause
# test_data.py - rings, wake-ups, switches, pipes, headers and monitors.
"""
The rules are points in data_*.c, as in test_api.py.
"""
import pytest

import glen
from programs import cases, check_point


@pytest.mark.parametrize("way,point", cases("data"))
def test_rule(daemon, way, point):
    check_point(daemon, "data", way, point)


def test_nothing_is_left(daemon):
    glen.wait_until(lambda: not daemon.rpc("stats")["ports"], 10,
                    "all ports are gone")
    daemon.check_identity()
