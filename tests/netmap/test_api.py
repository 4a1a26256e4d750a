# SPDX-License-Identifier: BSD-2-Clause
# test_api.py - every request, option, name rule and error of netmap's API.
"""
The rules are points in api_*.c; each is a process of its own. They all talk to
one glend, in which nothing must be left at the end.
"""
import pytest

import glen
from programs import cases, check_point


@pytest.mark.parametrize("way,point", cases("api"))
def test_rule(daemon, way, point):
    check_point(daemon, "api", way, point)


def test_nothing_is_left(daemon):
    glen.wait_until(lambda: not daemon.rpc("stats")["ports"], 10,
                    "all ports are gone")
    daemon.check_identity()
