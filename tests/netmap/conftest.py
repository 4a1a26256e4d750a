# SPDX-License-Identifier: BSD-2-Clause
# netmap/conftest.py - fixtures: a glend that serves the points of a file.
import pytest

from programs import Daemon, why_no_netmap


@pytest.fixture(autouse=True)
def needs_glen_run():
    reason = why_no_netmap()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def kept():
    """A Daemon, which stays between the tests of a file."""
    made = Daemon(workers=1)
    yield made
    made.close()


@pytest.fixture
def daemon(kept):
    """Its glend."""
    return kept.get()
