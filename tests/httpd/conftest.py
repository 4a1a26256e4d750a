# SPDX-License-Identifier: BSD-2-Clause
# httpd/conftest.py - a switch with tuple3, a folder of files, a namespace.
import os
import random

import pytest

import httpd


def pytest_collection_modifyitems(items):
    reason = httpd.why_not()
    for item in items:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def switch(glend):
    """Switch s: nobody gets what nobody claimed."""
    glend.rpc("switch.add", switch="s", module="tuple3",
              options={"default": "host"})
    return glend


@pytest.fixture
def host(switch, netns):
    """A namespace behind the default port of the switch."""
    ns = netns().no_ipv6()
    switch.rpc("port.add", port="s:host", driver="tap", netns=ns.name,
               address=f"{httpd.HOST}/24")
    return ns


@pytest.fixture
def site(tmp_path):
    """A folder with a secret beside it."""
    root = tmp_path / "site"
    (root / "sub").mkdir(parents=True)
    (root / "empty").mkdir()
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for n in (0, 1, 1459, 1460, 1461, 65535, 65536, 3_000_001):
        (root / f"{n}.bin").write_bytes(rng.randbytes(n))
    (root / "index.html").write_text("<p>top\n")
    (root / "sub" / "index.html").write_text("<p>sub\n")
    (root / "a b%.txt").write_text("odd name\n")
    (tmp_path / "secret").write_text("secret\n")
    (root / "out").symlink_to("../secret")
    (root / "absolute").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to("..")
    (root / "inside").symlink_to("sub/index.html")
    os.mkfifo(root / "fifo")
    return root
