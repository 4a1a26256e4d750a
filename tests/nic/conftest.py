# SPDX-License-Identifier: BSD-2-Clause
# conftest.py - fixtures for tests of the host's interfaces.
import pytest

from cable import Cable


@pytest.fixture
def cable():
    """A host with interface eth0, and what is at the other end of it."""
    with Cable() as made:
        yield made
