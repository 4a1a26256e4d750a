# SPDX-License-Identifier: BSD-2-Clause
# conftest.py - fixtures for all Python tests.
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))

import glen  # noqa: E402


@pytest.fixture
def glend():
    """A private glend with one worker."""
    with glen.Glend() as daemon:
        yield daemon


@pytest.fixture
def netns():
    """netns() makes a namespace that goes away after the test."""
    made = []

    def make():
        made.append(glen.Netns())
        return made[-1]

    reason = glen.why_no_root()
    if reason:
        pytest.skip(reason)
    yield make
    for ns in made:
        ns.close()
